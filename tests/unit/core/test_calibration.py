"""Which plan keeps a promise."""

from __future__ import annotations

import itertools

import pytest

from shardlake.core.calibration import EXACT, CurvePoint, _cost, choose, nprobe_grid

CURVE = [
    CurvePoint(k=k, nprobe=nprobe, candidates_per_hit=per_hit, recall=mean, recall_low=mean - 0.02)
    for k in (10, 100)
    for nprobe in (1, 4, 16)
    for per_hit in (2, 8)
    for mean in [min(1.0, 0.3 + 0.04 * nprobe + 0.01 * per_hit - (0.1 if k == 100 else 0))]
]
RECALLS = [0.01, 0.3, 0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999]
KS = [1, 9, 10, 11, 100, 101, 1000]


@pytest.mark.parametrize(("recall", "k"), list(itertools.product(RECALLS, KS)))
def test_no_plan_promises_more_than_the_lower_bound_that_was_measured(recall: float, k: int) -> None:
    plan = choose(CURVE, recall=recall, k=k, rows_per_list=50)

    if plan.exact:
        measured_at = 10 if k <= 10 else 100
        assert all(point.recall_low < recall for point in CURVE if point.k == measured_at)
    else:
        assert plan.point is not None
        assert plan.point.recall_low >= recall
        assert plan.point.k >= min(k, 100)
        assert plan.nprobe >= plan.point.nprobe
        assert plan.candidates == plan.point.candidates_per_hit * k


@pytest.mark.parametrize("k", KS)
def test_a_higher_recall_never_costs_less(k: int) -> None:
    costs = []
    for recall in RECALLS:
        plan = choose(CURVE, recall=recall, k=k, rows_per_list=50)
        costs.append(float("inf") if plan.point is None else _cost(plan.point, k, 50))

    assert costs == sorted(costs)


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_recall_one_is_exact_search_and_so_is_a_space_without_a_curve(k: int) -> None:
    perfect = [CurvePoint(k=10, nprobe=1, candidates_per_hit=2, recall=1.0, recall_low=1.0)]

    assert choose(perfect, recall=1, k=k, rows_per_list=1) is EXACT
    assert choose([], recall=0.1, k=k, rows_per_list=1) is EXACT


def test_beyond_the_largest_calibrated_k_the_lists_grow_in_proportion() -> None:
    at_100 = choose(CURVE, recall=0.5, k=100, rows_per_list=50)
    at_1000 = choose(CURVE, recall=0.5, k=1000, rows_per_list=50)

    assert at_1000.nprobe == 10 * at_100.nprobe
    assert at_1000.candidates == 10 * at_100.candidates


@pytest.mark.parametrize("lists", [1, 2, 3, 8, 9, 1000])
def test_the_probes_that_are_tried_end_in_all_lists(lists: int) -> None:
    grid = nprobe_grid(lists)

    assert grid == sorted(set(grid))
    assert grid[0] == 1
    assert grid[-1] == lists
