"""Hidden rows: whatever is asked, a shard of which rows are hidden, or expired, answers as one built without them.

And a log of segments, searched as one shard and deltas behind it, answers as what the log comes to, built anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.contracts.shard import LeafAnswer, LeafHit, LeafSearch, MatchClause, MatchSource, VectorSource
from shardlake.core.topk import merge_best, merge_by_id
from shardlake.query.groups import best_groups
from shardlake.types import AttributeType, IndexType, Metric
from tests.lake import item, schema, space
from tests.pending import Log

LAW = settings(max_examples=30, deadline=None)
SCHEMA = schema(
    space(2, "v", metric=Metric.DOT, index=IndexType.FLAT),
    space(2, "w", metric=Metric.L2, index=IndexType.FLAT),
    attributes={"number": AttributeType.INT, "colour": AttributeType.KEYWORD, "words": AttributeType.TEXT}
    | {"ends": AttributeType.DATETIME},
)
Drawn = Mapping[str, Any]
small = st.integers(-2, 2)  # whole numbers: scores are exact, and many tie
drawn = st.fixed_dictionaries(
    {"v": st.tuples(small, small)},
    optional={
        "w": st.tuples(small, small),
        "number": st.integers(0, 5),
        "colour": st.sampled_from(["red", "blue", "green"]),
        "words": st.lists(st.sampled_from(["a", "b", "c"]), max_size=5).map(" ".join),
        "ends": st.integers(0, 4).map("1970-01-01T00:00:0{}Z".format),
    },
)
names = st.integers(0, 30).map(lambda number: f"{number:02d}")
segments = st.dictionaries(names, st.none() | drawn, min_size=1, max_size=12)  # None: the item is deleted

V = VectorSource(space="v", query=np.array([1, 2], np.float32))
W = VectorSource(space="w", query=np.array([1, 0], np.float32), weight=3)
# The frequencies are the collection's: whatever lies in a shard, a row scores the same.
WORDS = MatchClause(attribute="words", terms=("a", "b"), phrases=(), docs=20, mean_length=2.0, df=(9, 7))
PHRASE = MatchClause(attribute="words", terms=("a", "b"), phrases=(("a", "b"),), docs=20, mean_length=2.0, df=(9, 7))
MATCH = MatchSource(clauses=(WORDS,), bound=2.0, weight=2)
FILTER = ["or", ["gte", "number", 3], ["eq", "colour", "red"]]
FACETS = (["colour", "keyword", None, False], ["number", "int", [0, 2, 6], True])
RANK = ["neg", ["value", "number"]]


def _kinds(k: int) -> dict[str, LeafSearch]:
    """Returns searches of every kind."""
    return {
        "vector": LeafSearch(vectors=(V,), k=k),
        "vector, filtered, with vectors": LeafSearch(vectors=(V,), k=k, filter=FILTER, include_vectors=("v", "w")),
        "other space": LeafSearch(vectors=(W,), k=k, attributes=False),
        "behind a page": LeafSearch(vectors=(V,), k=k, after=(1.0, "07")),
        "faceted": LeafSearch(vectors=(W,), k=k, facets=FACETS),
        "by id": LeafSearch(k=k),
        "by id behind a page, filtered, faceted": LeafSearch(k=k, filter=FILTER, after=(0.0, "07"), facets=FACETS),
        "match": LeafSearch(match=MATCH, k=k, facets=FACETS),
        "phrase, filtered": LeafSearch(match=MatchSource(clauses=(PHRASE,), bound=2.0), k=k, filter=["not", FILTER]),
        "fused": LeafSearch(vectors=(V, W), match=MATCH, fusion="weighted", k=k),
        "fused, filtered, ranked": LeafSearch(vectors=(V, W), match=MATCH, k=k, filter=FILTER, rank=RANK),
        "ranked": LeafSearch(k=k, rank=RANK),
        "grouped": LeafSearch(vectors=(V,), k=k, group_by=("colour", 1), facets=FACETS),
        "ranks": LeafSearch(vectors=(V, W), match=MATCH, fusion="rrf", k=k),
        "filtered by when it ends": LeafSearch(vectors=(V,), k=k, filter=["not", ["gt", "ends", 2_000_000]]),
        "looked up": LeafSearch(ids=tuple(f"{number:02d}" for number in range(30, 0, -3))),
    }


def _items(segment: Mapping[str, Drawn | None]) -> list[Any]:
    return [
        item(name, {s: one[s] for s in ("v", "w") if s in one}, **{a: x for a, x in one.items() if a not in ("v", "w")})
        for name, one in segment.items()
        if one is not None
    ]


def _plain(hit: LeafHit) -> tuple[Any, ...]:
    vectors = None if hit.vectors is None else {name: vector.tolist() for name, vector in hit.vectors.items()}
    return (*hit[:3], vectors, *hit[4:])


def _said(answer: LeafAnswer) -> tuple[list[Any], tuple[Any, ...]]:
    assert answer.error is None, answer.error
    return [_plain(hit) for hit in answer.hits], answer.facets


@LAW
@given(
    st.dictionaries(names, drawn, min_size=1, max_size=25),
    st.lists(st.sets(names, min_size=1, max_size=12), min_size=1, max_size=3),
    st.integers(1, 12),
    st.integers(0, 2),
    st.none() | st.integers(-1, 4),
)
def test_a_shard_with_hidden_rows_answers_as_one_built_without_them(
    items: dict[str, Drawn], overwritten: list[set[str]], k: int, sequence: int, second: int | None
) -> None:
    log, kinds = Log(SCHEMA), _kinds(k)
    log.hold(_items(items), sequence)
    for number, ids in enumerate(overwritten, 1):
        log.overwrite(ids, number)  # those up to the shard's own sequence are in it, and hide nothing
    gone = set().union(*overwritten[sequence:])
    if second is not None:
        log.expired = "ends", second * 1_000_000
        gone |= {name for name, one in items.items() if "ends" in one and int(one["ends"][-2]) <= second}
    left = {name: one for name, one in items.items() if name not in gone}
    without = Log(SCHEMA)

    answers = dict(zip(kinds, log.ask(*kinds.values()).answers, strict=True))

    if left:
        without.hold(_items(left))
        expected = dict(zip(kinds, without.ask(*kinds.values()).answers, strict=True))
        for kind, answer in answers.items():
            assert _said(answer) == _said(expected[kind]), kind
            assert answer.stats.rows_passing == expected[kind].stats.rows_passing, kind
    else:
        assert [answer.hits for answer in answers.values()] == [()] * len(kinds)
        assert not any(_counts(answer.facets) for answer in answers.values())


def _counts(facets: Sequence[Any]) -> Counter[Any]:
    """Returns how often each value, or bin, was counted."""
    found: Counter[Any] = Counter()
    for place, one in enumerate(facets):
        for value, count in one.get("values", enumerate(one.get("bins", ()))):
            found[place, value] += count
    return +found


def _merged(search: LeafSearch, answers: Sequence[LeafAnswer]) -> list[Any]:
    """Returns the hits of all shards as the router merges them."""
    parts = [[(hit.score, hit.id, hit) for hit in answer.hits] for answer in answers]
    hits = [entry for part in parts for entry in part]
    if search.ids is not None:
        return sorted(_plain(hit) for *_, hit in hits)
    if search.group_by is not None:
        grouped = [(score, name, hit.group, hit) for score, name, hit in hits]
        return [_plain(hit) for *_, hit in best_groups(grouped, search.k, search.group_by[1])]
    if search.fusion == "rrf":
        return [
            sorted((-hit.scores[s], hit.id) for *_, hit in hits if hit.scores[s] is not None)[: search.k]
            for s in range(3)
        ]  # type: ignore[operator]
    if search.vectors or search.match or search.rank:
        return [_plain(hit) for *_, hit in merge_best(parts, search.k)]
    return [_plain(hit) for *_, hit in merge_by_id(parts, search.k)]


@LAW
@given(
    st.dictionaries(names, drawn, min_size=1, max_size=20),
    st.lists(segments, min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_a_log_answers_as_what_it_comes_to(base: dict[str, Drawn], pending: list[dict[str, Any]], k: int) -> None:
    log, kinds = Log(SCHEMA), _kinds(k)
    log.hold(_items(base), 5)
    state: dict[str, Any] = dict(base)
    for sequence, segment in enumerate(pending, 6):
        log.overwrite(segment, sequence)
        state |= segment
        if any(one is not None for one in segment.values()):
            log.hold(_items(segment), sequence)
    built = Log(SCHEMA)
    if any(one is not None for one in state.values()):
        built.hold(_items(state))

    first = log.ask(*kinds.values(), shards=[0]).answers
    deltas = range(1, len(log.shards))
    rest = log.ask(*kinds.values(), shards=list(deltas)).answers if deltas else ()
    expected = built.ask(*kinds.values()).answers if built.shards else ()

    for number, (kind, search) in enumerate(kinds.items()):
        answers = [first[number], *rest[number :: len(kinds)]]
        assert [answer.error for answer in answers] == [None] * len(log.shards)
        assert _merged(search, answers) == _merged(search, expected[number : number + 1]), kind
        counted = sum((_counts(answer.facets) for answer in answers), Counter())
        assert counted == _counts(expected[number].facets if expected else ()), kind
