"""Data that changes, on the local cloud: from a write to the search that finds it, and searches while much comes in.

python -m benchmarks.changes --rows 100000
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from benchmarks import corpus, machine
from shardlake.client import Client
from shardlake.client.uploads import LocalFile
from shardlake.local import CloudStatus, down, up

K = 10
BASE_ROWS = 20_000
FILE_ROWS = 10_000
PUTS, DROPS = 60, 30
SEARCHES_PER_S = 10
CHECKED, WORKERS = 5, 16
POLL_S = 0.01
NAME = "bench"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    args = parser.parse_args()
    vectors = corpus.vectors(BASE_ROWS + args.rows + PUTS + DROPS, args.dimension, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        cloud = up(Path(folder) / "cloud", 0)
        try:
            figures = _measure(cloud, vectors, args.rows)
        finally:
            down(Path(folder) / "cloud")
    raw = {name: figures.pop(name) for name in list(figures) if name.endswith("_raw")}
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")
    command = f"python -m benchmarks.changes --rows {args.rows} --dimension {args.dimension}"
    machine.save(f"changes-{args.rows}", command, {**figures, **raw})


def _measure(cloud: CloudStatus, vectors: corpus.Vectors, rows: int) -> dict[str, Any]:
    schema = {"spaces": {"v": {"dimension": vectors.shape[1]}}, "attributes": {"number": {"type": "int"}}}
    with Client(cloud.url) as client:
        client.collections.create(NAME, schema)
        collection = client.collection(NAME)
        collection.upload([LocalFile(name="base.jsonl", source=_lines(vectors, 0, BASE_ROWS))])
        collection.wait_for_build(collection.start_build().build_id)
        singles = range(len(vectors) - PUTS - DROPS, len(vectors))

        def put(number: int) -> None:
            collection.upsert([_item(vectors, number)])

        def drop(number: int) -> None:
            place = _place(cloud, f"drop-{number}.jsonl", _lines(vectors, number, number + 1))
            place()

        put_s = [_found_s(cloud, vectors, number, put) for number in singles[:PUTS]]
        drop_s = [_found_s(cloud, vectors, number, drop) for number in singles[PUTS:]]
        figures = _while_much_comes_in(cloud, client, vectors, rows)
    return {
        "put_found_s_p50": float(np.median(put_s)),
        "put_found_s_p95": float(np.percentile(put_s, 95)),
        "drop_found_s_p50": float(np.median(drop_s)),
        "drop_found_s_max": max(drop_s),
        **figures,
        "put_found_s_raw": put_s,
        "drop_found_s_raw": drop_s,
    }


def _place(cloud: CloudStatus, name: str, body: bytes) -> Callable[[], None]:
    """Returns what PUTs a file to the place that the API names for it: asked before the clock runs."""
    url = f"{cloud.url}/v1/collections/{NAME}/uploads"
    place = httpx.post(url, json={"files": [{"name": name, "bytes": len(body)}]}).json()["uploads"][0]["url"]

    def send() -> None:
        httpx.put(place, content=body).raise_for_status()

    return send


def _found_s(cloud: CloudStatus, vectors: corpus.Vectors, number: int, write: Callable[[int], None]) -> float:
    """Returns the seconds from the beginning of a write to the answer of a strong search that finds the item."""
    body = {"query": {"vector": {"v": vectors[number].tolist()}}, "k": 1, "include": []}
    with httpx.Client(timeout=60) as http:
        began = time.perf_counter()
        write(number)
        while True:
            answer = http.post(f"{cloud.url}/v1/collections/{NAME}/search", json=body).json()
            if [hit["id"] for hit in answer["hits"]] == [_id(number)]:
                return time.perf_counter() - began
            time.sleep(POLL_S)


def _while_much_comes_in(cloud: CloudStatus, client: Client, vectors: corpus.Vectors, rows: int) -> dict[str, Any]:
    files = [
        LocalFile(name=f"{start:08d}.jsonl", source=_lines(vectors, start, min(start + FILE_ROWS, BASE_ROWS + rows)))
        for start in range(BASE_ROWS, BASE_ROWS + rows, FILE_ROWS)
    ]
    collection = client.collection(NAME)
    searching = _Searching(cloud, vectors[:BASE_ROWS])
    searching.start()
    began = time.perf_counter()
    report = collection.upload(files)
    took_s = time.perf_counter() - began
    state = collection.describe()
    searching.stop()
    assert report.accepted == rows, report
    assert state.rows == BASE_ROWS + rows + PUTS + DROPS, state
    return {
        "items_per_s": rows / took_s,
        "searches": len(searching.took_s) + 2 * len(searching.recalls),
        "searches_per_s": (len(searching.took_s) + 2 * len(searching.recalls)) / took_s,
        "searches_failed": searching.failed,
        "searches_partial": searching.partial,
        "search_s_p50": float(np.median(searching.took_s)),
        "search_s_p95": float(np.percentile(searching.took_s, 95)),
        "recall_mean": float(np.mean(searching.recalls)),
        "recall_lowest": min(searching.recalls),
        "searches_checked": len(searching.recalls),
        "search_s_raw": searching.took_s,
        "recall_raw": searching.recalls,
    }


class _Searching(threading.Thread):
    """Begins so many searches a second, whether those before are answered or not.

    One in CHECKED is a batch with its own exact search beside it: both are of one snapshot.
    """

    def __init__(self, cloud: CloudStatus, queries: corpus.Vectors) -> None:
        super().__init__(daemon=True)
        self.took_s: list[float] = []
        self.recalls: list[float] = []
        self.failed = self.partial = 0
        self._url = f"{cloud.url}/v1/collections/{NAME}/search"
        self._queries = queries
        self._ends = threading.Event()

    def run(self) -> None:
        """Searches until it is stopped."""
        order = np.random.default_rng(3).permutation(len(self._queries)).tolist()
        began = time.perf_counter()
        with httpx.Client(timeout=60) as http, ThreadPoolExecutor(WORKERS) as pool:
            begun = 0
            for turn, number in enumerate(order):
                if self._ends.wait(max(0.0, began + begun / SEARCHES_PER_S - time.perf_counter())):
                    return
                is_checked = turn % CHECKED == 0
                begun += 1 + is_checked
                pool.submit(self._search, http, self._queries[number], is_checked=is_checked)

    def stop(self) -> None:
        """Ends after the searches under way."""
        self._ends.set()
        self.join()

    def _search(self, http: httpx.Client, query: corpus.Vectors, *, is_checked: bool) -> None:
        body = {"query": {"vector": {"v": query.tolist()}}, "k": K, "include": [], "timeout_ms": 10_000}
        if not is_checked:
            began = time.perf_counter()
            answer = http.post(self._url, json=body)
            self.took_s.append(time.perf_counter() - began)
            self.failed += answer.status_code != httpx.codes.OK
            self.partial += bool(answer.json().get("partial"))
            return
        answer = http.post(f"{self._url}:batch", json={"searches": [body, {**body, "recall": 1}]})
        results = answer.json().get("results", [])
        if not results or any("error" in one for one in results):
            self.failed += 1
            return
        self.partial += any(one["partial"] for one in results)
        found, true = ({hit["id"] for hit in one["hits"]} for one in results)
        self.recalls.append(len(found & true) / K)


def _id(number: int) -> str:
    return f"{number:08d}"


def _item(vectors: corpus.Vectors, number: int) -> dict[str, Any]:
    vector = [round(float(value), 6) for value in vectors[number]]
    return {"id": _id(number), "attributes": {"number": number}, "vectors": {"v": vector}}


def _lines(vectors: corpus.Vectors, start: int, stop: int) -> bytes:
    return b"".join(orjson.dumps(_item(vectors, n), option=orjson.OPT_APPEND_NEWLINE) for n in range(start, stop))


if __name__ == "__main__":
    main()
