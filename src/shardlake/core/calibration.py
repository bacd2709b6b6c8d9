"""Recall as a curve: what a plan costs, what it was measured to find, and which plan keeps a promise.

plan = choose(space.curve, recall=0.95, k=10, rows_per_list=390.0, queries=Queries.ITEMS)
plan = widen(plan, space.bands, recall=0.95, k=10, lists=space.lists, queries=Queries.ITEMS)      # under a filter
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shardlake.types import Depth

CALIBRATED_K = (10, 100)
CANDIDATES_GRID = (2, 4, 8, 16, 32)
SLACK = 0.005  # of a mean recall under a filter whose lower bound keeps the promise at no depth
CONFIDENCE = 1.645  # one-sided 95 %: a promise is made on the lower bound, not on the mean
CODE_COST = 1.0  # of scanning one code, in codes
# Of refining one row, in codes, where plans are chosen. In memory a row costs more than twice as much (92 ns to 4.4; a
# shard that weighs the two under a filter knows it: `engine.nearest`); but a cold search pays for lists, not for rows.
REFINE_COST = 8.0
BANDS = (0.9, 0.45, 0.09, 0.027, 0.009, 0.0027, 0.0009)
"""Selectivities that are measured: a little below round numbers, so that a filter that passes a tenth, give or take,
finds the band just thinner than itself."""


class Queries(StrEnum):
    """What a point was measured with. Texts lie away from pictures: what holds for one need not hold for the other."""

    ITEMS = "items"  # vectors of held-out items
    TEXT = "text"  # texts of items, encoded as queries are


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One plan, measured on held-out queries.

    Attributes:
        k: it was measured at.
        nprobe: lists probed over all shards.
        candidates_per_hit: rows refined in each shard, divided by k.
        recall: mean share of the true k nearest found.
        recall_low: the lower bound of that mean at 95 % confidence.
        queries: what it was measured with.
    """

    k: int
    nprobe: int
    candidates_per_hit: int
    recall: float
    recall_low: float
    queries: Queries = Queries.ITEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPoint:
    """One depth under filters of one selectivity, measured on the kind of filter that it finds least under.

    Attributes:
        k: it was measured at.
        selectivity: share of the rows that passed.
        lists: probed, of those in which something passes, on average where `missed` says how many; of hash buckets,
            how many are opened.
        candidates_per_hit: rows refined in each shard, divided by k.
        recall: mean share of the true k nearest found, of the worst kind of filter.
        recall_low: the lower bound of that mean at 95 % confidence.
        worst: that kind: independent, scattered, mixed or anti.
        missed, softness: as `Depth` has them; 0 where the depth is a number of lists.
        queries: what it was measured with.
    """

    k: int
    selectivity: float
    lists: int
    candidates_per_hit: int
    recall: float
    recall_low: float
    worst: str
    queries: Queries = Queries.ITEMS
    missed: float = 0.0
    softness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """What a search shall do in one space. `exact` overrides the rest.

    Attributes:
        point: of the curve, by which nprobe and candidates were chosen.
        widening: depths, those of thinner filters first: how far a shard looks under a filter (`band_for`). Empty
            where nothing was measured.
        bands: the points behind `widening`, for who asks why.
    """

    nprobe: int
    candidates: int
    exact: bool
    point: CurvePoint | None = None
    widening: tuple[Depth, ...] = ()
    bands: tuple[BandPoint, ...] = ()


EXACT = ScanPlan(nprobe=0, candidates=0, exact=True)


def choose(
    curve: Sequence[CurvePoint],
    *,
    recall: float,
    k: int,
    rows_per_list: float,
    queries: Queries = Queries.ITEMS,
) -> ScanPlan:
    """Returns the cheapest plan that was measured to keep the recall asked for; exact search where none was.

    Args:
        curve: of one space; empty for a space that is always searched exactly.
        recall: in (0, 1]; 1 is exact search by definition.
        k: hits asked for. Between calibrated values the next larger counts; above them nprobe grows in proportion.
        rows_per_list: mean, to weigh scanning against refining.
        queries: what is searched with; where that was not measured, what was measured with items counts.
    """
    if recall >= 1 or not curve:
        return EXACT
    measured = [point for point in curve if point.queries == queries] or curve
    at_k = _calibrated(k, {point.k for point in measured})
    keeping = [point for point in measured if point.k == at_k and point.recall_low >= recall]
    if not keeping:
        return EXACT
    best = min(keeping, key=lambda point: _cost(point, k, rows_per_list))
    return ScanPlan(
        nprobe=math.ceil(best.nprobe * max(1.0, k / at_k)),
        candidates=best.candidates_per_hit * k,
        exact=False,
        point=best,
    )


def widen(
    plan: ScanPlan,
    bands: Sequence[BandPoint],
    *,
    recall: float,
    k: int,
    lists: int,
    rows_per_list: float,
    queries: Queries = Queries.ITEMS,
) -> ScanPlan:
    """Returns the plan with the depth that it needs under a filter; exact search where no depth was measured to do.

    Of each band the smallest number of lists that keeps the promise counts, by its lower bound; of the numbers of
    candidates that were measured that with which every band keeps it, and all together cost least. Where no number
    does, bands that no depth lifts over the promise are believed by their mean.

    Args:
        plan: that `choose` returned; an exact one stays.
        bands: of the space; empty in versions that measured none, whose plans stay as they are.
        recall, k, rows_per_list, queries: as for `choose`.
        lists: of the space: what a filter is told that is thinner than all bands.
    """
    measured = [point for point in bands if point.queries == queries] or list(bands)
    if plan.exact or not measured:
        return plan
    at_k = _calibrated(k, {point.k for point in measured})
    at = [point for point in measured if point.k == at_k]
    ways = _ways(at, recall, k, rows_per_list, by_mean=False) or _ways(at, recall, k, rows_per_list, by_mean=True)
    if not ways:
        return EXACT
    _, per_hit, chosen = min(ways, key=lambda way: way[:2])
    return replace(
        plan,
        candidates=max(plan.candidates, per_hit * k),
        widening=_monotone(chosen, max(1.0, k / at_k), lists),
        bands=tuple(chosen),
    )


def _ways(
    points: Sequence[BandPoint], recall: float, k: int, rows_per_list: float, *, by_mean: bool
) -> list[tuple[float, int, list[BandPoint]]]:
    """Returns (cost, candidates per hit, a point a band) of every number of candidates that keeps the promise."""
    ways = []
    for per_hit in sorted({point.candidates_per_hit for point in points}):
        chosen = _depths(points, recall, per_hit, by_mean=by_mean)
        if chosen is not None:
            scanned = sum(CODE_COST * point.lists * rows_per_list for point in chosen)
            ways.append((scanned + REFINE_COST * per_hit * k * len(chosen), per_hit, chosen))
    return ways


def _depths(points: Sequence[BandPoint], recall: float, per_hit: int, *, by_mean: bool) -> list[BandPoint] | None:
    """Returns the cheapest point of each band that keeps the promise; None where a band has none."""
    chosen: list[BandPoint] = []
    for selectivity in sorted({point.selectivity for point in points}):
        band = [p for p in points if p.selectivity == selectivity and p.candidates_per_hit <= per_hit]
        keeping = [point for point in band if point.recall_low >= recall]
        # Under the worst filters the bound lies some hundredths below the mean, and no depth lifts it: what the filter
        # is turned against lies on a sphere, which 8-bit refine rows cannot order.
        if by_mean and not keeping:
            keeping = [point for point in band if point.recall >= recall - SLACK]
        if not keeping:
            return None
        chosen.append(min(keeping, key=lambda point: point.lists))
    return chosen


def _monotone(chosen: Sequence[BandPoint], factor: float, lists: int) -> tuple[Depth, ...]:
    """Returns the depth of each band, thinner first; none is less deep than that of a denser one.

    A filter between two bands is told what the thinner one needs: it must not be less than the denser one does. One
    that is thinner than all passes so few rows that all their lists are probed.
    """
    depths: list[Depth] = []
    deepest, missed = 0, 1.0
    for point in sorted(chosen, key=lambda point: -point.selectivity):
        deepest = max(deepest, min(lists, math.ceil(point.lists * factor)))
        missed = min(missed, point.missed / factor)  # 0 where a band probes all lists, or a number of them
        depths.append(Depth(point.selectivity, deepest, missed, point.softness))
    return (Depth(0.0, lists), *reversed(depths))


def band_for(widening: Sequence[Depth], selectivity: float) -> Depth | None:
    """Returns the depth under a filter that passes `selectivity` of a shard's rows: of bands no denser, the densest.

    Returns:
        That of the thinnest band where the filter is thinner than all; None where nothing was measured.
    """
    thinner = [band for band in widening if band.selectivity <= selectivity]
    return max(thinner) if thinner else min(widening, default=None)


def _calibrated(k: int, calibrated: set[int]) -> int:
    ordered = sorted(calibrated)
    return next((value for value in ordered if value >= k), ordered[-1])


def _cost(point: CurvePoint, k: int, rows_per_list: float) -> float:
    return CODE_COST * point.nprobe * rows_per_list + REFINE_COST * point.candidates_per_hit * k


def nprobe_grid(lists: int) -> list[int]:
    """Returns powers of two, and all lists: the depths that are tried where each is a search of its own."""
    return [2**power for power in range(math.ceil(math.log2(max(lists, 1))))] + [lists]


def depth_grid(lists: int) -> list[int]:
    """Returns the depths that calibration tries: powers of two, what lies halfway, and all lists."""
    powers = nprobe_grid(lists)
    return sorted({*powers, *(3 * power // 2 for power in powers if power > 1 and 3 * power // 2 < lists)})
