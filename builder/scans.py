"""What searches of the written shards find of the truth: a few scans a query and filter, then every plan by ranks.

A scan over the nearest lists returns rows in the order of their codes. A plan of fewer lists and candidates would have
handed the first of those that lie in its lists to the refinement: which they are follows from the ranks of the lists
and the places in that order, without scanning again. What a scan did not return counts as lost to all its plans, so
what is measured is never too high; a scan serves plans down to a quarter of its lists, so that little is lost so.
Hash buckets have no such order: each depth is searched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from builder.held_out import PART_BITS, HeldOut
from builder.truth import Bits, Pass, Truth, share_of
from shardlake.contracts.shard import LeafStats
from shardlake.core.calibration import CONFIDENCE
from shardlake.engine.binary_space import NearestBuckets
from shardlake.engine.nearest import Nearest
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import NO_LIST, NO_ROW, Probe
from shardlake.query.rows import RowSet
from shardlake.types import BoolArray, Float32Array, Int64Array

MAX_CANDIDATES = 1_024  # of one plan; deeper refinement than this is exact search's business
SCANNED_TOGETHER = 64  # queries: those of a filter in one call, which shares them among threads
SCAN_SERVES = 4  # plans of more than a quarter of a scan's lists are told from it
_LOST = np.iinfo(np.int32).max  # the place, in the truth, of a row that is not in it
_NO_LABEL = -2  # none that a row has, nor what stands behind the last of a query's nearest
_NEVER = np.iinfo(np.int16).max  # more than MAX_CANDIDATES
Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to search: how deep (lists, buckets, or steps of `builder.depths`), and rows to refine for each hit."""

    k: int
    depth: int
    per_hit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """One opened shard, all its lists loaded, and what the pass over all parts found of its rows.

    Attributes:
        first_list: the number over all shards of its first list.
        labels: (rows,) int64.
        bits: (rows,) uint32: which filters each row passes.
        lists: (rows,) int32, over all shards; NO_LIST where a row has no vector.
    """

    nearest: Nearest
    reader: Reader
    first_list: int
    labels: Int64Array
    bits: Bits
    lists: npt.NDArray[np.int32]

    @classmethod
    def of(cls, nearest: Nearest, reader: Reader, first_list: int, labels: Int64Array, everything: Pass) -> ShardRows:
        """Returns a shard with what `everything` found of its rows."""
        parts, rows = labels >> PART_BITS, labels & ((1 << PART_BITS) - 1)
        bits, lists = np.zeros(len(rows), np.uint32), np.full(len(rows), NO_LIST, np.int32)
        for number, (of_part, lists_of_part) in enumerate(zip(everything.bits, everything.lists, strict=True)):
            here = parts == number
            bits[here], lists[here] = of_part[rows[here]], lists_of_part[rows[here]]
        nearest.space.lists.read_centroids(reader)
        nearest.space.load(range(nearest.space.lists.space.lists), reader)
        return cls(nearest=nearest, reader=reader, first_list=first_list, labels=labels, bits=bits, lists=lists)

    def passing(self, bit: int | None) -> RowSet | None:
        """Returns the rows that pass a filter."""
        return None if bit is None else RowSet(self.bits & np.uint32(1 << bit) > 0)


class Scanned(NamedTuple):
    """What one scan of a shard found: the rows of each query, in the order of their codes.

    Attributes:
        depths: of the plans that are told from it.
    """

    shard: ShardRows
    depths: set[int]
    rows: list[Int64Array]


class Scans:
    """What plans find under one filter, shard by shard, where lists are probed.

    Args:
        queries: about how many of the held-out ones are asked, evenly taken: an anti-correlated filter is turned
            against the first few, which must have their share.
        plans: that are measured.
    """

    def __init__(self, held_out: HeldOut, truth: Truth, queries: int, plans: Sequence[Plan]) -> None:
        self.truth = truth
        self.asked = np.arange(0, len(held_out.vectors), max(1, len(held_out.vectors) // queries))
        self._held_out = held_out
        self.plans = plans
        self._deepest = max(plan.depth for plan in plans)
        self._candidates = 1 + max(plan.k * plan.per_hit for plan in plans)  # one of them may be the query's own row
        self._best = {plan: _Best(len(self.asked), plan.k) for plan in plans}

    def scanned(self, shard: ShardRows) -> Iterator[Scanned]:
        """Searches one shard; yields what scans found, each to be given to `measure`, in this order."""
        passing = shard.passing(self.truth.bit)
        if passing is not None and not passing.count:
            return
        for depth, served in self._scanned_depths():
            yield Scanned(shard, served, list(self._found(shard, passing, depth)))

    def estimate(self, plan: Plan) -> tuple[float, float]:
        """Returns the recall of a plan, or of the deepest measured where it is deeper: mean, and error at CONFIDENCE.

        What lists lose is known of all queries; what codes and refinement lose of that is told by those asked, in
        pairs, since it varies less.
        """
        at = replace(plan, depth=min(plan.depth, self._deepest))
        found = (self._best[at].places < plan.k).sum(axis=1)
        recall = share_of(found, self.truth.labels[self.asked, : plan.k])
        if len(self.asked) == len(self._held_out.vectors):
            return float(recall.mean()), _error(recall)
        of_lists = self.truth.list_recall(plan.k, plan.depth)
        lost = self.truth.list_recall(at.k, at.depth)[self.asked] - recall
        return float(of_lists.mean() - lost.mean()), math.hypot(_error(of_lists), _error(lost))

    def _scanned_depths(self) -> Iterator[tuple[int, set[int]]]:
        """Yields depths to scan, and which depths of plans each tells."""
        depths = {plan.depth for plan in self.plans}
        while depths:
            deepest = max(depths)
            least = self.truth.lists_at(deepest) / SCAN_SERVES
            served = {depth for depth in depths if depth == deepest or self.truth.lists_at(depth) > least}
            yield deepest, served
            depths -= served

    def _found(self, shard: ShardRows, passing: RowSet | None, depth: int) -> Iterator[Int64Array]:
        """Yields the rows that a scan of that depth hands on, nearest first by code, query by query."""
        space = shard.nearest.space
        for start in range(0, len(self.asked), SCANNED_TOGETHER):
            queries = self.asked[start : start + SCANNED_TOGETHER]
            probes = [self._probe(query, shard, depth) for query in queries.tolist()]
            shape = len(probes), max(1, *(len(probe.lists) for probe in probes))
            lists, scores = np.full(shape, NO_LIST, np.int64), np.zeros(shape, np.float32)
            for at, probe in enumerate(probes):
                lists[at, : len(probe.lists)], scores[at, : len(probe.lists)] = probe
            for rows in space.scan_many(self._held_out.vectors[queries], lists, scores, self._candidates, passing):
                yield rows[rows != NO_ROW]

    def _probe(self, query: int, shard: ShardRows, depth: int) -> Probe:
        """Returns the lists of the shard that a search of that depth probes."""
        lists = shard.nearest.space.lists
        here = slice(shard.first_list, shard.first_list + lists.space.lists)
        local = np.flatnonzero((self.truth.list_ranks[query, here] < depth) & self.truth.has_rows[here])
        return lists.probe(self._held_out.vectors[query], local)

    def _ranks(self, query: int, shard: ShardRows, rows: Int64Array) -> Places:
        """Returns the depth, counted from 0, at which a search meets each row."""
        ranks: Places = self.truth.list_ranks[query, shard.lists[rows]].astype(np.int32)
        return ranks

    def _scored(self, found: Scanned) -> tuple[Places, Float32Array, Int64Array]:
        """Returns (n, candidates) of the rows that a scan found: the depth, counted from 0, at which a search meets
        each; what its refine row scores, -inf behind the last; its label."""
        shape = (len(self.asked), self._candidates)
        scores = np.full(shape, -np.inf, np.float32)
        ranks, labels = np.full(shape, _LOST, np.int32), np.full(shape, _NO_LABEL, np.int64)
        for at, (query, rows) in enumerate(zip(self.asked.tolist(), found.rows, strict=True)):
            there = slice(len(rows))
            ranks[at, there] = self._ranks(query, found.shard, rows)
            scores[at, there] = found.shard.nearest.space.score_rows(self._held_out.vectors[query], rows)
            labels[at, there] = found.shard.labels[rows]
        ranks[labels == self._held_out.labels[self.asked][:, None]] = _LOST
        return ranks, scores, labels

    def _places(self, labels: Int64Array) -> Places:
        """Returns the place of each query's labels among its nearest, _LOST where they are none of them."""
        places = np.full(labels.shape, _LOST, np.int32)
        for of_query, found, truth in zip(places, labels, self.truth.labels[self.asked], strict=True):
            order = np.argsort(truth)
            at = np.minimum(np.searchsorted(truth[order], found), len(truth) - 1)
            is_there = truth[order][at] == found
            of_query[is_there] = order[at][is_there]
        return places

    def measure(self, found: Scanned) -> None:
        """Tells what every plan that the scan serves would have found."""
        ranks, scores, labels = self._scored(found)
        best_first = np.argsort(-scores, axis=1)
        scores = np.take_along_axis(scores, best_first, axis=1)
        places = np.take_along_axis(self._places(labels), best_first, axis=1)
        for depth in found.depths:
            nth = np.cumsum(ranks < depth, axis=1, dtype=np.int16)
            # In the order of scores: how many rows the codes of these lists put before each that was scanned.
            nth = np.take_along_axis(np.where(ranks < depth, nth, _NEVER), best_first, axis=1)
            for plan in self.plans:
                if plan.depth == depth:
                    self._best[plan].add(nth <= plan.k * plan.per_hit, scores, places)


class BucketScans(Scans):
    """What plans find where hash buckets are opened: of each depth what was asked at it."""

    def estimate(self, plan: Plan) -> tuple[float, float]:
        """Returns the recall of a plan, as `Scans.estimate`."""
        found = (self._best[plan].places < plan.k).sum(axis=1)
        recall = share_of(found, self.truth.labels[self.asked, : plan.k])
        return float(recall.mean()), _error(recall)

    def _scanned_depths(self) -> Iterator[tuple[int, set[int]]]:
        for depth in sorted({plan.depth for plan in self.plans}):
            yield depth, {depth}

    def _found(self, shard: ShardRows, passing: RowSet | None, depth: int) -> Iterator[Int64Array]:
        assert isinstance(shard.nearest, NearestBuckets)
        for query in self.asked.tolist():
            vector, bounds = self._held_out.vectors[query], (0, self._candidates)
            yield shard.nearest.buckets.candidates(vector, depth, bounds, passing, shard.reader, LeafStats())

    def _ranks(self, query: int, shard: ShardRows, rows: Int64Array) -> Places:
        return np.zeros(len(rows), np.int32)


class _Best:
    """The k best of each query over shards, as the places that they have in the truth."""

    def __init__(self, queries: int, k: int) -> None:
        self.places = np.full((queries, k), _LOST, np.int32)
        self._scores = np.full((queries, k), -np.inf, np.float32)

    def add(self, is_refined: BoolArray, scores: Float32Array, places: Places) -> None:
        """Takes the best of the rows that are refined, of (n, m) in the order of their scores."""
        k = self.places.shape[1]
        nth = np.cumsum(is_refined, axis=1, dtype=np.int16)
        queries, columns = np.divmod(np.flatnonzero(is_refined & (nth <= k)), nth.shape[1])
        at = queries, nth[queries, columns] - 1
        of_shard = _Best(len(scores), k)
        of_shard._scores[at], of_shard.places[at] = scores[queries, columns], places[queries, columns]
        self._merge(of_shard)

    def _merge(self, other: _Best) -> None:
        k = self.places.shape[1]
        all_scores = np.hstack([self._scores, other._scores])
        best = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
        self._scores = np.take_along_axis(all_scores, best, axis=1)
        self.places = np.take_along_axis(np.hstack([self.places, other.places]), best, axis=1)


def _error(values: Float32Array) -> float:
    return CONFIDENCE * float(values.std()) / math.sqrt(max(len(values), 1))
