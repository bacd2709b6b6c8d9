"""What pending segments cost a search: 20 of 1,000 rows beside a built collection, on the local cloud.

The same searches are asked before the segments are taken in and afterwards. How many deltas are asked then, compaction
decides.

python -m benchmarks.deltas --rows 200000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from benchmarks import corpus, machine
from benchmarks.local_cloud import FILE_ROWS, parquet
from shardlake.client import Client
from shardlake.client.uploads import LocalFile
from shardlake.local import CloudStatus, down, up

DELTAS, DELTA_ROWS = 20, 1_000
OVERWRITTEN = 100  # of the rows of each delta: ids that the version has
K = 10
WARM_UP = 40
NAME = "bench"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    vectors = corpus.vectors(args.rows + DELTAS * DELTA_ROWS, seed=5)
    queries = corpus.vectors(args.queries, seed=5, draw=2)
    with tempfile.TemporaryDirectory() as folder:
        cloud = up(Path(folder) / "cloud", 0)
        try:
            _build(cloud, vectors[: args.rows], Path(folder))
            without, _ = _search(cloud, queries)
            _take_in(cloud, vectors, args.rows, Path(folder))
            times, deltas = _search(cloud, queries)
        finally:
            down(Path(folder) / "cloud")
    figures = {
        "deltas_asked": deltas,
        "without_ms_p50": float(np.median(without)),
        "with_ms_p50": float(np.median(times)),
        "ratio": float(np.median(times) / np.median(without)),
    }
    raw = {"without_raw_ms": without, "with_raw_ms": times}
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")
    machine.save(f"deltas-{args.rows}", f"python -m benchmarks.deltas --rows {args.rows}", {**figures, **raw})


def _build(cloud: CloudStatus, base: corpus.Vectors, folder: Path) -> None:
    schema = {"spaces": {"v": {"dimension": base.shape[1]}}, "attributes": {"number": {"type": "int"}}}
    with Client(cloud.url) as client:
        client.collections.create(NAME, schema)
        collection = client.collection(NAME)
        paths = [parquet(base, start, folder) for start in range(0, len(base), FILE_ROWS)]
        collection.upload([LocalFile(name=path.name, source=path) for path in paths])
        done = collection.wait_for_build(collection.start_build().build_id)
        assert done.version is not None, done


def _take_in(cloud: CloudStatus, vectors: corpus.Vectors, rows: int, folder: Path) -> None:
    """Takes the vectors behind the first `rows` in, some of them in the place of built ones."""
    with Client(cloud.url) as client:
        collection = client.collection(NAME)
        for start in range(rows, len(vectors), DELTA_ROWS):
            ids = np.arange(start, start + DELTA_ROWS)
            ids[:OVERWRITTEN] -= rows
            path = parquet(vectors, start, folder, rows=DELTA_ROWS, ids=ids)
            assert collection.upload([LocalFile(name=f"more-{path.name}", source=path)]).accepted == DELTA_ROWS
        assert collection.describe().rows == len(vectors) - DELTAS * OVERWRITTEN


def _search(cloud: CloudStatus, queries: corpus.Vectors) -> tuple[list[float], int]:
    """Returns how long each search takes, and how many deltas are asked."""
    bodies = [{"query": {"vector": {"v": query.tolist()}}, "k": K} for query in queries]
    times, asked = [], 0
    with httpx.Client(timeout=60) as http:
        for turn, body in enumerate([*bodies[:WARM_UP], *bodies]):
            began = time.perf_counter()
            answer = http.post(f"{cloud.url}/v1/collections/{NAME}/search", json=body)
            took_ms = (time.perf_counter() - began) * 1e3
            found = answer.raise_for_status().json()
            assert not found["partial"], found["shards"]
            if turn >= WARM_UP:
                times.append(took_ms)
                asked = found["shards"]["requested"] - 1
    return times, asked


if __name__ == "__main__":
    main()
