"""How much a container holds: what grows with every search is bounded, also within one batch."""

from __future__ import annotations

import pytest

from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import LeafRequest, LeafStats
from shardlake.deadline import Deadline
from shardlake.engine import items
from shardlake.testing import ManualClock
from tests.lake import Lake, ref, unit_rows
from tests.leaf_searches import change, leaf_search

SCAN = leaf_search(space="v", query=unit_rows(1, 8, 77)[0], k=10, nprobe=8, candidates=200)


def test_the_items_of_the_only_shard_are_dropped_when_it_outgrows_the_bound(leaf_lake: Lake) -> None:
    place = ref(leaf_lake.shards[0])
    cache, clock = ShardCache(leaf_lake.store, max_bytes=1), ManualClock()
    service = ShardSearch(cache, clock=clock)
    opened = cache.open(place, Deadline.after(1000, clock=clock), LeafStats())
    queries = unit_rows(20, 8, 5)

    first = service.search(LeafRequest(shards=(place,), searches=(SCAN,), timeout_ms=1000))
    again = service.search(
        LeafRequest(shards=(place,), searches=tuple(change(SCAN, query=query) for query in queries), timeout_ms=1000)
    )

    assert cache.open(place, Deadline.after(1000, clock=clock), LeafStats()) is opened
    held = opened.resident_bytes
    opened.forget_items()
    assert opened.resident_bytes == held
    assert len(first.answers[0].hits) == 10
    assert all(answer.error is None and len(answer.hits) == 10 for answer in again.answers)
    opened.search(SCAN)
    assert opened.resident_bytes > held  # which is what the bound is for


def test_of_items_of_which_most_are_known_only_the_others_are_read(
    big_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "CHUNKS_BYTES", 1)  # no chunk is kept but the last
    opened, stats = big_lake.opened(), LeafStats()
    held = items.ShardItems(opened.header)
    first = held.entries([0, 5000, 9999], opened.reader(LeafStats()))

    again = held.entries([9999, 2500, 0, 5000, 2500], opened.reader(stats))

    assert stats.object_reads == 1
    assert [again[2], again[3], again[0]] == first
    assert again[1] == again[4] not in first
