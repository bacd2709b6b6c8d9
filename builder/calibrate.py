"""Stage 6: what each plan finds: held-out queries are searched exactly, and by every plan, with and without filters.

Of each space and each kind of queries (items; texts, where the space can be asked by text) the truth is found in one
pass over all rows, for all filters at once; then scans of the shards tell what codes and refinement lose of it. Memory:
one shard, or one part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from builder import held_out, truth
from builder.context import BuildContext
from builder.depths import FILTERED_DEPTHS, missed_at
from builder.held_out import HeldOut, Sampled
from builder.scans import MAX_CANDIDATES, BucketScans, Plan, Scans, ShardRows
from builder.stored import open_stored
from builder.survey import Survey
from builder.train import TrainedSpace
from builder.truth import Pass, Truth
from builder.write import labels
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafStats
from shardlake.core.calibration import (
    CALIBRATED_K,
    CANDIDATES_GRID,
    BandPoint,
    CurvePoint,
    Queries,
    depth_grid,
    nprobe_grid,
)
from shardlake.core.threads import shared
from shardlake.format.container import Container
from shardlake.types import IndexType

SCANNED_QUERIES = 64  # that a filter's scans are asked: what codes lose varies less than what lists do
BUCKET_QUERIES = 32  # the same of buckets, of which every depth is searched
BAND_CANDIDATES = (8, 16, 32, 100)  # refined for each hit under a filter
SATURATED = 0.998  # of a mean: deeper lists find nothing more
USELESS = 0.6  # a depth that finds less is not worth a line in the manifest
MARGIN = 1.25  # times less weight is left than was measured to do: users' filters are not those of the build
WORTH_TELLING = 0.04  # of what a cheaper depth loses, that a deeper one finds


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What was measured of one space; empty where it is always searched exactly."""

    curve: tuple[CurvePoint, ...] = ()
    bands: tuple[BandPoint, ...] = ()


class Begun(NamedTuple):
    """What is known of a space before its shards are: a sample, and the truth of the items among it."""

    sampled: Sampled
    truths: Pass


class Calibration:
    """The calibration of a build: what needs no shards goes on beside the writing of them.

    Args:
        context: of the build. found: what it builds from. trained: its spaces, all parts of which stand.
        worker: that does one thing beside the caller.
    """

    def __init__(
        self, context: BuildContext, found: Survey, trained: Mapping[str, TrainedSpace], worker: Executor
    ) -> None:
        self._context, self._found, self._trained, self._worker = context, found, trained, worker
        self._begun: dict[str, Future[Begun]] = {}  # by the space whose vectors they are, for all that come from it

    def begin(self) -> None:
        """Has the worker begin all that needs no shards, where it has not begun. Called by one thread at a time."""
        for name, space in self._trained.items():
            if not self._is_exact(space) and not self._context.has(_name(name)):
                self._begin(space.stored_as)

    def measure(self, shards: Sequence[ShardRow]) -> dict[str, Calibrated]:
        """Returns what was measured of each space, in the shards that were written; each is one artefact."""
        measured = {}
        for name in self._trained:
            self._context.report("calibrate", 0.8)
            stored = self._context.load(_name(name)) or self._saved(name, shards)
            measured[name] = _decode(stored.meta)
        return measured

    def _begin(self, stored: str) -> Future[Begun]:
        if stored not in self._begun:
            self._begun[stored] = self._worker.submit(_begin, self._context, self._found, self._trained[stored])
        return self._begun[stored]

    def _is_exact(self, space: TrainedSpace) -> bool:
        # A space from another has its rows, which may be none.
        return space.index is IndexType.FLAT or not self._trained[space.stored_as].rows

    def _saved(self, name: str, shards: Sequence[ShardRow]) -> Container:
        made = Calibrated() if self._is_exact(self._trained[name]) else self._measured(name, shards)
        meta = {"curve": [asdict(p) for p in made.curve], "bands": [asdict(p) for p in made.bands]}
        return self._context.save(_name(name), {}, meta)

    def _measured(self, name: str, shards: Sequence[ShardRow]) -> Calibrated:
        space = self._trained[name]
        stored = self._trained[space.stored_as]
        sampled, truths = self._begin(space.stored_as).result()
        curve: list[CurvePoint] = []
        bands: list[BandPoint] = []
        texts = held_out.text_queries(self._context, stored, sampled)
        for queries in [sampled.held_out] if texts is None else [sampled.held_out, texts]:
            if queries is texts:
                truths = _truths(self._context, self._found, stored, sampled, texts)
            measure = _Measure(space, queries, truths)
            for shard in _opened(self._context, space, shards, truths):
                measure.add(shard)
            curve += measure.curve()
            bands += measure.bands()
        return Calibrated(curve=tuple(curve), bands=tuple(bands))


def _name(space: str) -> str:
    return f"curve-{space}"


def _decode(meta: Mapping[str, list[dict[str, object]]]) -> Calibrated:
    def told(point: dict[str, object]) -> dict[str, object]:
        return {**point, "queries": Queries(str(point["queries"]))}

    return Calibrated(
        curve=tuple(CurvePoint(**told(point)) for point in meta["curve"]),  # type: ignore[arg-type]  # as saved above
        bands=tuple(BandPoint(**told(point)) for point in meta["bands"]),  # type: ignore[arg-type]
    )


def _begin(context: BuildContext, found: Survey, space: TrainedSpace) -> Begun:
    sampled = held_out.sample(context, found, space)
    # Beside other work: threads of the BLAS would spin on its cores between products.
    with threadpool_limits(1, user_api="blas"):
        return Begun(sampled, _truths(context, found, space, sampled, sampled.held_out))


def _truths(context: BuildContext, found: Survey, space: TrainedSpace, sampled: Sampled, queries: HeldOut) -> Pass:
    rng = np.random.default_rng([context.seed, 3, int(queries.kind is Queries.TEXT)])
    made = truth.make_filters(sampled, queries, space, rng)
    rows = [sum(int(found.live[segment].sum()) for segment in part) for part in found.parts]
    parts = held_out.blocks(context, found, space)
    return truth.find(parts, rows, queries, made, space, k=max(CALIBRATED_K), rng=rng)


def _opened(
    context: BuildContext, space: TrainedSpace, shards: Sequence[ShardRow], everything: Pass
) -> Iterator[ShardRows]:
    for row in shards:
        opened = open_stored(context.store, row)
        first, stop = row.lists[space.stored_as]
        if first < stop:
            rows = held_out.flat(labels(context, row.shard_id))
            yield ShardRows.of(opened.nearest(space.spec.name), opened.reader(LeafStats()), first, rows, everything)


class _Measure:
    """What queries of one kind find in one space."""

    def __init__(self, space: TrainedSpace, queries: HeldOut, everything: Pass) -> None:
        self._space = space
        self._queries = queries
        plain, *filtered = everything.truths
        self._plain = self._scans(plain, len(queries.vectors), self._depths, CANDIDATES_GRID)
        asked = SCANNED_QUERIES if space.hash is None else BUCKET_QUERIES
        self._filtered = [self._scans(of, asked, self._filtered_depths, BAND_CANDIDATES) for of in filtered]

    @property
    def _depths(self) -> list[int]:
        # Buckets are many, and each depth of them is a search of its own.
        return depth_grid(self._space.probes) if self._space.hash is None else nprobe_grid(self._space.probes)

    @property
    def _filtered_depths(self) -> list[int]:
        return list(FILTERED_DEPTHS) if self._space.hash is None else self._depths

    def _scans(self, found: Truth, asked: int, grid: Sequence[int], candidates: Sequence[int]) -> Scans:
        if self._space.hash is not None:
            return BucketScans(self._queries, found, asked, _plans(grid, candidates))
        k = max(CALIBRATED_K)
        enough = next((depth for depth in grid if found.list_recall(k, depth).mean() >= SATURATED), grid[-1])
        return Scans(self._queries, found, asked, _plans([d for d in grid if d <= enough], candidates))

    def add(self, shard: ShardRows) -> None:
        """Searches one shard: filters are shared among threads, of which one at a time scans."""
        scanning = Lock()

        def search(scans: Scans) -> None:
            scanned = scans.scanned(shard)
            while True:
                with scanning:
                    found = next(scanned, None)
                if found is None:
                    return
                scans.measure(found)

        shared(search, (self._plain, *self._filtered))

    def curve(self) -> Iterator[CurvePoint]:
        """Yields what plans find without a filter."""
        for plan in self._plain.plans:
            mean, error = self._plain.estimate(plan)
            yield CurvePoint(
                k=plan.k,
                nprobe=plan.depth,
                candidates_per_hit=plan.per_hit,
                recall=round(mean, 4),
                recall_low=round(mean - error, 4),
                queries=self._queries.kind,
            )

    def bands(self) -> Iterator[BandPoint]:
        """Yields what depths find in each band, under the worst kind of filter."""
        for band in sorted({scans.truth.filter.selectivity for scans in self._filtered}):
            yield from self._band([scans for scans in self._filtered if scans.truth.filter.selectivity == band])

    def _band(self, kinds: Sequence[Scans]) -> Iterator[BandPoint]:
        """Yields the points of one band: only what finds more than everything cheaper is told."""
        depths = self._filtered_depths
        for k in CALIBRATED_K:
            known = np.zeros(len(depths))
            for plan in _plans(depths, BAND_CANDIDATES):
                if plan.k != k:
                    continue
                low, mean, worst = min(_under(scans, plan) for scans in kinds)
                at = depths.index(plan.depth)
                cheaper = known[: at + 1].max()
                if low >= cheaper + WORTH_TELLING * (1 - cheaper) and mean >= USELESS:
                    known[at] = low
                    yield self._point(plan, kinds, (low, mean, worst))

    def _point(self, plan: Plan, kinds: Sequence[Scans], found: tuple[float, float, str]) -> BandPoint:
        low, mean, worst = found
        truths = [scans.truth for scans in kinds]
        is_counted = self._space.hash is not None  # buckets are; lists are weighed
        missed = 0.0 if is_counted else float(f"{missed_at(plan.depth) / MARGIN:.3g}")
        lists = np.mean([of.lists_at(plan.depth) for of in truths]) if missed else self._space.probes
        return BandPoint(
            k=plan.k,
            selectivity=truths[0].filter.selectivity,
            lists=plan.depth if is_counted else math.ceil(lists),
            candidates_per_hit=plan.per_hit,
            recall=round(mean, 4),
            recall_low=round(low, 4),
            worst=worst,
            queries=self._queries.kind,
            missed=missed,
            softness=truths[0].softness if missed else 0.0,
        )


def _plans(depths: Sequence[int], candidates: Sequence[int]) -> list[Plan]:
    return [
        Plan(k, depth, per_hit)
        for k in CALIBRATED_K
        for per_hit in candidates
        if k * per_hit <= MAX_CANDIDATES
        for depth in depths
    ]


def _under(scans: Scans, plan: Plan) -> tuple[float, float, str]:
    """Returns (lower bound, mean) of the recall under one filter, and its kind."""
    mean, error = scans.estimate(plan)
    return mean - error, mean, str(scans.truth.filter.kind)
