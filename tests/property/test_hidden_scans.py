"""Hidden rows of scanned spaces: never found at any depth; as many hits as there are live rows; no depth lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardlake.contracts.shard import LeafAnswer, LeafSearch, LeafStats
from shardlake.engine import nearest
from shardlake.engine.hidden import LiveRows
from shardlake.engine.shard import OpenShard
from shardlake.types import AttributeType, IndexSpec, IndexType, Int64Array, Metric, Transform
from tests.lake import Lake, item, schema, space, unit_rows
from tests.leaf_searches import change, leaf_search

ROWS, DIMENSION = 1500, 12
SPACES = {
    "primary": IndexSpec(type=IndexType.IVF_PQ),
    "pca": IndexSpec(type=IndexType.IVF_PQ, transform=Transform.PCA, dimension=8),
    "rabitq": IndexSpec(type=IndexType.IVF_RABITQ, bits=2),
    "ivf_flat": IndexSpec(type=IndexType.IVF_FLAT),
    "flat": IndexSpec(type=IndexType.FLAT),
    "binary": IndexSpec(type=IndexType.BINARY_MIH, bits=64),
    "sketch": IndexSpec(type=IndexType.BINARY_MIH, bits=64),
}
SCANNED = ["primary", "pca", "rabitq"]
QUERIES = unit_rows(24, DIMENSION, 99)
LAW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One shard in which every space but the primary lacks some rows."""
    vectors = {name: unit_rows(ROWS, DIMENSION, seed) for seed, name in enumerate(SPACES) if name != "sketch"}
    items = [
        item(
            f"{row:04d}", {n: v[row] for s, (n, v) in enumerate(vectors.items()) if not s or row % (s + 5)}, number=row
        )
        for row in range(ROWS)
    ]
    specs = [space(DIMENSION, n, metric=Metric.COSINE, index=i) for n, i in SPACES.items() if n != "sketch"]
    specs.append(space(DIMENSION, "sketch", index=SPACES["sketch"], source="rabitq"))
    target = schema(*specs, attributes={"number": AttributeType.INT})
    return Lake(target, tmp_path_factory.mktemp("hidden")).built(items)


@pytest.fixture(scope="module")
def warm(lake: Lake) -> OpenShard:
    """The shard, held from search to search: what hides rows comes and goes."""
    return lake.opened()


def _live(hidden: Int64Array) -> LiveRows:
    mask = np.ones(ROWS, bool)
    mask[hidden] = False
    return LiveRows(mask)


def _ranked(shard: OpenShard, name: str, query: np.ndarray[Any, Any]) -> Int64Array:
    """Returns the rows that have a vector in a space, nearest first."""
    found = shard.search(leaf_search(name, query, k=ROWS, exact=True)).hits
    row_of = {hit.id: row for row, hit in enumerate(shard.search(LeafSearch(k=ROWS)).hits)}
    by_id = shard._items.ranks(shard.reader(LeafStats()))
    return np.array([int(np.flatnonzero(by_id == row_of[hit.id])[0]) for hit in found], np.int64)


def _rows(shard: OpenShard, answer: LeafAnswer) -> set[int]:
    return set(shard._items.find(tuple(hit.id for hit in answer.hits), shard.reader(LeafStats())))


@st.composite
def _hidden(draw: st.DrawFn) -> Int64Array:
    """Draws rows: some anywhere, or all of some neighbourhood, which in the primary space is whole lists."""
    count = draw(st.sampled_from([1, 2, 8, 75, 370, 380, 900, ROWS - 3, ROWS]))
    if draw(st.booleans()):
        first = draw(st.integers(0, ROWS - 1))
        return (np.arange(first, first + count) % ROWS).astype(np.int64)
    return np.random.default_rng(draw(st.integers(0, 1 << 20))).permutation(ROWS)[:count].astype(np.int64)


searches = st.fixed_dictionaries(
    {
        "space": st.sampled_from(list(SPACES)),
        "query": st.sampled_from(list(QUERIES)),
        "k": st.sampled_from([1, 10, 300, 1000]),
        "nprobe": st.sampled_from([1, 4, 64]),
        "candidates": st.sampled_from([5, 60, 400]),
        "depth": st.sampled_from([0, 200]),
        "exact": st.sampled_from([False, False, False, True]),
    },
    optional={
        "lists": st.sampled_from([(0,), (2, 5)]),
        "filter": st.sampled_from([["lt", "number", 40], ["lt", "number", 1000], ["gte", "number", 0]]),
    },
)


@LAW
@given(searches, _hidden(), st.booleans())
def test_there_are_k_hits_or_as_many_as_are_live_and_none_that_is_hidden(
    lake: Lake, warm: OpenShard, asked: dict[str, Any], hidden: Int64Array, is_cold: bool
) -> None:
    if SPACES[asked["space"]].type is not IndexType.IVF_PQ:
        asked.pop("lists", None)
    shard = lake.opened() if is_cold else warm
    search, live = leaf_search(**asked), _live(hidden)
    there = _rows(warm, warm.search(change(search, k=ROWS, exact=True, after=None)))

    answer = shard.search(search, live=live)

    assert not _rows(warm, answer) & set(hidden.tolist())
    assert len(answer.hits) == min(search.k, len(there - set(hidden.tolist())))


@pytest.mark.parametrize("k", [1, 30, 200])
def test_lists_that_are_hidden_whole_are_not_the_end(warm: OpenShard, k: int) -> None:
    lists = warm.space("primary").lists
    for query in QUERIES:
        ranked = lists.nearest(query, 2, warm.reader(LeafStats())).lists
        members = warm._lists_of("primary", warm.reader(LeafStats()))
        hidden = np.concatenate([members.rows(number) for number in ranked.tolist()])
        for asked in ({"nprobe": 2}, {"lists": tuple(ranked.tolist())}):
            search = leaf_search("primary", query, k=k, candidates=5, **asked)
            assert len(warm.search(search, live=_live(hidden)).hits) == k
            assert len(warm.search(search, live=_live(hidden[1:])).hits) == k


@LAW
@given(searches, _hidden())
def test_a_batch_of_searches_that_hidden_rows_are_left_out_of_is_answered_as_one_by_one(
    warm: OpenShard, asked: dict[str, Any], hidden: Int64Array
) -> None:
    asked |= {"space": SCANNED[asked["k"] % 3], "exact": False}
    asked.pop("filter", None)
    searches, live = [leaf_search(**asked | {"query": query}) for query in QUERIES], _live(hidden)

    together = warm.search_together(searches, LeafStats(), live=live)

    for number, answer in together.items():
        alone = warm.search(searches[number], live=live)
        assert (answer.hits, answer.strategy) == (alone.hits, alone.strategy)
        assert answer.stats.rows_refined == alone.stats.rows_refined


@pytest.mark.parametrize("name", SCANNED)
def test_few_hidden_rows_keep_no_search_out_of_a_batch(warm: OpenShard, name: str) -> None:
    searches = [leaf_search(name, query, k=10, nprobe=6, candidates=60) for query in QUERIES]

    together = warm.search_together(searches, LeafStats(), live=_live(np.arange(0, ROWS, 50)))

    assert together.keys() == set(range(len(QUERIES)))


@pytest.mark.parametrize("share", [0.002, 0.05, 0.1])
def test_a_scan_of_vectors_finds_what_it_finds_without_hidden_rows_but_for_those(warm: OpenShard, share: float) -> None:
    hidden = np.random.default_rng(4).permutation(ROWS)[: round(share * ROWS)].astype(np.int64)
    gone = {hit.id for hit in warm.search(LeafSearch(k=ROWS)).hits} - {
        hit.id for hit in warm.search(LeafSearch(k=ROWS), live=_live(hidden)).hits
    }
    for query in QUERIES:
        plain = leaf_search("ivf_flat", query, k=10, nprobe=6, candidates=10)
        deeper = change(plain, k=10 + len(hidden))

        expected = [hit.id for hit in warm.search(deeper).hits if hit.id not in gone][:10]  # and all of them are read

        usual, found = warm.search(plain), warm.search(plain, live=_live(hidden))

        assert [hit.id for hit in found.hits] == expected
        assert (found.strategy, found.stats) == (usual.strategy, usual.stats)


@pytest.mark.parametrize("name", SCANNED)
@pytest.mark.parametrize("nearest_hidden", [0, 70])  # 70: more than there are candidates
def test_the_candidates_are_those_of_a_scan_that_may_return_nothing_hidden(
    warm: OpenShard, name: str, nearest_hidden: int
) -> None:
    shared, reader = [], warm.reader(LeafStats())
    for query in QUERIES:
        anywhere = np.random.default_rng(4).permutation(ROWS)[:40]
        live = _live(np.concatenate([_ranked(warm, name, query)[:nearest_hidden], anywhere]))
        source = leaf_search(name, query, nprobe=12, candidates=60).vectors[0]
        probe = warm.space(name).lists.nearest(query, 12, reader)
        expected = warm.space(name).scan(query, probe, 60, live, reader)

        found = warm.nearest(name).search(source, 10, live, reader, LeafStats())

        assert len(found.rows) == len(expected) == 60
        shared.append(len(set(found.rows.tolist()) & set(expected.tolist())))

    assert np.mean(shared) > 59, "codes tie, and which of those that tie for the last place is found is left open"


def test_few_hidden_rows_cost_no_second_scan(warm: OpenShard, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[object] = []
    scan = warm.space("primary").scan
    monkeypatch.setattr(warm.space("primary"), "scan", lambda *asked: passed.append(asked[3]) or scan(*asked))
    live = _live(np.arange(0, ROWS, 100))
    for query in QUERIES:
        warm.search(leaf_search("primary", query, k=10, nprobe=6, candidates=60), live=live)

    assert passed == [None] * len(QUERIES), "once a search, and under no selector"


def test_what_a_filter_passes_of_the_live_rows_is_worked_out_once(
    warm: OpenShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    lists = nearest.PassingLists
    monkeypatch.setattr(nearest, "PassingLists", lambda *asked: made.append(asked[0]) or lists(*asked))
    live, search = _live(np.arange(20)), leaf_search("pca", QUERIES[0], k=10, nprobe=6, filter=["lt", "number", 1100])
    first = warm.search(search, live=live)
    again = warm.search(change(search, query=QUERIES[1]), live=live)

    assert len(made) == 1
    assert first.stats.rows_passing == again.stats.rows_passing == made[0].count
    held = live.resident_bytes
    warm.attributes = type(warm.attributes)(warm.header)  # the filter's answer is gone, and with it what was made of it
    del made[:]
    assert live.resident_bytes < held
