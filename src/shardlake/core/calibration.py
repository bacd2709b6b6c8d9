"""Recall as a curve: what a plan costs, what it was measured to find, and which plan keeps a promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CALIBRATED_K = (10, 100)
CONFIDENCE = 1.645  # one-sided 95 %: a promise is made on the lower bound, not on the mean
CODE_COST = 1.0  # of scanning one code, in codes
REFINE_COST = 12.0  # of refining one row, in codes: measured by benchmarks/leaf.py as time a row over time a code


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One plan, measured on held-out queries.

    Attributes:
        k: it was measured at.
        nprobe: lists probed over all shards.
        candidates_per_hit: rows refined in each shard, divided by k.
        recall: mean share of the true k nearest found.
        recall_low: the lower bound of that mean at 95 % confidence.
    """

    k: int
    nprobe: int
    candidates_per_hit: int
    recall: float
    recall_low: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """What a search shall do in one space. `exact` overrides the rest."""

    nprobe: int
    candidates: int
    exact: bool
    point: CurvePoint | None = None


EXACT = ScanPlan(nprobe=0, candidates=0, exact=True)


def choose(curve: Sequence[CurvePoint], *, recall: float, k: int, rows_per_list: float) -> ScanPlan:
    """Returns the cheapest plan that was measured to keep the recall asked for; exact search where none was.

    Args:
        curve: of one space; empty for a space that is always searched exactly.
        recall: in (0, 1]; 1 is exact search by definition.
        k: hits asked for. Between calibrated values the next larger counts; above them nprobe grows in proportion.
        rows_per_list: mean, to weigh scanning against refining.
    """
    if recall >= 1 or not curve:
        return EXACT
    calibrated = sorted({point.k for point in curve})
    at_k = next((value for value in calibrated if value >= k), calibrated[-1])
    keeping = [point for point in curve if point.k == at_k and point.recall_low >= recall]
    if not keeping:
        return EXACT
    best = min(keeping, key=lambda point: _cost(point, k, rows_per_list))
    return ScanPlan(
        nprobe=math.ceil(best.nprobe * max(1.0, k / at_k)),
        candidates=best.candidates_per_hit * k,
        exact=False,
        point=best,
    )


def _cost(point: CurvePoint, k: int, rows_per_list: float) -> float:
    return CODE_COST * point.nprobe * rows_per_list + REFINE_COST * point.candidates_per_hit * k


def nprobe_grid(lists: int) -> list[int]:
    """Returns the probes that calibration tries: powers of two, and all lists."""
    return [2**power for power in range(math.ceil(math.log2(max(lists, 1))))] + [lists]


CANDIDATES_GRID = (2, 4, 8, 16, 32)
