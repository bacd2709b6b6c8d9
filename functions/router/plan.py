"""Which shards are asked, and what each is told: zone maps prune, the calibrated curve decides the depth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from functions.router.request import Asked
from functions.router.versions import Version, Versions
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafSearch, VectorSource
from shardlake.core.calibration import BandPoint, CurvePoint, Queries, ScanPlan, choose, widen
from shardlake.core.vectors import coarse_scores, nearest_lists
from shardlake.deadline import Deadline
from shardlake.errors import InternalError
from shardlake.format.manifest import ManifestSpace
from shardlake.format.routing import ListExtents, Routing
from shardlake.query.columns import can_match
from shardlake.types import Float32Array, Int64Array, Modality

MIN_CANDIDATES = 64  # refining fewer saves nothing that a user could see


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one search asks of which shards.

    Attributes:
        leaves: by shard_id, in the order of the shard map.
        pruned: how many shards the zone maps or the probe left out.
        promise: the recall that was asked for; None where `nprobe` overrides it.
    """

    leaves: dict[int, LeafSearch]
    pruned: int
    scan: ScanPlan | None
    space: ManifestSpace | None
    promise: float | None = None

    @property
    def measured(self) -> float | None:
        """The mean recall that was measured of this plan, in the worst of its bands; None where nothing was."""
        if self.scan is None or self.scan.exact:
            return None if self.scan is None else 1.0
        points = self.scan.bands or ([self.scan.point] if self.scan.point else [])
        return min((point.recall for point in points), default=None)

    def explain(self) -> dict[str, Any]:
        """Returns what a caller may see of the plan."""
        shards = {f"{shard:05d}": _lists_told(leaf) for shard, leaf in self.leaves.items()}
        body: dict[str, Any] = {"lists_probed_by_shard": shards, "shards_pruned": self.pruned}
        if self.space is not None and self.scan is not None:
            point = self.scan.point
            body |= {
                "space": self.space.name,
                "index": self.space.index,
                "lists": self.space.lists,
                "exact": self.scan.exact,
                "nprobe": self.scan.nprobe,
                "candidates": self.scan.candidates,
                "curve_point": None if point is None else _shown(point),
                "bands": [_shown(band) for band in self.scan.bands],
                "promise": self.promise,
                "measured": self.measured,
            }
        return body


def plan(asked: Asked, query: Float32Array | None, version: Version, versions: Versions, deadline: Deadline) -> Plan:
    """Returns the plan of one search of one version."""
    wanted = [row for row in version.shards if asked.filter is None or can_match(asked.filter, row.zone_maps)]
    if asked.space is None or query is None:
        leaves = {row.shard_id: _leaf(asked, None, None, None) for row in wanted}
        return Plan(leaves=leaves, pruned=len(version.shards) - len(wanted), scan=None, space=None)
    space = version.manifest.space(asked.space.name)
    if space is None:
        raise InternalError("a version lacks a space of its schema", space=asked.space.name)
    scan = _scan_plan(asked, space)
    probes: Int64Array | None = None
    routing: Routing | None = None
    # Under a filter each shard chooses its own lists: only it knows where the rows that pass lie. Hash buckets it
    # always chooses itself: it has all of them.
    if asked.filter is None and not scan.exact and space.routing_key is not None:
        routing = versions.routing(version, space, deadline)
        scores = coarse_scores(query, routing.centroids, space.metric)
        wanting = asked.request.k, _most_unlisted(version, space)
        probes = _reaching(nearest_lists(scores, scan.nprobe), scores, wanting, space.name, wanted)
    leaves = _leaves(asked, query, scan, probes, wanted)
    if routing is not None and routing.extents is not None:
        leaves = {shard: _located(leaf, version, routing.extents, shard) for shard, leaf in leaves.items()}
    promise = None if asked.request.nprobe is not None and asked.request.recall < 1 else asked.request.recall
    return Plan(leaves=leaves, pruned=len(version.shards) - len(leaves), scan=scan, space=space, promise=promise)


def _most_unlisted(version: Version, space: ManifestSpace) -> int:
    """Returns how many rows of a shard have no vector in the primary space, at the most.

    Such rows are dealt to the shards by a hash of their ids, so a shard has its share of them, give or take six
    standard deviations. (Of another space every shard has all lists: each probe names them all.)
    """
    unlisted = version.manifest.rows - space.rows
    share = unlisted / max(1, len(version.shards))
    return min(unlisted, math.ceil(share + 6 * math.sqrt(share) + 10))


def _reaching(
    probes: Int64Array, scores: Float32Array, wanting: tuple[int, int], space: str, shards: list[ShardRow]
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


def _scan_plan(asked: Asked, space: ManifestSpace) -> ScanPlan:
    request, queries = asked.request, queries_of(asked)
    recall, k, rows_per_list = request.recall, request.k, space.rows_per_list
    chosen = choose(space.curve, recall=recall, k=k, rows_per_list=rows_per_list, queries=queries)
    if request.nprobe is not None and space.curve and request.recall < 1:
        candidates = max(chosen.candidates, 10 * request.k, MIN_CANDIDATES)
        # What the caller says holds at every selectivity: the lists are those with passing rows.
        depth = min(request.nprobe, space.lists)
        return ScanPlan(nprobe=depth, candidates=candidates, exact=False, widening=((0.0, depth),))
    if asked.filter is not None:
        chosen = widen(
            chosen, space.bands, recall=recall, k=k, lists=space.lists, rows_per_list=rows_per_list, queries=queries
        )
    if chosen.exact:
        return chosen
    return replace(chosen, nprobe=min(chosen.nprobe, space.lists), candidates=max(chosen.candidates, MIN_CANDIDATES))


def queries_of(asked: Asked) -> Queries:
    """Returns which curve speaks of a search: that of items only where a picture, and no text, is looked for.

    A vector that the caller brings may come from anywhere: what is measured for texts holds for it where there is one.
    """
    pictures_only = Modality.IMAGE.value in asked.media and Modality.TEXT.value not in asked.media
    return Queries.ITEMS if pictures_only else Queries.TEXT


def _shown(point: CurvePoint | BandPoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in type(point).__slots__}


def _leaves(
    asked: Asked, query: Float32Array, scan: ScanPlan, probes: Int64Array | None, shards: list[ShardRow]
) -> dict[int, LeafSearch]:
    assert asked.space is not None
    leaves = {}
    for row in shards:
        first, stop = row.lists[asked.space.name]
        local = None if probes is None else (probes[(probes >= first) & (probes < stop)] - first).tolist()
        if local is None or local:
            leaves[row.shard_id] = _leaf(asked, query, scan, local)
    return leaves


def _located(leaf: LeafSearch, version: Version, extents: ListExtents, shard_id: int) -> LeafSearch:
    """Returns the search, told where its lists lie: a leaf that holds nothing reads them along with the tail."""
    (source,) = leaf.vectors
    first = version.first_extent(source.space, shard_id)
    told = tuple(extents.row(first + number) for number in source.lists or ())
    return replace(leaf, vectors=(replace(source, extents=told),))


def _lists_told(leaf: LeafSearch) -> int | None:
    lists = leaf.vectors[0].lists if leaf.vectors else None
    return None if lists is None else len(lists)


def _leaf(asked: Asked, query: Float32Array | None, scan: ScanPlan | None, lists: list[int] | None) -> LeafSearch:
    request = asked.request
    sources: tuple[VectorSource, ...] = ()
    if asked.space is not None and query is not None and scan is not None:
        source = VectorSource(
            space=asked.space.name,
            query=np.ascontiguousarray(query, np.float32),
            lists=None if lists is None else tuple(lists),
            nprobe=scan.nprobe,
            candidates=scan.candidates,
            exact=scan.exact,
            widening=scan.widening if asked.filter is not None else (),
        )
        sources = (source,)
    return LeafSearch(
        vectors=sources,
        k=request.k,
        filter=asked.filter,
        attributes="attributes" in request.include,
        include_vectors=(asked.space.name,) if asked.space is not None and "vectors" in request.include else (),
    )
