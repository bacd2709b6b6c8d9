"""How deep one space is searched: which plan of its curve, which lists of which shard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from functions.router.depth import MIN_CANDIDATES, explained, queries_of, scan_plan
from functions.router.request import Asked
from functions.router.spaces import SpaceAsked
from functions.router.versions import Version, Versions
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import VectorSource
from shardlake.core.calibration import CANDIDATES_GRID, EXACT, ScanPlan
from shardlake.core.vectors import coarse_scores, nearest_lists
from shardlake.deadline import Deadline
from shardlake.errors import InternalError
from shardlake.format.manifest import ManifestSpace
from shardlake.format.routing import ListExtents
from shardlake.types import Depth, Float32Array, Int64Array

ROWS_BEHIND = 4  # rows that the probed lists have for each hit of all pages, at least; else all lists are probed


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """What one space is asked.

    Attributes:
        query: (dimension,) float32, prepared.
        probes: the nearest lists, nearest first, in the numbering of the manifest; None: each shard chooses.
        scores: of all its lists; None where nobody needed them.
        depth: hits of all pages so far, of a later page.
        promise: the recall that was asked for; None where `nprobe` overrides it.
        extents: where its lists lie; None where nobody needed them, or the version does not say.
        firsts: {shard: which of the extents is that of its first list}.
    """

    asked: SpaceAsked
    query: Float32Array
    space: ManifestSpace
    scan: ScanPlan
    probes: Int64Array | None
    scores: Float32Array | None
    promise: float | None = None
    depth: int = 0
    extents: ListExtents | None = None
    firsts: Mapping[int, int] = field(default_factory=dict)

    def names(self, row: ShardRow) -> bool:
        """Returns whether a shard has anything that shall be searched."""
        return self.probes is None or bool(self._local(row))

    def source(self, row: ShardRow) -> VectorSource:
        """Returns what a shard is asked; its one nearest list where no probe names any."""
        lists = None if self.probes is None else tuple(self._local(row) or self._nearest(row))
        return VectorSource(
            space=self.space.name,
            query=np.ascontiguousarray(self.query, np.float32),
            lists=lists,
            extents=self._extents(row, lists),
            nprobe=self.scan.nprobe,
            candidates=self.scan.candidates,
            exact=self.scan.exact,
            widening=self.scan.widening,
            weight=self.asked.weight,
            depth=self.depth,
        )

    def exact_source(self) -> VectorSource:
        """Returns what a delta is asked: it has no lists, and every row is scored."""
        return VectorSource(
            space=self.space.name,
            query=np.ascontiguousarray(self.query, np.float32),
            exact=True,
            weight=self.asked.weight,
        )

    def explain(self) -> dict[str, Any]:
        """Returns what a caller may see of the plan."""
        space = {"space": self.space.name, "index": self.space.index, "lists": self.space.lists}
        return space | explained(self.scan, promise=self.promise)

    def _extents(self, row: ShardRow, lists: tuple[int, ...] | None) -> tuple[tuple[int, int, int], ...] | None:
        # A leaf that holds nothing reads the lists that it is told along with its tail.
        if self.extents is None or lists is None:
            return None
        first = self.firsts[row.shard_id]
        return tuple(self.extents.row(first + number) for number in lists)

    def _local(self, row: ShardRow) -> list[int]:
        assert self.probes is not None
        first, stop = row.lists[self.space.name]
        local: list[int] = (self.probes[(self.probes >= first) & (self.probes < stop)] - first).tolist()
        return local

    def _nearest(self, row: ShardRow) -> list[int]:
        first, stop = row.lists[self.space.name]
        return [] if first == stop or self.scores is None else [int(self.scores[first:stop].argmax())]


def plan_source(  # noqa: PLR0917  # private to the plan: one caller
    asked: Asked,
    one: SpaceAsked,
    query: Float32Array,
    version: Version,
    versions: Versions,
    shards: Sequence[ShardRow],
    deadline: Deadline,
) -> SourcePlan:
    """Returns the plan of one space of a search.

    Args:
        asked: the search. one: the space. query: its prepared vector.
        version: searched. versions: reads its centroids.
        shards: those that the filter leaves.
        deadline: of the request.
    """
    space = version.manifest.space(one.space.name)
    if space is None:
        raise InternalError("a version lacks a space of its schema", space=one.space.name)
    # What has expired is left out as a filter would: where it is much, searches go as deep as that takes.
    is_filtered = asked.filter is not None or version.is_worn
    scan = _scan_plan(asked, space, is_filtered=is_filtered)
    # Under a filter each shard chooses its own lists: only it knows where the rows that pass lie. Hash buckets it
    # always chooses itself: it has all of them.
    promise = None if asked.request.nprobe is not None and asked.request.recall < 1 else asked.request.recall
    plain = SourcePlan(
        asked=one,
        query=query,
        space=space,
        scan=scan,
        probes=None,
        scores=None,
        promise=promise,
        depth=0 if asked.cursor is None else asked.depth,
    )
    if is_filtered or scan.exact or space.routing_key is None:
        return plain
    routing = versions.routing(version, space, deadline)
    scores = coarse_scores(query, routing.centroids, space.metric)
    if version.gone:
        scores = _of_shards(scores, space.name, shards)
    wanting = asked.depth, _most_unlisted(version, space)
    return replace(
        plain,
        probes=_reaching(nearest_lists(scores, scan.nprobe), scores, wanting, space.name, shards),
        scores=scores,
        extents=routing.extents,
        firsts={row.shard_id: version.first_extent(space.name, row.shard_id) for row in shards},
    )


def _scan_plan(asked: Asked, space: ManifestSpace, *, is_filtered: bool) -> ScanPlan:
    request, cursor = asked.request, asked.cursor
    if cursor is not None and space.name in cursor.exact:
        return EXACT
    chosen = scan_plan(
        space,
        recall=request.recall,
        k=asked.depth,
        nprobe=request.nprobe,
        queries=queries_of(asked.media),
        is_filtered=is_filtered,
    )
    if cursor is None:
        return chosen
    if chosen.exact:
        # The page before was of a scan, and scores must stay comparable: everything is scanned instead.
        depth = CANDIDATES_GRID[-1] * asked.depth
        chosen = ScanPlan(nprobe=space.lists, candidates=max(depth, MIN_CANDIDATES), exact=False)
    return _deep(chosen, asked, space, is_filtered=is_filtered)


def _deep(plan: ScanPlan, asked: Asked, space: ManifestSpace, *, is_filtered: bool) -> ScanPlan:
    """Returns the plan of a later page: all lists once the pages so far have used up a good part of those probed."""
    is_thin = is_filtered or plan.nprobe * space.rows_per_list < ROWS_BEHIND * asked.depth
    return replace(plan, nprobe=space.lists, widening=(Depth(0.0, space.lists),)) if is_thin else plan


def _of_shards(scores: Float32Array, space: str, shards: Sequence[ShardRow]) -> Float32Array:
    """Returns the scores of lists, the lowest where no shard that is left has the list: it must take no probe."""
    kept = np.zeros(len(scores), bool)
    for row in shards:
        kept[slice(*row.lists[space])] = True
    return np.where(kept, scores, np.float32(-np.inf))


def _most_unlisted(version: Version, space: ManifestSpace) -> int:
    """Returns how many rows of a shard have no vector in the primary space, at the most.

    Such rows are dealt to the shards by a hash of their ids, so a shard has its share of them, give or take six
    standard deviations. (Of another space every shard has all lists: each probe names them all.)
    """
    unlisted = version.manifest.rows - space.rows
    share = unlisted / max(1, len(version.shards))
    return min(unlisted, math.ceil(share + 6 * math.sqrt(share) + 10))


def _reaching(
    probes: Int64Array, scores: Float32Array, wanting: tuple[int, int], space: str, shards: Sequence[ShardRow]
) -> Int64Array:
    """Returns the probes, with the nearest list of further shards where those probed may have fewer than k rows.

    A leaf probes on by itself until it has k rows; a shard that no probe names would never be asked.

    Args:
        probes: the nearest lists.
        scores: of all lists.
        wanting: k, and how many rows of a shard may lie in no list.
        space: its name.
        shards: that may be asked.
    """
    k, unlisted = wanting
    ranges = {row.shard_id: row.lists[space] for row in shards}
    probed = {shard for shard, (first, stop) in ranges.items() if ((probes >= first) & (probes < stop)).any()}
    missing = k - sum(max(0, row.rows - unlisted) for row in shards if row.shard_id in probed)
    if missing <= 0:
        return probes
    others = [row for row in shards if row.shard_id not in probed and ranges[row.shard_id][0] < ranges[row.shard_id][1]]
    nearest = [ranges[row.shard_id][0] + int(scores[slice(*ranges[row.shard_id])].argmax()) for row in others]
    further: list[int] = []
    for _, number, rows in sorted(
        zip(-scores[nearest], nearest, (max(0, row.rows - unlisted) for row in others), strict=True)
    ):
        if missing <= 0:
            break
        further.append(number)
        missing -= rows
    return np.concatenate([probes, np.asarray(further, np.int64)])
