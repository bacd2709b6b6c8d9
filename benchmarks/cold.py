"""Cold searches: bytes, reads and rounds of a query of which no function holds anything, and how they grow with rows.

The whole path runs in one process, router and leaf as they are deployed, each query with fresh ones, over one store
that counts and takes its time: reads that overlap are one round. The pointer and the shard map are catalog reads and
are not counted; the manifest is.

    python -m benchmarks.cold --rows 200000
    python -m benchmarks.cold --rows 10000 100000 1000000 --queries 100
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import dataclass

import faiss
import numpy as np
import orjson

from benchmarks import corpus, machine
from benchmarks.memory_build import SPACE, Built, build
from functions.router.service import Router
from functions.router.versions import Versions
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.catalog.base import CollectionRow
from shardlake.contracts.collection import body_of_schema
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.core import exact
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.testing import CountingStore, InProcessInvoker, MemoryCatalog, SlowStore
from shardlake.types import CollectionSchema, Metric, SpaceSpec

K = 10
GET_S = 0.003  # of one read of the store: enough that reads in parallel overlap
LEAF = "shard-search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """What one cold query read, and found."""

    bytes: int
    reads: int
    rounds: int
    codes_scanned: int
    lists_probed: int
    found: list[int]


def main() -> None:
    """Measures each size and prints it; saves the raw counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--dimension", type=int, default=256)
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    sizes = {str(rows): measure(rows, args.queries, args.dimension) for rows in args.rows}
    command = f"python -m benchmarks.cold --rows {' '.join(map(str, args.rows))} --queries {args.queries}"
    path = machine.save(f"cold-{max(args.rows)}", command, {"dimension": args.dimension, "sizes": sizes})
    print(f"raw results    {path.name}")


def measure(rows: int, queries: int, dimension: int) -> dict[str, object]:
    """Builds a collection of one shard and asks it cold; returns medians, worst cases and raw counts."""
    base = corpus.vectors(rows, dimension, seed=5)
    asked = corpus.vectors(queries, dimension, seed=5, draw=2)
    began = time.perf_counter()
    built = build(base)
    build_s = time.perf_counter() - began
    truth, _ = exact.nearest(asked, [(np.arange(rows), base)], K, Metric.COSINE)
    told = [ask(built, dimension, query) for query in asked]
    (row,) = built.shards
    routing = next(info for info in built.store.list("data/") if info.key.endswith(".router"))
    manifest = built.store.head(built.pointer.manifest_key)
    figures: dict[str, object] = {
        "build_s": build_s,
        "shard_bytes": row.bytes,
        "tail_bytes": row.bytes - row.footer_offset,
        "routing_bytes": routing.size_bytes,
        "manifest_bytes": manifest.size_bytes,
        "recall": float(exact.recall(np.asarray([one.found for one in told]), truth).mean()),
    }
    for name in ("bytes", "reads", "rounds", "codes_scanned", "lists_probed"):
        values = [getattr(one, name) for one in told]
        figures |= {f"{name}_p50": float(np.median(values)), f"{name}_max": max(values), name: values}
    for name, value in figures.items():
        if not isinstance(value, list):
            print(
                f"{rows:>9,}  {name:18} {value:,.4g}"
                if isinstance(value, float)
                else f"{rows:>9,}  {name:18} {value:,}"
            )
    return figures


def ask(built: Built, dimension: int, query: corpus.Vectors) -> Cold:
    """Sends one search through a router and a leaf that have just begun."""
    store = CountingStore(SlowStore(built.store, wait=lambda: time.sleep(GET_S)))
    leaf = ShardSearch(ShardCache(store, max_bytes=1 << 34), clock=time.monotonic)
    invoker = InProcessInvoker({LEAF: lambda payload: encode_reply(leaf.search(decode_request(orjson.loads(payload))))})
    catalog = _catalog(built, dimension)
    router = Router(
        settings=Settings(bucket="b", shard_search_function=LEAF),
        catalog=catalog,
        store=store,
        invoker=invoker,
        clock=time.monotonic,
        versions=Versions(catalog, store),
    )
    body = {"query": {"vector": {SPACE: query.tolist()}}, "k": K}
    with Observer("cold", stream=io.StringIO()).invocation("cold", request_id="r") as line:
        (answer,) = router.search("bench", [body], line, Deadline.after(60_000, clock=time.monotonic))
    assert isinstance(answer, dict), answer
    stats = answer["stats"]
    return Cold(
        bytes=store.bytes_read,
        reads=store.object_reads,
        rounds=store.rounds,
        codes_scanned=stats["codes_scanned"],
        lists_probed=stats["lists_probed"],
        found=[int(hit["id"]) for hit in answer["hits"]],
    )


def _catalog(built: Built, dimension: int) -> MemoryCatalog:
    catalog = MemoryCatalog()
    schema = CollectionSchema(spaces=(SpaceSpec(name=SPACE, dimension=dimension),), attributes=())
    row = CollectionRow(name="bench", uid="bench", body=body_of_schema(schema), created_at="2026-01-01T00:00:00Z")
    catalog.create_collection(row)
    catalog.commit("bench", expected=None, pointer=built.pointer, shards=built.shards)
    return catalog


if __name__ == "__main__":
    main()
