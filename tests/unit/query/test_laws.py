"""The laws of search notice what breaks them."""

from __future__ import annotations

from typing import Any

import pytest

from shardlake.query.laws import broken

GOOD: dict[str, Any] = {
    "requested": 3,
    "searched": 2,
    "failed": 1,
    "partial": True,
    "hits": [("b", 0.5), ("a", 0.25), ("c", 0.25)],
    "k": 3,
    "by_id": False,
}


def test_an_answer_that_keeps_the_laws_breaks_none() -> None:
    assert broken(**GOOD) == []
    assert broken(**{**GOOD, "hits": [("a", 0.0), ("b", 0.0)], "by_id": True}) == []


@pytest.mark.parametrize(
    ("change", "law"),
    [
        ({"searched": 3}, "requested == searched + failed"),
        ({"partial": False}, "partial == (failed > 0)"),
        ({"k": 2}, "at most k hits"),
        ({"hits": [("a", 0.25), ("b", 0.5)]}, "hits are in order, ties by id"),
        ({"hits": [("c", 0.25), ("a", 0.25)]}, "hits are in order, ties by id"),
        ({"hits": [("b", 0.0), ("a", 0.0)], "by_id": True}, "hits are in order, ties by id"),
        ({"hits": [("a", 0.5), ("a", 0.25)]}, "no id twice"),
    ],
)
def test_a_broken_law_is_named(change: dict[str, Any], law: str) -> None:
    assert broken(**{**GOOD, **change}) == [law]


GROUPED: dict[str, Any] = {
    **GOOD,
    "hits": [("b", 0.5), ("d", 0.1), ("a", 0.25), ("c", 0.25)],
    "k": 2,
    "groups": ["x", "x", None, None],
    "size": 2,
}


def test_groups_and_free_orders_have_laws_of_their_own() -> None:
    assert broken(**GROUPED) == []
    assert broken(**{**GOOD, "hits": [("b", 0.5), ("c", 0.1), ("a", 0.25)], "is_free": True}) == []
    assert broken(**{**GOOD, "hits": [("a", 0.1), ("b", 0.5)], "is_free": True}) == ["the first hit is the best"]


@pytest.mark.parametrize(
    ("change", "law"),
    [
        ({"k": 1, "hits": GROUPED["hits"][:2], "groups": ["x", "y"]}, "at most k groups, each once"),
        ({"groups": ["x", "y", "x", "y"], "k": 2}, "at most k groups, each once"),
        ({"size": 3, "groups": ["x", "x", "x", "x"]}, "hits of a group are in order, ties by id"),
        ({"k": 4, "size": 1}, "at most size hits of a group"),
        ({"hits": [("d", 0.1), ("e", 0.05), ("b", 0.5), ("c", 0.2)]}, "groups are in the order of their best"),
    ],
)
def test_a_broken_law_of_groups_is_named(change: dict[str, Any], law: str) -> None:
    assert law in broken(**{**GROUPED, **change})
