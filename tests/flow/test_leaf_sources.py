"""Several sources in one leaf: spaces and full text fused, against the same computed item by item."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from shardlake.contracts.shard import LeafHit, LeafSearch, MatchClause, MatchSource, VectorSource
from shardlake.core import bm25
from shardlake.types import AttributeType, IndexType, Metric
from tests.lake import Lake, item, schema, space, unit_rows

ROWS = 1500
WORDS = ["red", "boot", "coat", "lamp", "wool", "iron"]
RNG = np.random.default_rng(11)
TEXTS = [" ".join(RNG.choice(WORDS, RNG.integers(1, 9), p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])) for _ in range(ROWS)]
A = unit_rows(ROWS, 8, 1)
B = np.random.default_rng(2).normal(size=(ROWS, 4)).astype(np.float32)
QUERY_A, QUERY_B = unit_rows(1, 8, 3)[0], np.ones(4, np.float32)
TOKENS = [Counter(text.split()) for text in TEXTS]
LENGTHS = [sum(counts.values()) for counts in TOKENS]
TERMS = ("lamp", "wool")
DF = tuple(sum(term in counts for counts in TOKENS) for term in TERMS)
MEAN = sum(LENGTHS) / ROWS
CLAUSE = MatchClause(attribute="words", terms=TERMS, phrases=(), docs=ROWS, mean_length=MEAN, df=DF)
BOUND = sum(bm25.idf(ROWS, df) for df in DF)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    spaces = (space(8, "a"), space(4, "b", metric=Metric.L2, index=IndexType.IVF_PQ))
    declared = schema(*spaces, target_rows=ROWS // 2, attributes={"words": AttributeType.TEXT, "n": AttributeType.INT})
    items = [
        item(f"{i:05d}", {"a": A[i]} | ({"b": B[i]} if i % 3 else {}), n=i, **({"words": TEXTS[i]} if i % 5 else {}))
        for i in range(ROWS)
    ]
    return Lake(declared, tmp_path_factory.mktemp("scratch")).built(items)


def _raw(row: int) -> tuple[float | None, float | None, float | None]:
    a = float(A[row] @ QUERY_A)
    b = -float(np.linalg.norm(B[row] - QUERY_B)) if row % 3 else None
    counts = TOKENS[row] if row % 5 else Counter()
    length = LENGTHS[row]
    total = sum(
        bm25.idf(ROWS, df) * counts[term] / (counts[term] + bm25.K1 * (1 - bm25.B + bm25.B * length / MEAN))
        for term, df in zip(TERMS, DF, strict=True)
        if counts[term]
    )
    return a, b, total or None


def _comparable(raw: tuple[float | None, ...]) -> list[float]:
    a, b, match = raw
    return [a or 0.0, 0.0 if b is None else 1 / (1 - b), (match or 0.0) / BOUND]


FUSIONS = {
    "mean": lambda parts: sum(parts) / 3,
    "weighted": lambda parts: (2 * parts[0] + 1 * parts[1] + 5 * parts[2]) / 8,
    "max": max,
}


def _search(fusion: str, *, exact: bool, **asked: Any) -> LeafSearch:
    depth = {"exact": exact, "nprobe": 1024, "candidates": 400}
    vectors = (
        VectorSource(space="a", query=QUERY_A, weight=2, **depth),
        VectorSource(space="b", query=QUERY_B, weight=1, **depth),
    )
    match = MatchSource(clauses=(CLAUSE,), bound=BOUND, weight=5)
    return LeafSearch(vectors=vectors, match=match, fusion=fusion, **asked)  # type: ignore[arg-type]


def _found(lake: Lake, search: LeafSearch) -> list[LeafHit]:
    hits = [hit for number in range(len(lake.shards)) for hit in lake.opened(number).search(search).hits]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_exact_fusion_is_that_of_every_item(lake: Lake, fusion: str) -> None:
    expected = sorted(((FUSIONS[fusion](_comparable(_raw(row))), row) for row in range(ROWS)), reverse=True)[:20]

    found = _found(lake, _search(fusion, exact=True, k=20))[:20]

    assert [hit.score for hit in found] == pytest.approx([score for score, _ in expected], abs=1e-5)
    for hit in found:
        for got, raw in zip(hit.scores, _raw(int(hit.id)), strict=True):
            assert (got is None) == (raw is None)
            assert got is None or math.isclose(got, raw, abs_tol=1e-5)  # type: ignore[arg-type]  # float32 sums


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_fusion_of_candidates_finds_what_an_exact_one_finds(lake: Lake, fusion: str) -> None:
    exact = {hit.id for hit in _found(lake, _search(fusion, exact=True, k=20))[:20]}

    near = {hit.id for hit in _found(lake, _search(fusion, exact=False, k=20))[:20]}

    assert len(exact & near) >= 18, "refine rows round scores, and all lists are probed"


def test_an_early_exit_saves_rows_and_changes_nothing(lake: Lake) -> None:
    quick = _search("mean", exact=False, k=5)
    # A page behind nothing asks for the same hits by the way that looks at every candidate.
    whole = _search("mean", exact=False, k=5, after=(1e9, ""))

    for number in range(len(lake.shards)):
        early, late = lake.opened(number).search(quick), lake.opened(number).search(whole)
        assert [(hit.id, hit.score) for hit in early.hits] == [(hit.id, hit.score) for hit in late.hits]
        assert early.stats.rows_saved > 0


def test_text_alone_finds_only_what_matches(lake: Lake) -> None:
    match = MatchSource(clauses=(CLAUSE,), bound=BOUND)
    found = _found(lake, LeafSearch(match=match, k=ROWS))
    expected = {row: raw[2] for row in range(ROWS) if (raw := _raw(row))[2] is not None}

    assert {int(hit.id): hit.score for hit in found} == pytest.approx(expected, abs=1e-5)


def test_a_filter_holds_for_every_source(lake: Lake) -> None:
    for search in (_search("mean", exact=True, k=50), _search("rrf", exact=False, k=50)):
        filtered = _found(lake, LeafSearch(**{**_fields(search), "filter": ["lt", "n", 40]}))
        assert {int(hit.id) for hit in filtered} <= set(range(40))
        assert len(filtered) == 40


def test_for_ranks_each_source_gives_its_own_best_with_their_scores(lake: Lake) -> None:
    found = _found(lake, _search("rrf", exact=True, k=10))
    raws = {row: _raw(row) for row in range(ROWS)}

    for source in range(3):
        best = sorted((-raw[source], row) for row, raw in raws.items() if raw[source] is not None)[:10]  # type: ignore[operator]
        ids = {int(hit.id) for hit in found if hit.scores[source] is not None}
        assert {row for _, row in best} <= ids


def test_items_are_looked_up_by_id_with_their_vectors(lake: Lake) -> None:
    found = _found(lake, LeafSearch(ids=("00003", "00004", "nope"), include_vectors=("a", "b")))

    assert sorted(hit.id for hit in found) == ["00003", "00004"]
    for hit in found:
        assert hit.vectors is not None
        np.testing.assert_allclose(hit.vectors["a"], A[int(hit.id)], atol=1e-6)
        assert ("b" in hit.vectors) == (hit.id == "00004")


def _fields(search: LeafSearch) -> dict[str, Any]:
    return {name: getattr(search, name) for name in LeafSearch.__slots__}
