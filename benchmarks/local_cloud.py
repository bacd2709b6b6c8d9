"""User-brought vectors through the whole path on the local cloud: recall over HTTP, and latency against null functions.

python -m benchmarks.local_cloud --rows 200000 --shards 4
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import corpus, machine, null_path
from shardlake.client import Client
from shardlake.client.uploads import LocalFile
from shardlake.core import exact
from shardlake.local import CloudStatus, down, up
from shardlake.types import Metric

K = 10
FILE_ROWS = 20_000
EXACT_QUERIES = 40
WARM_UP = 40
EVERYTHING = {"number": {"$gte": 0}}  # a filter that all rows pass: every shard is asked, as no probe says which matter


def main() -> None:
    """Builds the collection, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    base = corpus.vectors(args.rows, seed=5)
    queries = corpus.vectors(args.queries, seed=5, draw=2)
    with tempfile.TemporaryDirectory() as folder:
        cloud = up(Path(folder) / "cloud", 0)
        try:
            figures = _fill(cloud, base, args.shards, Path(folder)) | _measure(cloud, base, queries)
        finally:
            down(Path(folder) / "cloud")
    raw = {name: figures.pop(name) for name in list(figures) if name.endswith("_raw_ms")}
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")
    command = f"python -m benchmarks.local_cloud --rows {args.rows} --shards {args.shards}"
    machine.save(f"local-cloud-{args.rows}", command, {**figures, **raw})


def _fill(cloud: CloudStatus, base: corpus.Vectors, shards: int, folder: Path) -> dict[str, Any]:
    schema = {
        "spaces": {"v": {"dimension": base.shape[1]}},
        "attributes": {"number": {"type": "int"}},
        "sharding": {"by": "cluster", "target_rows": -(-len(base) // shards)},
    }
    paths = [parquet(base, start, folder) for start in range(0, len(base), FILE_ROWS)]
    files = [LocalFile(name=path.name, source=path) for path in paths]
    with Client(cloud.url) as client:
        client.collections.create("bench", schema)
        collection = client.collection("bench")
        began = time.perf_counter()
        report = collection.upload(files)
        ingested = time.perf_counter()
        collection.wait_for_build(collection.start_build().build_id)
        built = time.perf_counter()
        state = collection.describe()
    assert report.accepted == len(base), report
    return {
        "rows": state.rows,
        "shards": state.shards,
        "ingest_s": ingested - began,
        "ingest_items_per_s": len(base) / (ingested - began),
        "build_s": built - ingested,
    }


def parquet(
    base: corpus.Vectors, start: int, folder: Path, *, rows: int = FILE_ROWS, ids: npt.NDArray[np.int64] | None = None
) -> Path:
    """Writes some rows as a file of items, under ids of their own numbers or of others; returns its path."""
    part = base[start : start + rows]
    numbers = (np.arange(start, start + len(part)) if ids is None else ids).tolist()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])
    table = pa.table(
        {
            "id": [f"{number:08d}" for number in numbers],
            "attributes": pa.StructArray.from_arrays([pa.array(numbers)], ["number"]),
            "vectors": pa.StructArray.from_arrays([vectors], ["v"]),
        }
    )
    path = folder / f"{start:08d}.parquet"
    pq.write_table(table, path)
    return path


def _measure(cloud: CloudStatus, base: corpus.Vectors, queries: corpus.Vectors) -> dict[str, Any]:
    truth, _ = exact.nearest(queries, [(np.arange(len(base)), base)], K, Metric.COSINE)
    null_url = null_path.deploy(cloud)
    search_url = f"{cloud.url}/v1/collections/bench/search"
    bodies = [{"query": {"vector": {"v": query.tolist()}}, "k": K} for query in queries]
    with httpx.Client(timeout=60) as http:
        exact_found = _ids([_search(http, search_url, {**b, "recall": 1})[1] for b in bodies[:EXACT_QUERIES]])
        ours, filtered, null, answers = [], [], [], []
        for turn, body in enumerate([*bodies[:WARM_UP], *bodies]):
            took_ms, answer = _search(http, search_url, body)
            all_shards_ms, _ = _search(http, search_url, {**body, "filter": EVERYTHING})
            null_ms, _ = _search(http, null_url, {})
            if turn >= WARM_UP:
                ours.append(took_ms)
                filtered.append(all_shards_ms)
                null.append(null_ms)
                answers.append(answer)
    return {
        "recall_default": float(exact.recall(_ids(answers), truth).mean()),
        "recall_exact": float(exact.recall(exact_found, truth[:EXACT_QUERIES]).mean()),
        "shards_searched_mean": float(np.mean([answer["shards"]["searched"] for answer in answers])),
        "search_ms_p50": float(np.median(ours)),
        "null_ms_p50": float(np.median(null)),
        "ratio_p50": float(np.median(ours) / np.median(null)),
        "all_shards_ms_p50": float(np.median(filtered)),
        "all_shards_ratio_p50": float(np.median(filtered) / np.median(null)),
        "search_ms_p90": float(np.percentile(ours, 90)),
        "null_ms_p90": float(np.percentile(null, 90)),
        "search_raw_ms": ours,
        "all_shards_raw_ms": filtered,
        "null_raw_ms": null,
    }


def _search(http: httpx.Client, url: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    answer = http.post(url, json=body)
    took_ms = (time.perf_counter() - began) * 1e3
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    assert not found.get("partial"), found
    return took_ms, found


def _ids(answers: list[dict[str, Any]]) -> npt.NDArray[np.int64]:
    return np.array([[int(hit["id"]) for hit in answer["hits"]] for answer in answers])


if __name__ == "__main__":
    main()
