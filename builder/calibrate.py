"""Stage 5: what each plan finds: held-out queries are searched exactly, and by every plan, with and without filters.

Of each space and each kind of queries (items; texts, where the space can be asked by text) the truth is found in one
pass over all rows, for all filters at once; then scans of the shards tell what codes and refinement lose of it. Memory:
one shard, or one part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from builder import held_out, truth
from builder.context import BuildContext
from builder.held_out import HeldOut, Sampled
from builder.scans import MAX_CANDIDATES, Plan, Scans, ShardRows
from builder.survey import Survey
from builder.train import TrainedSpace
from builder.truth import Kind, Pass, Truth
from builder.write import labels
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafStats
from shardlake.core.calibration import (
    CALIBRATED_K,
    CANDIDATES_GRID,
    CONFIDENCE,
    BandPoint,
    CurvePoint,
    Queries,
    depth_grid,
    nprobe_grid,
)
from shardlake.deadline import Deadline
from shardlake.engine.shard import FEW_ROWS, OpenShard, open_shard
from shardlake.store.base import ByteRange, ObjectStore
from shardlake.types import Float32Array, IndexType

SCANNED_QUERIES = 64  # that a filter's scans are asked: what codes lose varies less than what lists do
BAND_CANDIDATES = (8, 32, 100)  # refined for each hit under a filter
SATURATED = 0.998  # of a mean: deeper lists find nothing more
USELESS = 0.6  # a depth that finds less is not worth a line in the manifest
WORTH_TELLING = 0.002  # of recall, more than what costs less finds


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What was measured of one space; empty where it is always searched exactly."""

    curve: tuple[CurvePoint, ...] = ()
    bands: tuple[BandPoint, ...] = ()


def calibrate(
    context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], shards: Sequence[ShardRow]
) -> dict[str, Calibrated]:
    """Returns what was measured of each space; each is one artefact."""
    measured = {}
    for name, space in trained.items():
        context.report("calibrate", 0.8)
        stored = context.load(f"curve-{name}")
        if stored is None:
            made = Calibrated() if space.index is IndexType.FLAT else _measure(context, found, space, shards)
            meta = {"curve": [asdict(p) for p in made.curve], "bands": [asdict(p) for p in made.bands]}
            stored = context.save(f"curve-{name}", {}, meta)
        measured[name] = Calibrated(
            curve=tuple(
                CurvePoint(**{**point, "queries": Queries(point["queries"])}) for point in stored.meta["curve"]
            ),
            bands=tuple(BandPoint(**{**point, "queries": Queries(point["queries"])}) for point in stored.meta["bands"]),
        )
    return measured


def _measure(context: BuildContext, found: Survey, space: TrainedSpace, shards: Sequence[ShardRow]) -> Calibrated:
    sampled = held_out.sample(context, found, space)
    texts = held_out.text_queries(context, space, sampled)
    curve: list[CurvePoint] = []
    bands: list[BandPoint] = []
    for number, queries in enumerate([sampled.held_out] if texts is None else [sampled.held_out, texts]):
        everything = _truths(context, found, space, sampled, queries, np.random.default_rng([context.seed, 3, number]))
        points, of_bands = _Measure(context, space, queries).run(everything, shards)
        curve += points
        bands += of_bands
    return Calibrated(curve=tuple(curve), bands=tuple(bands))


def _truths(  # noqa: PLR0917  # private: one caller
    context: BuildContext,
    found: Survey,
    space: TrainedSpace,
    sampled: Sampled,
    queries: HeldOut,
    rng: np.random.Generator,
) -> Pass:
    made = truth.make_filters(sampled, queries, space, rng)
    rows = [sum(int(found.live[segment].sum()) for segment in part) for part in found.parts]
    parts = held_out.blocks(context, found, space)
    return truth.find(parts, rows, queries, made, space, k=max(CALIBRATED_K), rng=rng)


class _Measure:
    """Measures one space with queries of one kind."""

    def __init__(self, context: BuildContext, space: TrainedSpace, queries: HeldOut) -> None:
        self._context = context
        self._space = space
        self._queries = queries

    def run(self, everything: Pass, shards: Sequence[ShardRow]) -> tuple[list[CurvePoint], list[BandPoint]]:
        """Returns the points of the curve and of the bands."""
        plain, *filtered = everything.truths
        scanned = [found for found in filtered if found.rows > FEW_ROWS]
        scans = [Scans(self._queries, plain, len(self._queries.vectors), self._plans(plain))]
        scans += [Scans(self._queries, found, SCANNED_QUERIES, self._band_plans(found)) for found in scanned]
        for shard in self._opened(shards, everything):
            reader = shard.opened.reader(LeafStats())
            leaf = shard.opened.space(self._space.spec.name)
            leaf.load(range(leaf.lists.space.lists), reader)
            for scan in scans:
                scan.add(shard, leaf, reader)
        curve = [self._point(plan, scans[0].recall(plan)) for plan in self._plans(plain)]
        best = {k: max(point.recall for point in curve if point.k == k) for k in CALIBRATED_K}
        of_scans = {id(scan.truth): scan for scan in scans}
        bands = [
            point
            for band in sorted({found.filter.selectivity for found in filtered})
            for point in self._band(
                [(found, of_scans.get(id(found))) for found in filtered if found.filter.selectivity == band], best
            )
        ]
        return curve, bands

    # Without a filter -----------------------------------------------------------------------------

    def _plans(self, plain: Truth) -> list[Plan]:
        depths = _until_saturated(plain, nprobe_grid(len(self._space.centroids)))
        return [
            Plan(k, depth, per_hit)
            for k in CALIBRATED_K
            for depth in depths
            for per_hit in CANDIDATES_GRID
            if k * per_hit <= MAX_CANDIDATES
        ]

    def _point(self, plan: Plan, recall: Float32Array) -> CurvePoint:
        mean = float(recall.mean())
        return CurvePoint(
            k=plan.k,
            nprobe=plan.lists,
            candidates_per_hit=plan.per_hit,
            recall=round(mean, 4),
            recall_low=round(mean - _error(recall), 4),
            queries=self._queries.kind,
        )

    # Under filters --------------------------------------------------------------------------------

    def _band_plans(self, found: Truth) -> list[Plan]:
        depths = _until_saturated(found, depth_grid(len(self._space.centroids)))
        return [
            Plan(k, depth, per_hit)
            for k in CALIBRATED_K
            for depth in depths
            for per_hit in BAND_CANDIDATES
            if k * per_hit <= MAX_CANDIDATES
        ]

    def _band(self, kinds: Sequence[tuple[Truth, Scans | None]], best: dict[int, float]) -> Iterator[BandPoint]:
        """Yields the points of one band: at each depth what is found under the worst kind of filter.

        Only what finds more than everything cheaper is told.
        """
        depths = depth_grid(len(self._space.centroids))
        is_scanned = any(scans is not None for _, scans in kinds)
        for k in CALIBRATED_K:
            known = np.zeros(len(depths))
            for per_hit in [c for c in BAND_CANDIDATES if k * c <= MAX_CANDIDATES] if is_scanned else [0]:
                for at, depth in enumerate(depths):
                    plan = Plan(k, depth, per_hit)
                    low, mean, kind = min((*_under(of, scans, plan, best[k]), of.filter.kind) for of, scans in kinds)
                    if low >= known[: at + 1].max() + WORTH_TELLING and mean >= USELESS:
                        known[at] = low
                        yield self._band_point(plan, kinds[0][0].filter.selectivity, low, mean, kind)

    def _band_point(self, plan: Plan, selectivity: float, low: float, mean: float, kind: Kind) -> BandPoint:
        return BandPoint(
            k=plan.k,
            selectivity=selectivity,
            lists=plan.lists,
            candidates_per_hit=plan.per_hit,
            recall=round(mean, 4),
            recall_low=round(low, 4),
            worst=str(kind),
            queries=self._queries.kind,
        )

    def _opened(self, shards: Sequence[ShardRow], everything: Pass) -> Iterator[ShardRows]:
        for row in shards:
            first, stop = row.lists[self._space.spec.name]
            if first < stop:
                rows = held_out.flat(labels(self._context, row.shard_id))
                yield ShardRows.of(_open(self._context.store, row), first, rows, everything)


def _under(found: Truth, scans: Scans | None, plan: Plan, unfiltered: float) -> tuple[float, float]:
    """Returns (lower bound, mean) of the recall under one filter.

    What lists lose is measured with all queries; what codes and refinement lose of that with some, in pairs. Where all
    passing rows of the lists are scored, only the rounding of refine rows loses: no more than it does unfiltered.
    """
    of_lists = found.list_recall(plan.k, plan.lists)
    mean, error = float(of_lists.mean()), _error(of_lists)
    if scans is None:
        lost = 1 - unfiltered
        return mean - lost - error, mean - lost
    at = scans.nearest(plan)
    got = scans.recall(at)
    lost_each = found.list_recall(at.k, at.lists)[scans.asked] - got
    lost, error = float(lost_each.mean()), math.hypot(error, _error(lost_each))
    return mean - lost - error, mean - lost


def _error(values: Float32Array) -> float:
    return CONFIDENCE * float(values.std()) / math.sqrt(max(len(values), 1))


def _until_saturated(found: Truth, grid: Sequence[int]) -> list[int]:
    """Returns the depths of the grid up to the first at which lists lose nothing of any k."""
    k = max(CALIBRATED_K)
    enough = next((depth for depth in grid if found.list_recall(k, depth).mean() >= SATURATED), grid[-1])
    return [depth for depth in grid if depth <= enough]


def _open(store: ObjectStore, row: ShardRow) -> OpenShard:
    def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        return store.get_ranges(row.key, [ByteRange(a, b) for a, b in spans], deadline=deadline)

    return open_shard(read([(row.footer_offset, row.bytes)], None)[0], row.bytes, read)
