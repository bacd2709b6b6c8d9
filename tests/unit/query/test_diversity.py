"""Maximal marginal relevance: near the query, and not near each other."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.query.diversity import reorder

# Two bundles: the first three items look alike, the last two look alike.
VECTORS = np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def test_without_diversity_the_order_is_that_of_the_scores() -> None:
    assert reorder(SCORES, VECTORS, 0.0, 5) == [0, 1, 2, 3, 4]
    assert reorder(SCORES, VECTORS, 0.0, 2) == [0, 1]


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_the_first_hit_is_always_the_best_and_none_comes_twice(diversity: float) -> None:
    order = reorder(SCORES, VECTORS, diversity, 5)

    assert order[0] == 0
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_diversity_brings_the_other_bundle_forward() -> None:
    assert reorder(SCORES, VECTORS, 0.5, 2) == [0, 3]
    assert reorder(SCORES, VECTORS, 1.0, 3)[:2] == [0, 3]


def test_each_choice_is_the_one_that_the_formula_ranks_first() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((12, 4)).astype(np.float32)
    scores = np.sort(rng.random(12))[::-1]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = (scores - scores[-1]) / (scores[0] - scores[-1])
    order = reorder(scores, vectors, 0.4, 6)

    for step in range(1, 6):
        chosen = order[:step]
        values = {
            i: 0.6 * relevance[i] - 0.4 * max(0.0, *(float(unit[i] @ unit[j]) for j in chosen))
            for i in range(12)
            if i not in chosen
        }
        assert values[order[step]] == pytest.approx(max(values.values()), abs=1e-6)


def test_items_without_a_vector_are_like_nothing_and_equal_scores_are_no_division_by_zero() -> None:
    assert reorder(np.array([1.0, 1.0, 1.0]), np.array([[1, 0], [1, 0], [0, 0]], np.float32), 0.5, 2) == [0, 2]
    assert reorder(np.empty(0), np.empty((0, 2), np.float32), 0.5, 3) == []
