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
