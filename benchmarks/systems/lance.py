"""LanceDB: IVF_PQ with bitmap indexes on the filtered columns, prefilter, on a local folder or an S3 endpoint."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.corpus import UNIFORM, Corpus, Vectors, corpus, corpus_folder
from benchmarks.systems.base import THREADS

K = 10
TABLE = "bench"
NPROBES, REFINE_FACTOR = 20, 10
_BATCH_ROWS = 50_000
_READY = "ready"


def folder_of(made: Corpus) -> Path:
    """Returns where the table of a corpus is kept."""
    return corpus_folder(*made.base.shape, len(made.queries)) / "lance"


def prepare(made: Corpus) -> dict[str, float]:
    """Writes and indexes the table where it is not there yet, with all cores. Returns seconds by step."""
    ready = folder_of(made) / _READY
    if not ready.exists():
        command = [sys.executable, "-m", "benchmarks.systems.lance"]
        command += [
            "--rows",
            str(made.rows),
            "--dimension",
            str(made.base.shape[1]),
            "--queries",
            str(len(made.queries)),
        ]
        free = {name: value for name, value in os.environ.items() if name not in THREADS}
        subprocess.run(command, check=True, env=free)
    seconds: dict[str, float] = orjson.loads(ready.read_bytes())
    return seconds


def main() -> None:
    """Prepares the table of one corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=1_000)
    args = parser.parse_args()
    made = corpus(args.rows, args.dimension, queries=args.queries)
    _prepare(made, folder_of(made))


def _prepare(corpus: Corpus, folder: Path) -> None:
    import lancedb
    from lancedb.index import Bitmap, BTree, IvfPq

    shutil.rmtree(folder, ignore_errors=True)
    dimension = corpus.base.shape[1]
    began = time.perf_counter()
    table = lancedb.connect(folder).create_table(TABLE, data=_batches(corpus), schema=_schema(corpus))
    written = time.perf_counter()
    partitions = 1 << max(1, round(np.log2(np.sqrt(corpus.rows))))
    codes = IvfPq(distance_type="cosine", num_partitions=partitions, num_sub_vectors=dimension // 4)
    table.create_index("vector", config=codes)
    indexed = time.perf_counter()
    for name in corpus.masks:
        table.create_index(name, config=Bitmap())
    for name in UNIFORM:
        table.create_index(name, config=BTree())
    done = time.perf_counter()
    steps = {"write_s": written - began, "index_s": indexed - written, "scalar_index_s": done - indexed}
    (folder / _READY).write_bytes(orjson.dumps(steps))


def _schema(corpus: Corpus) -> pa.Schema:
    fields = [("id", pa.int32()), ("vector", pa.list_(pa.float32(), corpus.base.shape[1]))]
    fields += [(name, pa.bool_()) for name in corpus.masks] + [(name, pa.float64()) for name in UNIFORM]
    return pa.schema(fields)


def _batches(corpus: Corpus) -> Iterator[pa.RecordBatch]:
    for start in range(0, corpus.rows, _BATCH_ROWS):
        part = slice(start, min(start + _BATCH_ROWS, corpus.rows))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(corpus.base[part].reshape(-1)), corpus.base.shape[1])
        columns = [pa.array(np.arange(part.start, part.stop, dtype=np.int32)), vectors]
        columns += [pa.array(mask[part]) for mask in corpus.masks.values()]
        columns += [pa.array(corpus.uniform[part, number]) for number in range(len(UNIFORM))]
        yield pa.RecordBatch.from_arrays(columns, schema=_schema(corpus))


def connect(uri: str, options: dict[str, str] | None = None) -> Any:  # noqa: ANN401  # lancedb has no types
    """Returns the table, opened."""
    import lancedb

    return lancedb.connect(uri, storage_options=options).open_table(TABLE)


def s3_options(endpoint: str) -> dict[str, str]:
    """Returns the storage options of a local S3 endpoint."""
    return {
        "endpoint": endpoint,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "region": "us-east-1",
        "allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }


class Lance:
    """A table, asked with its default of 20 lists, or another; `widened` goes on while there are fewer than K hits."""

    def __init__(  # lancedb has no types
        self,
        table: Any,  # noqa: ANN401
        *,
        nprobes: int = NPROBES,
        refine_factor: int = REFINE_FACTOR,
        widened: bool = False,
    ) -> None:
        self.name = "LanceDB, widened" if widened else "LanceDB"
        self._widened = widened
        self.nprobe = nprobes
        self._table = table
        self._refine_factor = refine_factor

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], pa.Table]:
        """Returns the search."""
        return self.where(query, None if mask is None else f"{mask} = true")

    def where(self, query: Vectors, condition: str | None) -> Callable[[], pa.Table]:
        """Returns the search under an SQL condition."""
        asked = self._table.search(query, vector_column_name="vector").distance_type("cosine").limit(K)
        asked = asked.minimum_nprobes(self.nprobe).maximum_nprobes(0) if self._widened else asked.nprobes(self.nprobe)
        asked = asked.refine_factor(self._refine_factor).select(["id", "_distance"])
        if condition is not None:
            asked = asked.where(condition, prefilter=True)
        return asked.to_arrow  # type: ignore[no-any-return]

    def settle(self) -> None:
        """Nothing to do."""

    def ids(self, answer: pa.Table) -> list[int]:
        """Returns the rows."""
        found: list[int] = answer["id"].to_pylist()
        return found

    def counters(self, answer: pa.Table) -> dict[str, int]:
        """Returns the lists asked for."""
        return {"lists_probed": self.nprobe}


if __name__ == "__main__":
    main()
