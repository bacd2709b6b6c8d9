"""What pending segments cost a search: 20 of 1,000 rows beside a built collection, on the local cloud.

The same searches are asked of the collection and, as `name@version`, of its version alone, one after the other.

python -m benchmarks.deltas --rows 200000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

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
            version = _fill(cloud, vectors, args.rows, Path(folder))
            figures = _measure(cloud, version, queries)
        finally:
            down(Path(folder) / "cloud")
    raw = {name: figures.pop(name) for name in list(figures) if name.endswith("_raw_ms")}
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")
    machine.save(f"deltas-{args.rows}", f"python -m benchmarks.deltas --rows {args.rows}", {**figures, **raw})


def _fill(cloud: CloudStatus, vectors: corpus.Vectors, rows: int, folder: Path) -> str:
    """Builds the first rows, then takes the others in, some of them in the place of built ones; returns the version."""
    schema = {"spaces": {"v": {"dimension": vectors.shape[1]}}, "attributes": {"number": {"type": "int"}}}
    with Client(cloud.url) as client:
        client.collections.create(NAME, schema)
        collection = client.collection(NAME)
        paths = [parquet(vectors[:rows], start, folder) for start in range(0, rows, FILE_ROWS)]
        collection.upload([LocalFile(name=path.name, source=path) for path in paths])
        done = collection.wait_for_build(collection.start_build().build_id)
        assert done.version is not None, done
        for start in range(rows, len(vectors), DELTA_ROWS):
            ids = np.arange(start, start + DELTA_ROWS)
            ids[:OVERWRITTEN] -= rows
            path = parquet(vectors, start, folder, rows=DELTA_ROWS, ids=ids)
            assert collection.upload([LocalFile(name=f"more-{path.name}", source=path)]).accepted == DELTA_ROWS
        assert collection.describe().rows == len(vectors) - DELTAS * OVERWRITTEN
    return done.version


def _measure(cloud: CloudStatus, version: str, queries: corpus.Vectors) -> dict[str, Any]:
    bodies = [{"query": {"vector": {"v": query.tolist()}}, "k": K} for query in queries]
    sides = {"without": f"{NAME}@{version}", "with": NAME}
    times: dict[str, list[float]] = {side: [] for side in sides}
    asked = 0
    with httpx.Client(timeout=60) as http:
        for turn, body in enumerate([*bodies[:WARM_UP], *bodies]):
            for side, name in sides.items():
                began = time.perf_counter()
                answer = http.post(f"{cloud.url}/v1/collections/{name}/search", json=body)
                took_ms = (time.perf_counter() - began) * 1e3
                found = answer.raise_for_status().json()
                assert not found["partial"], found["shards"]
                if turn >= WARM_UP:
                    times[side].append(took_ms)
                    asked = found["shards"]["requested"]
    middle = {side: float(np.median(values)) for side, values in times.items()}
    return {
        "deltas_asked": asked - 1,
        "without_ms_p50": middle["without"],
        "with_ms_p50": middle["with"],
        "ratio": middle["with"] / middle["without"],
        **{f"{side}_raw_ms": values for side, values in times.items()},
    }


if __name__ == "__main__":
    main()
