"""What a leaf makes of the rows found: the order, the page and the groups are those of a plain sort of everything."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shardlake.contracts.shard import LeafSearch
from shardlake.engine.shaping import best_of_each, columns_of, facet_parts, shape
from shardlake.query.columns import build_column
from shardlake.query.groups import best_groups
from shardlake.types import AttributeSpec, AttributeType

NUMBER = AttributeSpec(name="number", type=AttributeType.INT)
BRAND = AttributeSpec(name="brand", type=AttributeType.KEYWORD)
ROWS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, "a", "b", "c"])), max_size=40)


class Ids:
    """Ids whose order is the reverse of the rows', and how often it was asked for."""

    def __init__(self, count: int) -> None:
        self.ids = [f"{count - row:03d}" for row in range(count)]
        self.asked = 0

    def ranks(self, rows: Any) -> Any:
        self.asked += 1
        order = sorted(self.ids)
        return np.array([order.index(self.ids[row]) for row in rows], np.int64)

    def first_behind(self, item_id: str) -> int:
        return sum(one <= item_id for one in self.ids)


def _columns(drawn: list[tuple[int, str | None]]) -> dict[str, Any]:
    numbers = build_column(NUMBER, list(range(len(drawn))))
    return {"number": numbers, "brand": build_column(BRAND, [brand for _, brand in drawn])}


def _ranked(ids: Ids, scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda row: (-scores[row], ids.ids[row]))


@given(ROWS, st.integers(1, 6))
def test_pages_one_after_the_other_are_the_whole_order(drawn: list[tuple[int, str | None]], k: int) -> None:
    ids, scores = Ids(len(drawn)), [score / 4 for score, _ in drawn]
    found: list[int] = []
    after = None
    while True:
        page = shape(LeafSearch(k=k, after=after), np.arange(len(drawn)), np.array(scores, np.float32), {}, ids)
        if not len(page.rows):
            break
        found += page.rows.tolist()
        after = (float(page.scores[-1]), ids.ids[page.rows[-1]])

    assert found == _ranked(ids, scores)


@given(ROWS, st.integers(1, 4), st.integers(1, 3))
def test_groups_are_those_of_all_rows(drawn: list[tuple[int, str | None]], k: int, size: int) -> None:
    ids, scores = Ids(len(drawn)), np.array([score / 4 for score, _ in drawn])
    search = LeafSearch(k=k, group_by=("brand", size))

    found = shape(search, np.arange(len(drawn)), scores, _columns(drawn), ids)

    hits = [(float(scores[row]), ids.ids[row], drawn[row][1], row) for row in range(len(drawn))]
    expected = best_groups(hits, k, size)
    assert found.rows.tolist() == [row for *_, row in expected]
    assert list(found.groups) == [group for _, _, group, _ in expected]


@given(ROWS, st.integers(1, 6))
def test_a_rank_expression_replaces_the_score(drawn: list[tuple[int, str | None]], k: int) -> None:
    ids, scores = Ids(len(drawn)), np.array([score / 4 for score, _ in drawn])
    rank = ["+", ["score"], ["neg", ["value", "number"]]]

    found = shape(LeafSearch(k=k, rank=rank), np.arange(len(drawn)), scores, _columns(drawn), ids)

    expected = [score - row for row, score in enumerate(scores.tolist())]
    assert found.rows.tolist() == _ranked(ids, expected)[:k]
    assert found.scores.tolist() == [expected[row] for row in found.rows]


def test_rows_come_in_any_order_and_keep_their_positions() -> None:
    ids = Ids(9)

    found = shape(LeafSearch(k=2), np.array([7, 3, 5]), np.array([0.1, 0.9, 0.5]), {}, ids)

    assert found.rows.tolist() == [3, 5]
    assert found.positions.tolist() == [1, 2]
    assert ids.asked == 0  # nothing ties, so nobody reads ids


def test_each_source_has_its_own_best() -> None:
    nan = float("nan")
    table = np.array([[0.9, 0.1, nan, 0.5], [nan, nan, 3.0, 3.0]])

    assert best_of_each(np.arange(4), table, 1, Ids(4)).tolist() == [0, 3]
    assert best_of_each(np.arange(4), table, 3, Ids(4)).tolist() == [0, 1, 2, 3]
    assert best_of_each(np.empty(0, np.int64), np.empty((2, 0)), 3, Ids(0)).tolist() == []


def test_the_columns_that_are_read_are_those_of_rank_groups_and_facets() -> None:
    search = LeafSearch(rank=["value", "number"], group_by=("brand", 1), facets=(["tags", "keyword", None, False],))

    assert columns_of(search) == {"number", "brand", "tags"}
    assert columns_of(LeafSearch()) == set()
    parts = facet_parts([["brand", "keyword", None, False]], _columns([(1, "a"), (1, None), (1, "a")]), np.arange(3))
    assert parts == ({"values": [("a", 2)]},)
