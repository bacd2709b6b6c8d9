"""Which plan keeps a promise."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from shardlake.core.calibration import (
    EXACT,
    SLACK,
    BandPoint,
    CurvePoint,
    Queries,
    ScanPlan,
    _cost,
    band_for,
    choose,
    depth_grid,
    nprobe_grid,
    widen,
)
from shardlake.types import Depth

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


# Under filters -----------------------------------------------------------------------------------

BANDS_MEASURED = [
    BandPoint(
        k=k,
        selectivity=selectivity,
        lists=lists,
        candidates_per_hit=per_hit,
        recall=mean,
        recall_low=mean - 0.01,
        worst="anti",
    )
    for k in (10, 100)
    for selectivity, needed in ((0.9, 4), (0.09, 40), (0.009, 24))
    for lists in (2, 4, 8, 16, 32, 64)
    for per_hit in (8, 32)
    for mean in [min(0.995 if per_hit == 32 else 0.96, 0.5 + 0.46 * lists / needed)]
]
PLAN = ScanPlan(nprobe=2, candidates=80, exact=False)


def _widened(recall: float, k: int = 10, plan: ScanPlan = PLAN) -> ScanPlan:
    return widen(plan, BANDS_MEASURED, recall=recall, k=k, lists=100, rows_per_list=50)


@pytest.mark.parametrize(("recall", "k"), list(itertools.product(RECALLS, KS)))
def test_every_band_keeps_the_promise_by_its_lower_bound_or_mean_or_the_search_is_exact(recall: float, k: int) -> None:
    plan = _widened(recall, k)

    if plan.exact:
        assert recall > 0.985
        return
    assert {point.selectivity for point in plan.bands} == {0.9, 0.09, 0.009}
    for point in plan.bands:
        lifted = [p for p in BANDS_MEASURED if p.selectivity == point.selectivity and p.recall_low >= recall]
        assert point.recall_low >= recall or (not lifted and point.recall >= recall - SLACK)
    assert all(plan.candidates >= point.candidates_per_hit * k for point in plan.bands)
    depths = {depth.selectivity: depth.lists for depth in plan.widening}
    assert all(depths[point.selectivity] >= min(100, point.lists) for point in plan.bands)


@pytest.mark.parametrize("recall", [0.5, 0.8, 0.9, 0.95, 0.98])
def test_a_thinner_filter_never_probes_fewer_lists(recall: float) -> None:
    widening = _widened(recall).widening

    assert [depth.selectivity for depth in widening] == sorted(depth.selectivity for depth in widening)
    assert [depth.lists for depth in widening] == sorted((depth.lists for depth in widening), reverse=True)


@pytest.mark.parametrize("recall", [0.5, 0.8, 0.9])
def test_a_thinner_filter_never_leaves_more_of_the_weight(recall: float) -> None:
    weighed = [replace(p, missed=0.5 / p.lists, softness=0.07) for p in BANDS_MEASURED]

    plan = widen(PLAN, weighed, recall=recall, k=10, lists=100, rows_per_list=50)

    thinnest, *bands = plan.widening
    assert thinnest == Depth(0.0, 100)
    assert [depth.missed for depth in bands] == sorted(depth.missed for depth in bands)
    of_point = {point.selectivity: point.missed for point in plan.bands}
    assert all(0 < depth.missed <= of_point[depth.selectivity] for depth in bands)
    assert all(depth.softness == 0.07 for depth in bands)


@pytest.mark.parametrize(
    ("selectivity", "band"), [(1.0, 0.9), (0.9, 0.9), (0.5, 0.09), (0.09, 0.09), (0.05, 0.009), (0.001, 0.0)]
)
def test_a_filter_between_two_bands_takes_the_thinner_and_below_all_every_list(selectivity: float, band: float) -> None:
    widening = _widened(0.9).widening

    found = band_for(widening, selectivity)

    assert found is not None
    assert found.selectivity == band
    assert band or found.lists == 100


def test_more_candidates_are_refined_only_where_fewer_do_not_keep_the_promise() -> None:
    assert _widened(0.9).candidates == 80
    assert _widened(0.97).candidates == 320


def test_beyond_the_largest_calibrated_k_the_lists_under_a_filter_grow_too() -> None:
    at_100, at_1000 = ({depth.selectivity: depth.lists for depth in _widened(0.5, k).widening} for k in (100, 1000))

    assert at_1000 == {band: min(100, lists if band == 0 else 10 * lists) for band, lists in at_100.items()}


def test_without_bands_and_of_exact_plans_nothing_is_widened() -> None:
    assert widen(PLAN, [], recall=0.9, k=10, lists=9, rows_per_list=1) is PLAN
    assert _widened(0.9, plan=EXACT) is EXACT
    assert band_for((), 0.5) is None


@pytest.mark.parametrize("asked", [Queries.ITEMS, Queries.TEXT])
def test_texts_are_promised_what_texts_find(asked: Queries) -> None:
    texts = [replace(point, queries=Queries.TEXT, recall_low=point.recall_low - 0.2) for point in CURVE]

    plan = choose([*CURVE, *texts], recall=0.6, k=10, rows_per_list=50, queries=asked)

    assert plan.point is not None
    assert plan.point.queries is asked
    assert choose(CURVE, recall=0.6, k=10, rows_per_list=50, queries=Queries.TEXT).point in CURVE


@pytest.mark.parametrize("lists", [1, 2, 3, 8, 9, 1000])
def test_the_depths_that_are_tried_rise_to_all_lists_by_at_most_a_half(lists: int) -> None:
    grid = depth_grid(lists)

    assert grid == sorted(set(grid))
    assert (grid[0], grid[-1]) == (1, lists)
    assert all(after <= max(before + 1, 1.51 * before) for before, after in itertools.pairwise(grid[:-1]))
