"""A batch: the same answers as of its searches one by one, bit for bit, in as many rounds of reads as one of them."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import LeafAnswer, LeafRequest, LeafSearch, LeafStats
from shardlake.errors import DeadlineExceeded, Unavailable
from shardlake.store.base import ObjectStore
from shardlake.testing import CountingStore, FlakyStore, ManualClock
from shardlake.types import AttributeType, IndexSpec, IndexType, Metric, Transform
from tests.lake import Lake, item, ref, schema, space, unit_rows
from tests.leaf_searches import change, leaf_search

ROWS, DIMENSION, QUERIES = 1200, 20, 23
SCANNED = {
    "ivf_pq": IndexSpec(type=IndexType.IVF_PQ, transform=Transform.NONE),
    "ivf_pq opq": IndexSpec(type=IndexType.IVF_PQ, transform=Transform.OPQ),
    "ivf_rabitq": IndexSpec(type=IndexType.IVF_RABITQ, bits=1),
    "ivf_rabitq 4 bits": IndexSpec(type=IndexType.IVF_RABITQ, bits=4),
}
CASES = [(name, metric) for name in SCANNED for metric in (Metric.COSINE, Metric.L2)]
READS = {"object_reads", "bytes_read", "cache_reads", "cache_bytes"}


@cache
def lake_of(name: str, metric: Metric) -> Lake:
    """Returns 1,200 rows in one shard; every tenth row has the vector of the one before, so that scores tie."""
    rng = np.random.default_rng(5)
    vectors = (unit_rows(ROWS, DIMENSION, 4) * rng.uniform(0.5, 2, (ROWS, 1))).astype(np.float32)
    vectors[10::10] = vectors[9:-1:10]
    target = schema(space(DIMENSION, metric=metric, index=SCANNED[name]), attributes={"number": AttributeType.INT})
    # The order of the ids is not that of the rows.
    items = [item(f"{i * 7919 % ROWS:05d}", {"v": row}, number=i) for i, row in enumerate(vectors)]
    return Lake(target, Path(mkdtemp(prefix="shardlake-test-"))).built(items)


def searches_of(**asked: object) -> list[LeafSearch]:
    """Returns a search for each query."""
    return [
        leaf_search(space="v", query=query, **{"k": 10, "nprobe": 8, "candidates": 60, **asked})
        for query in unit_rows(QUERIES, DIMENSION, 6)
    ]


def ask(store: ObjectStore, lake: Lake, *searches: LeafSearch, timeout_ms: float = 1000) -> list[LeafAnswer]:
    """Returns the answers of a container that knows nothing yet."""
    service = ShardSearch(ShardCache(store, max_bytes=1 << 30), clock=ManualClock())
    request = LeafRequest(shards=(ref(lake.shards[0]),), searches=searches, timeout_ms=timeout_ms)
    return list(service.search(request).answers)


def one_by_one(lake: Lake, searches: list[LeafSearch]) -> list[LeafAnswer]:
    """Returns the answer to each search, asked alone of one container."""
    opened = lake.opened()
    return [opened.search(search) for search in searches]


def said(answers: list[LeafAnswer]) -> list[object]:
    """Returns all that answers say, but for who read what."""
    counters = [spec.name for spec in fields(LeafStats) if spec.name not in READS]
    return [
        (answer.hits, answer.facets, answer.strategy, [getattr(answer.stats, name) for name in counters])
        for answer in answers
    ]


@pytest.mark.parametrize(("name", "metric"), CASES)
def test_a_batch_answers_bit_for_bit_what_its_searches_are_answered_alone(name: str, metric: Metric) -> None:
    lake = lake_of(name, metric)
    lists = lake.opened().header.spaces["v"].lists
    told = [
        change(search, lists=tuple((position + step) % lists for step in (0, 3, 5, 6, 9)))
        for position, search in enumerate(searches_of())
    ]
    for searches in (searches_of(), searches_of(k=1, candidates=300), searches_of(k=150, nprobe=20), told):
        alone = one_by_one(lake, searches)

        assert said(ask(lake.store, lake, *searches)) == said(alone)
        assert said(ask(lake.store, lake, *searches[::-2])) == said(alone[::-2])


@pytest.mark.parametrize(("name", "metric"), CASES)
def test_a_row_scores_the_same_alone_and_among_more_rows_than_are_scored_at_a_time(name: str, metric: Metric) -> None:
    opened = lake_of(name, metric).opened()
    space_of = opened.space("v")
    space_of.load(range(space_of.lists.space.lists), opened.reader(LeafStats()))
    query, rows = unit_rows(1, DIMENSION, 7)[0], np.random.default_rng(8).permutation(ROWS)

    scores = space_of.score_rows(query, rows)

    assert scores.shape == (ROWS,)
    for place in range(0, ROWS, 97):
        assert space_of.score_rows(query, rows[place : place + 1]).tolist() == [scores[place]]


@pytest.mark.parametrize(("name", "metric"), CASES)
def test_searches_of_a_batch_whose_lists_are_short_are_answered_like_the_others(name: str, metric: Metric) -> None:
    lake = lake_of(name, metric)
    for shape in ({"nprobe": 1, "candidates": 5}, {"nprobe": 1, "k": 100}, {"nprobe": 2, "depth": 60}, {"k": 2000}):
        searches = searches_of(**shape)

        assert said(ask(lake.store, lake, *searches)) == said(one_by_one(lake, searches))


def test_searches_of_every_kind_stand_in_a_batch_and_each_is_answered_as_alone() -> None:
    lake = lake_of("ivf_pq", Metric.COSINE)
    changes = [
        {},
        {"k": 3},
        {"attributes": False},
        {"rank": ["neg", ["value", "number"]]},
        {"facets": (["number", "int", [100, 2000], False],)},
        {"filter": ["lt", "number", 500]},
        {"exact": True},
        {"lists": (1, 2, 3)},
    ]
    searches = [change(search, **changes[i % len(changes)]) for i, search in enumerate(searches_of())]
    alone = one_by_one(lake, searches)

    assert said(ask(lake.store, lake, *searches)) == said(alone)
    assert len({answer.strategy for answer in alone}) > 1


def test_a_cold_batch_takes_no_more_rounds_of_reads_than_one_search() -> None:
    lake = lake_of("ivf_pq", Metric.COSINE)
    store = CountingStore(lake.store)

    answers = ask(store, lake, *searches_of())

    assert store.operations == {"get_ranges": 5}, "tail, centroids, lists, the order of ids where scores tie, items"
    assert sum(answer.stats.object_reads for answer in answers) == store.object_reads
    assert sum(answer.stats.bytes_read for answer in answers) == store.bytes_read


@pytest.mark.parametrize("fails_at", range(5))
def test_a_read_that_failed_once_spoils_no_search_of_a_batch(fails_at: int) -> None:
    lake = lake_of("ivf_pq", Metric.COSINE)
    searches = searches_of()
    reads = iter(range(1000))
    store = FlakyStore(lake.store, when=lambda operation, key: next(reads) == fails_at)

    assert said(ask(store, lake, *searches)) == said(one_by_one(lake, searches))


def test_every_search_of_a_batch_says_what_is_wrong_with_its_reads() -> None:
    lake = lake_of("ivf_pq", Metric.COSINE)
    store = FlakyStore(lake.store, failures=1 + QUERIES)  # of all together, then of each

    down = ask(store, lake, *searches_of())
    late = ask(lake.store, lake, *searches_of(), timeout_ms=0)

    assert all(isinstance(answer.error, Unavailable) for answer in down)
    assert all(isinstance(answer.error, DeadlineExceeded) for answer in late)
