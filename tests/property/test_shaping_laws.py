"""Shaping changes with what was asked alone: not with how rows lie in shards, nor with what was left unlooked at."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.query.columns import build_column
from shardlake.query.exact_sum import exact_sum, from_wire, to_wire
from shardlake.query.facets import Facet, edges, merged, partial
from shardlake.query.fusion import BLOCK, Ranked, comparable, fuser, reciprocal_ranks, threshold_top_k
from shardlake.query.groups import best_groups, best_of_groups, filter_of, group_codes, missing, names_of
from shardlake.types import AttributeSpec, AttributeType, Metric

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, max_size=30), st.integers(1, 4))
def test_a_sum_is_exact_whatever_the_parts(values: list[float], parts: int) -> None:
    array = np.array(values, np.float64)
    split = [from_wire(to_wire(exact_sum(part))) for part in np.array_split(array, parts)]

    assert sum(split) == exact_sum(array) == sum((Fraction(value) for value in values), Fraction(0))


def test_a_sum_of_many_is_exact() -> None:
    values = np.random.default_rng(5).standard_cauchy(2**20 + 12_345)

    assert float(exact_sum(values)) == math.fsum(values.tolist())


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
def test_a_sum_of_ints_never_overflows(values: list[int]) -> None:
    assert from_wire(to_wire(exact_sum(np.array(values, np.int64)))) == sum(values)


KINDS: dict[AttributeType, st.SearchStrategy[Any]] = {
    AttributeType.KEYWORD: st.sampled_from(["a", "b", "c", "dd"]),
    AttributeType.INT: st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63)]),
    AttributeType.BOOL: st.booleans(),
    AttributeType.FLOAT: FINITE,
    AttributeType.DATETIME: st.sampled_from(["1999-01-01T00:00:00Z", "2026-05-05T05:05:05.5Z", "9999-01-01T00:00:00Z"]),
}


@given(st.data())
def test_facets_of_many_shards_are_those_of_one(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    values = data.draw(st.lists(st.none() | KINDS[kind], min_size=1, max_size=40))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    has_numbers = kind in {AttributeType.INT, AttributeType.FLOAT, AttributeType.DATETIME}
    needs_bins = kind in {AttributeType.FLOAT, AttributeType.DATETIME}
    bins = data.draw(st.integers(1, 7)) if needs_bins or (has_numbers and data.draw(st.booleans())) else 0
    facet = Facet(attribute="x", type=kind, bins=bins, limit=3, stats=has_numbers)
    spec = AttributeSpec(name="x", type=kind)

    def counted(*parts: list[Any]) -> Any:
        columns = [build_column(spec, part) for part in parts]
        zones = [{} if (zone := column.zone()) is None else {"x": zone} for column in columns]
        bounds = edges(facet, zones)
        answers = [partial(facet.wire(bounds), c, np.arange(len(p))) for c, p in zip(columns, parts, strict=True)]
        return merged(facet, bounds, answers)

    shards = [values[a:b] for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)]
    whole = counted(values)
    found = counted(*shards)

    assert found == whole
    assert [*whole[0]] == [*found[0]]  # their order too
    if bins:
        assert sum(entry["count"] for entry in whole[0]) == sum(value is not None for value in values)


Entry = tuple[float, str, Any, None]


def _ask(shard: list[Entry], k: int, size: int, among: list[Any] | None = None) -> list[Entry]:
    return best_groups([hit for hit in shard if among is None or hit[2] in among], k, size)


@settings(max_examples=300)
@given(st.data())
def test_groups_of_many_shards_are_those_of_one_after_a_second_round(data: st.DataObject) -> None:
    names = [None, "a", "b", "c", "d", "e"]
    entry = st.tuples(st.integers(0, 4), st.sampled_from(names), st.integers(0, 3))
    drawn = data.draw(st.lists(entry, max_size=40))
    hits: list[Entry] = [(score / 4, f"{number:02d}", group, None) for number, (score, group, _) in enumerate(drawn)]
    shards = {n: [hit for hit, (*_, of) in zip(hits, drawn, strict=True) if of == n] for n in range(4)}
    k, size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))

    first = {n: _ask(shard, k, size) for n, shard in shards.items()}
    winners = names_of(best_groups([hit for part in first.values() for hit in part], k, size))
    again = missing(winners, first, k, size)
    second = [_ask(shards[n], len(groups), size, groups) for n, groups in again.items()]
    found = best_groups([hit for part in (*first.values(), *second) for hit in part], k, size)

    assert found == best_groups(hits, k, size)
    assert size > 1 or not again


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=60), st.integers(1, 4), st.integers(1, 3))
def test_what_a_leaf_hands_over_has_the_best_of_the_best_groups(
    drawn: list[tuple[int, int]], k: int, size: int
) -> None:
    scores, codes = np.array([s for s, _ in drawn], float), np.array([c for _, c in drawn], np.int64)
    ids = [f"{number:02d}" for number in range(len(drawn))]
    random.Random(len(drawn)).shuffle(ids)
    kept = best_of_groups(scores, codes, k, size)

    def hits(rows: Any) -> list[Entry]:
        return [(float(scores[row]), ids[row], int(codes[row]), None) for row in rows]

    assert best_groups(hits(kept), k, size) == best_groups(hits(range(len(drawn))), k, size)
    assert (np.diff(scores[kept]) <= 0).all()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (AttributeType.KEYWORD, ["b", None, "a", "b"]),
        (AttributeType.INT, [2**63 - 1, None, 0, -4]),
        (AttributeType.BOOL, [True, None, False, True]),
    ],
)
def test_each_row_is_in_the_group_of_its_value(kind: AttributeType, values: list[Any]) -> None:
    codes, names = group_codes(build_column(AttributeSpec(name="x", type=kind), values), np.arange(4))

    assert [names[code] for code in codes] == values
    assert [type(names[code]) for code in codes] == [type(value) for value in values]


def test_the_filter_of_groups_names_their_values_and_the_lack_of_one() -> None:
    assert filter_of("x", ["a", "b"]) == ["in", "x", ["a", "b"]]
    assert filter_of("x", [None]) == ["not", ["exists", "x"]]
    assert filter_of("x", [None, 3]) == ["or", ["in", "x", [3]], ["not", ["exists", "x"]]]


def _sources(rng: np.random.Generator, count: int, rows: int) -> tuple[np.ndarray[Any, Any], list[Ranked]]:
    # Few distinct scores make ties; negative ones lie below what a row without anything has.
    table = rng.choice(np.round(rng.uniform(-0.5, 1, 9), 2), (count, rows)) * (rng.random((count, rows)) < 0.6)
    sources = []
    for scores in table:
        order = np.lexsort((rng.random(rows), -scores))
        if rng.random() < 0.5:  # everything that it knows: the rest has 0
            there = order[scores[order] != 0]
            sources.append(Ranked(rows=there, scores=scores[there], complete=True))
        else:
            there = order[: int(rng.integers(0, rows + 1))]
            sources.append(Ranked(rows=there, scores=scores[there], complete=False))
    return table, sources


@pytest.mark.parametrize("seed", range(10))
def test_the_early_exit_finds_what_fusing_everything_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    saved = 0
    for _ in range(100):
        count, rows, k = int(rng.integers(1, 4)), int(rng.integers(1, 6 * BLOCK)), int(rng.integers(1, 12))
        table, sources = _sources(rng, count, rows)
        fuse = fuser(str(rng.choice(["mean", "weighted", "max"])), rng.uniform(0.1, 2, count).tolist())
        found = threshold_top_k(sources, lambda number, of, table=table: table[number][of], fuse, k)

        candidates = np.unique(np.concatenate([source.rows for source in sources]))
        fused = fuse(table[:, candidates])
        last = np.sort(fused)[::-1][min(k, len(fused)) - 1] if len(fused) else 0.0
        expected = {int(row): float(score) for row, score in zip(candidates, fused, strict=True) if score >= last}
        assert dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True)) == expected
        assert (np.diff(found.scores) <= 0).all()
        assert found.rows_scored + found.rows_saved == len(candidates)
        saved += found.rows_saved

    assert saved > 0  # the exit is taken


def test_scores_of_every_source_enter_a_fusion_as_stated() -> None:
    assert comparable(np.array([0.0, -1.0, -3.0]), Metric.L2).tolist() == [1.0, 0.5, 0.25]
    assert comparable(np.array([0.5, -1.0]), Metric.COSINE).tolist() == [0.5, -1.0]
    assert comparable(np.array([6.0, 0.0]), None, bound=12.0).tolist() == [0.5, 0.0]
    scores = np.array([[0.2, 0.8], [0.6, 0.0]])
    assert fuser("mean", [9, 1])(scores).tolist() == pytest.approx([0.4, 0.4])
    assert fuser("weighted", [3, 1])(scores).tolist() == pytest.approx([0.3, 0.6])
    assert fuser("weighted", [1e308, 1e308])(scores).tolist() == pytest.approx([0.4, 0.4])
    assert fuser("max", [1, 1])(scores).tolist() == [0.6, 0.8]
    assert reciprocal_ranks([1, None, 3], [1, 1, 2]) == pytest.approx(1 / 61 + 2 / 63)
