"""The whole path cold: what router and leaf read together, in how many rounds, how it grows, and how it ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shardlake.errors import ErrorKind, Unavailable
from shardlake.format import locations
from shardlake.format.container import Container
from shardlake.format.routing import ROUTING_KIND, Routing, decode_routing, encode_routing
from shardlake.store.base import ObjectStore
from shardlake.testing import CountingStore, MemoryBlocks, WrappedStore
from shardlake.types import AttributeType
from tests.lake import UID, Lake, items_of, schema, space, unit_rows

QUERY = {"query": {"vector": {"v": unit_rows(1, 16, 5)[0].tolist()}}}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """3,000 rows in three shards."""
    target = schema(space(16), target_rows=1000, attributes={"number": AttributeType.INT})
    return Lake(target, tmp_path).built(items_of(unit_rows(3000, 16)))


def _cold(lake: Lake, store: ObjectStore, **body: Any) -> dict[str, Any]:
    """Searches with a router and leaves that hold nothing, all reading through `store`."""
    lake.replace_containers(store)
    answer = lake.post("search", {**QUERY, **body}, router=lake.router(store))
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_cold_search_reads_manifest_and_routing_then_tail_and_lists_then_items(lake: Lake) -> None:
    store = CountingStore(lake.store)
    found = _cold(lake, store, nprobe=2)
    shards = found["shards"]["requested"]

    assert store.operations == {"get": 2, "get_ranges": 2 * shards}
    assert found["stats"]["object_reads"] == store.object_reads - 2


class _Together(WrappedStore):
    """A store whose `get` answers only once as many are under way."""

    def __init__(self, inner: ObjectStore, parties: int) -> None:
        super().__init__(inner)
        self._barrier = threading.Barrier(parties, timeout=10)

    def before(self, operation: str, key: str) -> None:
        if operation == "get":
            self._barrier.wait()


def test_the_router_reads_manifest_and_routing_file_side_by_side(lake: Lake) -> None:
    _cold(lake, _Together(lake.store, parties=2))  # one after the other would never end


def test_a_filtered_search_does_not_read_the_routing_file(lake: Lake) -> None:
    store = CountingStore(lake.store)
    _cold(lake, store, filter={"number": {"$lt": 2000}})

    assert store.operations["get"] == 1


def test_a_warm_router_reads_a_routing_file_when_a_search_first_needs_it(lake: Lake) -> None:
    store = CountingStore(lake.store)
    router = lake.router(store)
    for _ in range(2):
        lake.post("search", {"k": 3}, router=router)
    assert store.operations["get"] == 1
    for _ in range(2):
        lake.post("search", QUERY, router=router)

    assert store.operations["get"] == 2


def test_a_version_of_which_a_part_could_not_be_read_is_not_kept(lake: Lake) -> None:
    class Once(WrappedStore):
        failures = 1

        def before(self, operation: str, key: str) -> None:
            if key.endswith(".router") and self.failures:
                self.failures -= 1
                raise Unavailable("not now", kind=ErrorKind.STORE_UNAVAILABLE)

    router = lake.router(Once(lake.store))

    assert lake.post("search", QUERY, router=router).status == 503
    assert lake.post("search", QUERY, router=router).status == 200


def test_a_version_of_the_first_format_is_searched_though_its_routing_file_knows_no_places(lake: Lake) -> None:
    expected = _cold(lake, lake.store, nprobe=3)["hits"]
    pointer = lake.catalog.pointer(UID)
    assert pointer is not None
    key = locations.routing(UID, pointer.version, "v")
    lake.store.objects[key] = encode_routing(Routing(centroids=decode_routing(lake.store.objects[key]).centroids))
    store = CountingStore(lake.store)
    found = _cold(lake, store, nprobe=3)

    assert found["hits"] == expected
    assert store.operations["get_ranges"] == 3 * found["shards"]["requested"], "tail, lists, items"


def test_places_that_lie_make_the_shard_fail_with_its_kind_and_never_a_wrong_hit(lake: Lake) -> None:
    pointer = lake.catalog.pointer(UID)
    assert pointer is not None
    key = locations.routing(UID, pointer.version, "v")
    routing = decode_routing(lake.store.objects[key])
    assert routing.extents is not None
    lied = type(routing.extents)(
        offsets=routing.extents.offsets[::-1],
        bytes=routing.extents.bytes,
        checksums=routing.extents.checksums,
        rows=routing.extents.rows,
    )
    lake.store.objects[key] = encode_routing(Routing(centroids=routing.centroids, extents=lied))
    assert Container(lake.store.objects[key], ROUTING_KIND).meta["lists"] == len(routing.centroids)
    lake.replace_containers(lake.store)
    answer = lake.post("search", QUERY, router=lake.router())

    assert (answer.status, answer.kind) == (503, "no-shard-answered")
    assert {failure["kind"] for failure in answer.json["error"]["details"]["failed"]} == {"malformed-file"}


# Growth -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Lake]:
    """One shard of 10,000 and one of 40,000 rows of 64 dimensions, of one law."""
    lakes = {}
    rng = np.random.default_rng(3)
    centres = unit_rows(300, 64, 1)
    drawn = centres[rng.integers(0, 300, 40_000)] + 0.6 * unit_rows(40_000, 64, 2)
    for rows in (10_000, 40_000):
        target = schema(space(64), attributes={"number": AttributeType.INT})
        lakes[rows] = Lake(target, tmp_path_factory.mktemp(f"rows-{rows}")).built(items_of(drawn[:rows]))
    return lakes


def test_bytes_and_codes_of_a_cold_search_grow_no_faster_than_the_root_of_the_rows(growing: dict[int, Lake]) -> None:
    queries = unit_rows(300, 64, 1)[:20] + 0.6 * unit_rows(20, 64, 9)
    bytes_read, codes = {}, {}
    for rows, lake in growing.items():
        counts = []
        for query in queries:
            store = CountingStore(lake.store)
            found = _cold(lake, store, query={"vector": {"v": query.tolist()}}, nprobe=8)
            counts.append((store.bytes_read, found["stats"]["codes_scanned"]))
        bytes_read[rows], codes[rows] = np.median(counts, axis=0)

    root = 2.0  # √(40,000 / 10,000)
    assert bytes_read[40_000] <= root * bytes_read[10_000]
    # Lists are as many as the power of two next to √rows: within one step the factor is off by √2 at the most.
    assert codes[40_000] <= root * codes[10_000] * 1.1


# What follows a cold answer -----------------------------------------------------------------------


def _warming(lake: Lake, megabytes: int) -> None:
    lake.warm_up_mb = megabytes
    lake.disks = {row.shard_id: MemoryBlocks() for row in lake.shards}


def test_a_shard_that_answered_cold_is_warmed_up_in_the_background_and_then_reads_nothing(lake: Lake) -> None:
    _warming(lake, 64)
    store = CountingStore(lake.store)
    lake.replace_containers(store)
    lake.search(**QUERY, recall=1)

    assert lake.invoker.run_started() == len(lake.shards)
    reads = store.object_reads
    for query in unit_rows(10, 16, 8):
        found = lake.search(query={"vector": {"v": query.tolist()}}, nprobe=4)
        assert found["stats"]["object_reads"] == 0
    assert store.object_reads == reads
    assert lake.invoker.run_started() == 0, "what is open already is not warmed up again"


def test_without_the_setting_nothing_is_started(lake: Lake) -> None:
    _warming(lake, 0)
    lake.search(**QUERY)

    assert lake.invoker.run_started() == 0


def test_a_warm_up_that_cannot_be_started_costs_no_answer(lake: Lake) -> None:
    _warming(lake, 64)
    started: list[str] = []

    def refuse(function: str, payload: bytes) -> None:
        started.append(function)
        raise Unavailable("no", kind=ErrorKind.FUNCTION_UNAVAILABLE)

    lake.invoker.start = refuse  # type: ignore[method-assign]  # the fault this test is about
    found = lake.search(**QUERY)

    assert started
    assert len(found["hits"]) == 10
