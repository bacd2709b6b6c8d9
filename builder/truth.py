"""The truth that plans are measured against: the nearest rows of each query, over all rows and under made-up filters.

One pass over the parts answers for all filters: a block's scores are computed once, and each filter looks at its rows.
Filters stand for what users' filters do to a search: thin it out evenly (independent), cut out many small regions and
hardly anything beside (scattered: authors, brands), one region and as much again of the rest (mixed), or leave only
what lies far from many who ask (anti). An anti-correlated filter is turned against one in sixteen of the queries
themselves: for these its edge is a sphere around the query, on which all its neighbours lie, nearly equally far, and no
rounding of vectors is fine enough.
Cost: a product of queries and rows, and a comparison for each that passes a filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from builder.depths import Weighing
from builder.held_out import Block, HeldOut, Sampled
from builder.train import TrainedSpace
from shardlake.core.calibration import BANDS
from shardlake.core.vectors import coarse_scores
from shardlake.engine.nearest import FEW_ROWS
from shardlake.engine.spaces import NO_LIST
from shardlake.types import BoolArray, Float32Array, Float64Array, Int64Array, Metric

MIN_BAND_ROWS = FEW_ROWS  # passing rows, below which a band is not measured: so few are scored one by one
BLOCK_ROWS = 32_768  # scored at a time: 32 MB for 256 queries
FIRST_ROWS = 512  # of the first block, all of whose rows are the best so far
DENSE = 0.05  # selectivity of filters that look at the same near rows
FAR_FROM = 64  # points that an anti-correlated filter's rows lie far from: as many as make a crowd of askers
STRAYS = 0.1  # of the rows that pass a scattered filter lie outside its lists
TURNED_AGAINST = 16  # of them are queries that are measured, the rest are rows

Bits = npt.NDArray[np.uint32]


class Kind(StrEnum):
    """What a filter has to do with the vectors."""

    NONE = "none"
    INDEPENDENT = "independent"
    SCATTERED = "scattered"
    MIXED = "mixed"
    ANTI = "anti"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFilter:
    """A filter that the build makes up.

    Attributes:
        lists: (lists,) bool, whose rows pass whole.
        share: of all rows, drawn evenly, that pass beside them.
        farther: rows pass whose best score among the FAR_FROM points is at most this.
    """

    kind: Kind
    selectivity: float
    lists: BoolArray
    share: float
    farther: float

    def passing(self, block: Block, drawn: npt.NDArray[np.float64], nearness: Float32Array) -> BoolArray:
        """Returns which rows of a block pass."""
        if self.share >= 1:
            return np.ones(len(drawn), bool)
        rows: BoolArray = drawn < self.share
        if self.kind is Kind.ANTI:
            rows |= nearness <= self.farther
        if self.kind in {Kind.SCATTERED, Kind.MIXED}:
            rows |= self.lists.take(block.lists)
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFilters:
    """All filters of one space and kind of queries.

    Attributes:
        filters: of which the first passes everything.
        points: (n, d) float32, that the anti-correlated ones keep away from.
    """

    filters: list[MadeFilter]
    points: Float32Array


@dataclass(slots=True, kw_only=True)
class Truth:
    """What is nearest under one filter.

    Attributes:
        bit: of the filter in `Pass.bits`; None where every row passes.
        labels: (n, k) int64, nearest first, -1 behind the last.
        ranks: (n, k) int64: the depth, counted from 0, at which a search comes to the row's list: without a filter how
            many lists are nearer to the query, under one the step of `builder.depths`.
        list_ranks: (n, lists) int64: the same of each list.
        softness: with which lists are weighed; 0 without a filter.
        has_rows: (lists,) bool: in which something passes.
        rows: that pass.
    """

    filter: MadeFilter
    bit: int | None
    labels: Int64Array
    ranks: Int64Array
    list_ranks: Int64Array
    softness: float
    has_rows: BoolArray
    rows: int
    _lists_at: Float64Array = field(init=False)

    def __post_init__(self) -> None:
        counts = np.bincount(self.list_ranks[:, self.has_rows].ravel(), minlength=1)
        self._lists_at = np.cumsum(counts) / len(self.list_ranks)

    def list_recall(self, k: int, depth: int) -> Float32Array:
        """Returns (n,) float32: the share of the k nearest that lie in the lists that a search of that depth probes."""
        is_there = (self.labels[:, :k] >= 0) & (self.ranks[:, :k] < depth)
        return share_of(is_there.sum(axis=1), self.labels[:, :k])

    def lists_at(self, depth: int) -> float:
        """Returns how many lists with passing rows a search of that depth probes, on average."""
        return float(self._lists_at[min(depth, len(self._lists_at)) - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass over all parts found.

    Attributes:
        truths: without a filter first.
        bits: of each part, (rows of the part,) uint32: which filters each row passes.
        lists: of each part, (rows of the part,) int32: the list of each row.
    """

    truths: list[Truth]
    bits: list[Bits]
    lists: list[npt.NDArray[np.int32]]


def share_of(found: Int64Array, truth: Int64Array) -> Float32Array:
    """Returns found / how many labels a row of `truth` has; 1 where there are none to find."""
    wanted = (truth >= 0).sum(axis=1)
    share: Float32Array = np.ones(len(found), np.float32)
    np.divide(found, wanted, out=share, where=wanted > 0, casting="unsafe")
    return share


def make_filters(sampled: Sampled, queries: HeldOut, space: TrainedSpace, rng: np.random.Generator) -> MadeFilters:
    """Returns filters of every kind and band that the space has rows for."""
    centroids, metric = space.centroids, space.spec.metric
    lists, rows = len(centroids), int(sampled.list_rows.sum())
    asked = queries.vectors[:TURNED_AGAINST]
    points = np.concatenate([asked, sampled.rows[: FAR_FROM - len(asked)]])
    nearness = np.sort(scores_of(sampled.rows, points, metric).max(axis=1))
    none = np.zeros(lists, bool)
    made = [MadeFilter(kind=Kind.NONE, selectivity=1.0, lists=none, share=1.0, farther=-np.inf)]
    for band in BANDS:
        if band * rows < MIN_BAND_ROWS:
            continue
        farther = float(nearness[max(0, round(band * len(nearness)) - 1)])
        half = _region(sampled.list_rows, centroids, metric, band / 2, rng)
        scattered = _scattered(sampled.list_rows, band * (1 - STRAYS), rng)
        for kind, inside, share, limit in (
            (Kind.INDEPENDENT, none, band, -np.inf),
            # Of the other rows, so that both parts add up.
            (Kind.SCATTERED, scattered, band * STRAYS / (1 - band * (1 - STRAYS)), -np.inf),
            (Kind.MIXED, half, band / 2 / (1 - band / 2), -np.inf),
            (Kind.ANTI, none, 0.0, farther),
        ):
            made.append(MadeFilter(kind=kind, selectivity=band, lists=inside, share=share, farther=limit))
    return MadeFilters(filters=made, points=points)


def _region(
    list_rows: Int64Array, centroids: Float32Array, metric: Metric, share: float, rng: np.random.Generator
) -> BoolArray:
    """Returns lists around one of them that hold about `share` of all rows."""
    around = coarse_scores(centroids[rng.integers(len(centroids))], centroids, metric)
    ranked = np.argsort(-around, kind="stable")
    enough = int(np.searchsorted(np.cumsum(list_rows[ranked]), share * list_rows.sum())) + 1
    inside = np.zeros(len(centroids), bool)
    inside[ranked[:enough]] = True
    return inside


def _scattered(list_rows: Int64Array, share: float, rng: np.random.Generator) -> BoolArray:
    """Returns lists, drawn from all, that hold about `share` of all rows."""
    drawn = rng.permutation(len(list_rows))
    enough = int(np.searchsorted(np.cumsum(list_rows[drawn]), share * list_rows.sum())) + 1
    inside = np.zeros(len(list_rows), bool)
    inside[drawn[:enough]] = True
    return inside


def find(
    parts: Iterable[Block],
    part_rows: Sequence[int],
    queries: HeldOut,
    made: MadeFilters,
    space: TrainedSpace,
    *,
    k: int,
    rng: np.random.Generator,
) -> Pass:
    """Finds the k nearest of each query under each filter, its own row left out.

    Args:
        parts: all rows of the space.
        part_rows: rows of each part, those without a vector included.
        k: of the truth.
        rng: draws the rows of independent filters.
    """
    found = _Pass(part_rows, queries, made, space, k)
    for part in parts:
        found.lists[part.number][part.rows] = part.lists
        for block in _cut(part, is_first=part.number == 0):
            found.add(block, rng.random(len(block.rows)))
    return found.done()


class _Pass:
    """What one pass has found so far."""

    def __init__(
        self, part_rows: Sequence[int], queries: HeldOut, made: MadeFilters, space: TrainedSpace, k: int
    ) -> None:
        self.bits = [np.zeros(rows, np.uint32) for rows in part_rows]
        self.lists = [np.full(rows, NO_LIST, np.int32) for rows in part_rows]
        self._queries, self._made, self._space = queries, made, space
        self._nearest = [_Nearest(len(queries.vectors), k) for _ in made.filters]
        self._list_rows = np.zeros((len(made.filters), len(space.centroids)), np.int64)

    def add(self, block: Block, drawn: npt.NDArray[np.float64]) -> None:
        """Looks at rows that have drawn these numbers in [0, 1)."""
        metric = self._space.spec.metric
        scores = scores_of(block.vectors, self._queries.vectors, metric)
        _leave_out(scores, block.labels, self._queries.labels)
        nearness = scores_of(block.vectors, self._made.points, metric).max(axis=1)
        # A block is compared once for all dense filters, and what is good enough for one of them is looked at by each.
        dense = [at for at, made in zip(self._nearest, self._made.filters, strict=True) if made.selectivity >= DENSE]
        near = _better(scores, np.min([nearest.bounds for nearest in dense], axis=0))
        bits = np.zeros(len(block.rows), np.uint32)
        for number, (made, nearest) in enumerate(zip(self._made.filters, self._nearest, strict=True)):
            passes = made.passing(block, drawn, nearness)
            rows = np.flatnonzero(passes)
            bits |= passes * np.uint32(1 << number)
            self._list_rows[number] += np.bincount(block.lists.take(rows), minlength=self._list_rows.shape[1])
            if made.selectivity >= DENSE:
                found = near.only(passes[near.rows] & (near.scores > nearest.bounds[near.queries]))
            else:
                found = _better(scores[rows], nearest.bounds)
                found = found._replace(rows=rows[found.rows])
            nearest.add(found, block)
        self.bits[block.number][block.rows] = bits

    def done(self) -> Pass:
        """Returns what all blocks have shown."""
        for nearest in self._nearest:
            nearest.settle()
        vectors, centroids = self._queries.vectors, self._space.centroids
        coarse = np.stack([coarse_scores(query, centroids, self._space.spec.metric) for query in vectors])
        weighing = Weighing(coarse, self._space.list_starts)
        ranks = np.argsort(np.argsort(-coarse, axis=1, kind="stable"), axis=1)
        truths = [
            self._truth(number, weighing.steps(self._list_rows[number]), weighing.softness)
            for number in range(1, len(self._made.filters))
        ]
        return Pass(truths=[self._truth(0, ranks, 0.0), *truths], bits=self.bits, lists=self.lists)

    def _truth(self, number: int, list_ranks: Int64Array, softness: float) -> Truth:
        nearest, list_rows = self._nearest[number], self._list_rows[number]
        return Truth(
            filter=self._made.filters[number],
            bit=number or None,
            labels=nearest.labels,
            ranks=np.take_along_axis(list_ranks, nearest.lists, axis=1),
            list_ranks=list_ranks,
            softness=softness,
            has_rows=list_rows > 0,
            rows=int(list_rows.sum()),
        )


def scores_of(vectors: Float32Array, queries: Float32Array, metric: Metric) -> Float32Array:
    """Returns (rows, queries) float32, higher is nearer for each query: inner products, for l2 of one order with it."""
    products: Float32Array = vectors @ queries.T
    if metric is Metric.L2:
        products -= np.einsum("ij,ij->i", vectors, vectors)[:, None] / 2
    return products


def _cut(part: Block, *, is_first: bool) -> Iterable[Block]:
    start, rows = 0, FIRST_ROWS if is_first else BLOCK_ROWS
    while start < len(part.rows):
        cut = slice(start, start + rows)
        yield Block(number=part.number, rows=part.rows[cut], vectors=part.vectors[cut], lists=part.lists[cut])
        start, rows = start + rows, min(4 * rows, BLOCK_ROWS)


def _leave_out(scores: Float32Array, labels: Int64Array, own: Int64Array) -> None:
    """Makes each query's own row the farthest."""
    order = np.argsort(labels, kind="stable")  # of labels that ascend at no cost
    places = order[np.minimum(np.searchsorted(labels, own, sorter=order), len(labels) - 1)]
    queries = np.flatnonzero(labels[places] == own)
    scores[places[queries], queries] = -np.inf


class _Pairs(NamedTuple):
    """(m,) rows of a block, and queries that they are near to, and with what scores."""

    rows: Int64Array
    queries: Int64Array
    scores: Float32Array

    def only(self, keep: BoolArray) -> _Pairs:
        """Returns the pairs that are marked."""
        at = np.flatnonzero(keep)
        return _Pairs(self.rows[at], self.queries[at], self.scores[at])


def _better(scores: Float32Array, bounds: Float32Array) -> _Pairs:
    """Returns the pairs of (rows, queries) scores that are above the query's bound."""
    at = np.flatnonzero(scores > bounds)  # five times faster than a search along two axes
    return _Pairs(*np.divmod(at, len(bounds)), scores.ravel()[at])


class _Nearest:
    """The k best of each query over blocks: labels, and the lists they are in.

    Attributes:
        bounds: (n,) float32: what a row must score more than, to be among a query's k best.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.labels = np.full((queries, k), -1, np.int64)
        self.lists = np.zeros((queries, k), np.int64)
        self.bounds = np.full(queries, -np.inf, np.float32)
        self._scores = np.full((queries, k), -np.inf, np.float32)
        self._pending: list[tuple[Int64Array, Float32Array, Int64Array, Int64Array]] = []

    def add(self, found: _Pairs, block: Block) -> None:
        """Takes what may be among the best; it is settled once as much has come together as is kept."""
        self._pending.append((found.queries, found.scores, block.labels[found.rows], block.lists[found.rows]))
        if sum(len(scores) for _, scores, _, _ in self._pending) >= self.labels.size:
            self.settle()

    def settle(self) -> None:
        """Keeps the k best of all that came."""
        n, k = self.labels.shape
        kept = np.repeat(np.arange(n), k), self._scores.ravel(), self.labels.ravel(), self.lists.ravel()
        queries, scores, labels, lists = map(np.concatenate, zip(kept, *self._pending, strict=True))
        order = np.argsort(-scores)
        order = order[np.argsort(queries[order].astype(np.int16), kind="stable")]  # a few hundred: sorted by digits
        first = np.searchsorted(queries[order], np.arange(n))
        best = order[first[:, None] + np.arange(k)]
        self._scores, self.lists = scores[best], lists[best]
        self.labels = np.where(np.isneginf(self._scores), -1, labels[best])
        self.bounds = self._scores[:, -1]
        self._pending = []
