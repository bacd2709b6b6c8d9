"""What pending segments cost a search: the whole path in process, with 20 deltas beside a shard and without.

python -m benchmarks.deltas --rows 200000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from benchmarks import corpus, machine, prepared
from benchmarks.memory_build import UID
from builder.segments import write_segment
from functions.router.service import Router
from functions.router.versions import Versions
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.catalog.base import SegmentRow
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.deadline import Deadline
from shardlake.format import locations
from shardlake.format.segment import SegmentItem
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.store.base import ByteRange, ObjectStore
from shardlake.testing import InProcessInvoker, MemoryStore, add_segment
from shardlake.testing.memory_catalog import MemoryCatalog

DELTAS, DELTA_ROWS = 20, 1_000
OVERWRITTEN = 100  # of the rows of each delta: ids that the shard has
K = 10
WARM_UP = 50


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    made = corpus.corpus(args.rows)
    built = prepared.built(made)
    fresh = corpus.vectors(DELTAS * DELTA_ROWS, made.base.shape[1], seed=9)
    sides = {"without": _world(built, fresh[:0]), "with": _world(built, fresh)}
    bodies = [{"query": {"vector": {"v": query.tolist()}}, "k": K} for query in made.queries[: args.queries]]
    filtered = [{**body, "filter": {"u0": {"$lt": 0.1}}} for body in bodies]
    times: dict[str, list[float]] = {}
    for name, asked in (("search", bodies), ("filtered", filtered)):
        for turn, body in enumerate([*asked[:WARM_UP], *asked]):
            for side, search in sides.items():
                began = time.perf_counter()
                search(body)
                if turn >= WARM_UP:
                    times.setdefault(f"{name}_{side}", []).append((time.perf_counter() - began) * 1e3)
    figures: dict[str, Any] = {f"{name}_ms_p50": float(np.median(values)) for name, values in times.items()}
    for name in ("search", "filtered"):
        figures[f"{name}_ratio"] = figures[f"{name}_with_ms_p50"] / figures[f"{name}_without_ms_p50"]
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}")
    raw = {f"{name}_raw_ms": values for name, values in times.items()}
    machine.save(f"deltas-{args.rows}", f"python -m benchmarks.deltas --rows {args.rows}", {**figures, **raw})


def _world(built: prepared.Built, fresh: corpus.Vectors) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns the search of a collection with those vectors pending, some of them in the place of built ones."""
    catalog, store = _pending(built, fresh)
    containers: dict[int, ShardSearch] = {}

    def leaf(payload: bytes) -> bytes:
        request = decode_request(orjson.loads(payload))
        where = min(0, request.shards[0].shard_id)  # deltas together have a container of their own
        if where not in containers:
            containers[where] = ShardSearch(ShardCache(store, max_bytes=1 << 30), clock=time.monotonic)
        return encode_reply(containers[where].search(request))

    router = Router(
        settings=Settings(shard_search_function="leaf"),
        catalog=catalog,
        store=store,
        invoker=InProcessInvoker({"leaf": leaf}),
        clock=time.monotonic,
        versions=Versions(catalog, store),
    )
    observer = Observer("benchmark")

    def search(body: dict[str, Any]) -> dict[str, Any]:
        with observer.invocation("search", request_id="r") as line:
            (outcome,) = router.search("bench", [body], line, Deadline.after(60_000, clock=time.monotonic))
        assert isinstance(outcome, dict), outcome
        assert not outcome["partial"]
        return outcome

    return search


def _pending(built: prepared.Built, fresh: corpus.Vectors) -> tuple[MemoryCatalog, MemoryStore]:
    catalog, store = MemoryCatalog(), _Beside(built.store)
    standing = built.catalog.list_collections()[0]
    catalog.create_collection(replace(standing, name="bench"))
    for row in built.catalog.segments(UID):
        add_segment(catalog, UID, replace(row, sequence=0))
    through = catalog.log_head(UID).sequence
    catalog.commit(UID, expected=None, pointer=replace(built.pointer, through=through), shards=built.shards)
    for number in range(len(fresh) // DELTA_ROWS):
        name = f"delta-{number:02d}"
        first = number * DELTA_ROWS
        items = [_item(fresh[first + i], first + i, i < OVERWRITTEN) for i in range(DELTA_ROWS)]
        row = SegmentRow(
            segment_id=name,
            order=name,
            key=locations.segment(UID, name),
            rows=0,
            bytes=0,
            source="",
            created_at="",
        )
        add_segment(catalog, UID, write_segment(store, row, items, built.schema, encoders={}))
    return catalog, store


def _item(vector: corpus.Vectors, number: int, overwrites: bool) -> SegmentItem:
    name = f"{number:08d}" if overwrites else f"new-{number:08d}"
    payload = orjson.dumps({"id": name, "attributes": {"u0": number % 100 / 100}})
    return SegmentItem(id=name, payload=payload, vectors={"v": vector})


class _Beside(MemoryStore):
    """New objects in memory, beside those of a store that is not written to."""

    def __init__(self, below: ObjectStore) -> None:
        super().__init__()
        self._below = below

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Returns an object of either."""
        if key in self.objects:
            return super().get(key, max_bytes=max_bytes, deadline=deadline)
        return self._below.get(key, max_bytes=max_bytes, deadline=deadline)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, deadline: Deadline | None = None) -> list[bytes]:
        """Returns ranges of an object of either."""
        if key in self.objects:
            return super().get_ranges(key, ranges, deadline=deadline)
        return self._below.get_ranges(key, ranges, deadline=deadline)


if __name__ == "__main__":
    main()
