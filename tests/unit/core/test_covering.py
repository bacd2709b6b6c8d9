"""Laws of which lists a search under a filter probes."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.core.covering import MISSED_GRID, covering, left_before, weights
from shardlake.types import Float32Array, Int64Array

LISTS = 40
SOFTNESS = 0.1


def _lists(seed: int, thinned: float = 0.3) -> tuple[Float32Array, Int64Array]:
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 100, LISTS) * (rng.random(LISTS) > thinned)
    return rng.normal(0, 0.3, LISTS).astype(np.float32), rows.astype(np.int64)


@pytest.mark.parametrize("missed", MISSED_GRID)
@pytest.mark.parametrize("seed", range(5))
def test_the_lists_not_probed_weigh_no_more_than_may_be_missed_and_with_one_list_less_they_do(
    seed: int, missed: float
) -> None:
    scores, rows = _lists(seed)

    chosen = covering(scores, rows, SOFTNESS, missed)

    weighs = weights(scores, rows, SOFTNESS).astype(np.float64)
    assert (rows[chosen] > 0).all()
    assert len(set(chosen.tolist())) == len(chosen)
    left = weighs.sum() - weighs[chosen].sum()
    assert left <= missed * weighs.sum() * (1 + 1e-5)
    assert left + weighs[chosen].min() > missed * weighs.sum() * (1 - 1e-5)
    assert weighs[chosen].min() > np.delete(weighs, chosen).max()


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_before_a_list_says_which_depths_probe_it(seed: int) -> None:
    queries = [_lists(number)[0] for number in range(6)]
    rows = _lists(seed)[1]

    left = left_before(np.stack(queries), rows, SOFTNESS)

    for scores, of_query in zip(queries, left, strict=True):
        for missed in MISSED_GRID:
            assert np.array_equal(np.flatnonzero(of_query > missed), np.sort(covering(scores, rows, SOFTNESS, missed)))
    assert (left[:, rows == 0] == 0).all()


def test_a_filter_that_empties_the_near_lists_sends_the_search_to_far_ones() -> None:
    scores = np.linspace(0.9, 0.0, LISTS, dtype=np.float32)
    evenly, far_only = np.full(LISTS, 50), np.where(np.arange(LISTS) < 20, 0, 50)

    near, far = (covering(scores, rows, SOFTNESS, 0.1) for rows in (evenly, far_only))

    assert set(near.tolist()) == set(range(len(near)))
    assert set(far.tolist()) == set(range(20, 20 + len(far)))


def test_a_list_of_many_rows_is_probed_before_an_equally_near_one_of_few() -> None:
    scores, rows = np.asarray([0.5, 0.5, 0.1], np.float32), np.asarray([1, 90, 5])

    assert covering(scores, rows, SOFTNESS, 0.05).tolist() == [1]
    assert covering(scores, rows, SOFTNESS, 0.005).tolist() == [0, 1]


def test_lists_that_weigh_alike_are_probed_alike() -> None:
    scores, rows = np.zeros(8, np.float32), np.full(8, 3)

    assert covering(scores, rows, SOFTNESS, 0.5).tolist() == list(range(8))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scores_of_any_size_and_lists_nothing_passes_in_overflow_nothing(scale: float) -> None:
    scores = np.asarray([1e9 * scale, 0.3 * scale, 0.2 * scale], np.float32)  # nothing passes in the nearest

    chosen = covering(scores, np.asarray([0, 5, 5]), 0.01 * scale, 0.01)

    assert chosen.tolist() == [1]
    assert left_before(scores[None], np.zeros(3, np.int64), 0.01 * scale).tolist() == [[0.0, 0.0, 0.0]]
