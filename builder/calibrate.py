"""Stage 6: what each plan finds: held-out queries are searched exactly, and by every plan of the grid.

A query is an item of the collection that is left out of its own answer; what is learned holds for queries of the items'
own law. Memory: one shard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from builder.assign import part_name
from builder.context import BuildContext
from builder.stored import open_stored
from builder.survey import Survey
from builder.train import TrainedSpace
from builder.write import labels
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafStats
from shardlake.core import exact
from shardlake.core.calibration import CALIBRATED_K, CANDIDATES_GRID, CONFIDENCE, CurvePoint, nprobe_grid
from shardlake.core.vectors import coarse_scores, nearest_lists
from shardlake.engine.binary_space import NearestBuckets
from shardlake.engine.shard import OpenShard
from shardlake.engine.spaces import NO_LIST
from shardlake.types import Float32Array, IndexType, Int64Array

QUERIES = 256
MAX_CANDIDATES = 1_024  # of one plan; deeper refinement than this is exact search's business
_PART_BITS = 40  # a label is part << 40 | row


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldOut:
    labels: Int64Array
    vectors: Float32Array
    truth: Int64Array


@dataclass(frozen=True, slots=True)
class _Plan:
    k: int
    nprobe: int
    per_hit: int


def calibrate(
    context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], shards: Sequence[ShardRow]
) -> dict[str, list[CurvePoint]]:
    """Returns the curve of each space, empty where it is searched exactly; each is one artefact."""
    curves = {}
    for name, space in trained.items():
        context.report("calibrate", 0.8)
        stored = context.load(f"curve-{name}")
        if stored is None:
            points = [] if space.index is IndexType.FLAT else _curve(context, found, space, shards)
            stored = context.save(f"curve-{name}", {}, {"points": [asdict(point) for point in points]})
        curves[name] = [CurvePoint(**point) for point in stored.meta["points"]]
    return curves


def _curve(context: BuildContext, found: Survey, space: TrainedSpace, shards: Sequence[ShardRow]) -> list[CurvePoint]:
    held_out = _held_out(context, found, space)
    plans = [
        _Plan(k, nprobe, per_hit)
        for k in CALIBRATED_K
        for nprobe in nprobe_grid(space.probes)
        for per_hit in CANDIDATES_GRID
        if k * per_hit <= MAX_CANDIDATES
    ]
    best = {plan: _Best(len(held_out.vectors), plan.k) for plan in plans}
    for row in shards:
        opened = open_stored(context.store, row)
        _search_shard(opened, space, row, held_out, best, _flat(labels(context, row.shard_id)))
    return [_point(plan, best[plan], held_out) for plan in plans]


def _point(plan: _Plan, best: _Best, held_out: _HeldOut) -> CurvePoint:
    found = exact.recall(best.labels, held_out.truth[:, : plan.k])
    error = CONFIDENCE * float(found.std()) / math.sqrt(len(found))
    mean = float(found.mean())
    return CurvePoint(
        k=plan.k,
        nprobe=plan.nprobe,
        candidates_per_hit=plan.per_hit,
        recall=round(mean, 4),
        recall_low=round(mean - error, 4),
    )


# Held-out queries and the truth about them -------------------------------------------------------


def _held_out(context: BuildContext, found: Survey, space: TrainedSpace) -> _HeldOut:
    rng = np.random.default_rng([context.seed, 2])
    drawn = [_draw(block, rng, QUERIES / space.rows) for block in _blocks(context, found, space)]
    numbers = np.concatenate([block[0] for block in drawn])
    vectors = np.concatenate([block[1] for block in drawn])
    k = max(CALIBRATED_K)
    near, _ = exact.nearest(vectors, _blocks(context, found, space), k + 1, space.spec.metric)
    return _HeldOut(labels=numbers, vectors=vectors, truth=_without(near, numbers)[:, :k])


def _draw(
    block: tuple[Int64Array, Float32Array], rng: np.random.Generator, share: float
) -> tuple[Int64Array, Float32Array]:
    chosen = rng.random(len(block[0])) < share
    return block[0][chosen], np.ascontiguousarray(block[1][chosen])


def _blocks(context: BuildContext, found: Survey, space: TrainedSpace) -> Iterator[tuple[Int64Array, Float32Array]]:
    name = space.stored_as
    for number in range(len(found.parts)):
        part = context.load(part_name(number))
        assert part is not None
        rows = np.flatnonzero(part.array(f"lists/{name}") != NO_LIST)
        yield (number << _PART_BITS) + rows, part.array(f"vectors/{name}")[rows]


def _without(near: Int64Array, own: Int64Array) -> Int64Array:
    """Returns each row without its own label, one shorter."""
    out = np.full((len(near), near.shape[1] - 1), -1, np.int64)
    for i, (row, label) in enumerate(zip(near, own, strict=True)):
        kept = row[row != label][: out.shape[1]]
        out[i, : len(kept)] = kept
    return out


def _flat(pairs: Int64Array) -> Int64Array:
    return (pairs[:, 0] << _PART_BITS) + pairs[:, 1]


# What plans find ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows in the order of their codes, with the scores of their refine rows."""

    labels: Int64Array
    scores: Float32Array

    def without(self, label: int) -> _Found:
        kept = self.labels != label
        return _Found(self.labels[kept], self.scores[kept])

    def first(self, count: int) -> _Found:
        return _Found(self.labels[:count], self.scores[:count])


class _Best:
    """The k best of each query so far, over shards."""

    def __init__(self, queries: int, k: int) -> None:
        self.labels = np.full((queries, k), -1, np.int64)
        self._scores = np.full((queries, k), -np.inf, np.float32)

    def add(self, query: int, found: _Found) -> None:
        all_scores = np.concatenate([self._scores[query], found.scores])
        all_labels = np.concatenate([self.labels[query], found.labels])
        best = np.argsort(-all_scores, kind="stable")[: self.labels.shape[1]]
        self.labels[query], self._scores[query] = all_labels[best], all_scores[best]


def _search_shard(  # noqa: PLR0917  # private: one caller
    opened: OpenShard,
    space: TrainedSpace,
    row: ShardRow,
    held_out: _HeldOut,
    best: dict[_Plan, _Best],
    shard_labels: Int64Array,
) -> None:
    leaf = opened.space(space.spec.name)
    leaf.load(range(leaf.lists.space.lists), opened.reader(LeafStats()))
    candidates = _of_buckets(opened, space) or _of_lists(opened, space, row)
    for i, query in enumerate(held_out.vectors):
        found_rows = candidates(query)
        for nprobe in nprobe_grid(space.probes):
            rows = found_rows(nprobe)
            if len(rows):
                found = _Found(shard_labels[rows], leaf.score_rows(query, rows)).without(int(held_out.labels[i]))
                for plan, kept in best.items():
                    if plan.nprobe == nprobe:
                        kept.add(i, found.first(plan.k * plan.per_hit))


_Candidates = Callable[[Float32Array], Callable[[int], Int64Array]]
"""Takes a query, then a depth; returns the rows to refine, best first."""


def _of_lists(opened: OpenShard, space: TrainedSpace, row: ShardRow) -> _Candidates:
    leaf, reader = opened.space(space.spec.name), opened.reader(LeafStats())
    first, stop = row.lists[space.spec.name]

    def of_query(query: Float32Array) -> Callable[[int], Int64Array]:
        ranked = nearest_lists(coarse_scores(query, space.centroids, space.spec.metric), len(space.centroids))

        def at_depth(nprobe: int) -> Int64Array:
            probed = ranked[:nprobe]
            local = probed[(probed >= first) & (probed < stop)] - first
            if not len(local):
                return np.empty(0, np.int64)
            return leaf.scan(query, leaf.lists.probe(query, local), MAX_CANDIDATES, None, reader)

        return at_depth

    return of_query


def _of_buckets(opened: OpenShard, space: TrainedSpace) -> _Candidates | None:
    nearest = opened.nearest(space.spec.name)
    if not isinstance(nearest, NearestBuckets):
        return None
    buckets = nearest.buckets
    stats = LeafStats()
    reader = opened.reader(stats)
    return lambda query: lambda nprobe: buckets.candidates(query, nprobe, (0, MAX_CANDIDATES), None, reader, stats)
