"""Which shards are asked, and what each is told: zone maps prune, the calibrated curve decides the depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from functions.router.request import Asked
from functions.router.sources import SourcePlan, plan_source
from functions.router.versions import Version, Versions, is_delta, shard_name
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafSearch, MatchSource
from shardlake.deadline import Deadline
from shardlake.query import facets
from shardlake.query.filter import Node
from shardlake.query.summaries import can_match
from shardlake.types import Float32Array

Bounds = list[float] | None
"""The edges of a facet's bins; None where its values are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one search asks of which shards.

    Attributes:
        leaves: by shard_id, in the order of the shard map.
        pruned: how many shards the zone maps or the probes left out.
        sources: the spaces searched.
        bounds: of the facets, in their order.
        rows: of each shard that is asked.
    """

    leaves: dict[int, LeafSearch]
    pruned: int
    sources: tuple[SourcePlan, ...]
    bounds: tuple[Bounds, ...]
    rows: Mapping[int, int]

    @property
    def is_exact(self) -> bool:
        """Whether every row that passes is scored: by vectors exactly, by words always."""
        return len(self.exact) == len(self.sources)

    @property
    def exact(self) -> tuple[str, ...]:
        """The spaces that are searched exactly."""
        return tuple(source.space.name for source in self.sources if source.scan.exact)

    def explain(self) -> dict[str, Any]:
        """Returns what a caller may see of the plan: of the first space at the top, of several one by one."""
        shards = {shard_name(shard): _lists_told(leaf) for shard, leaf in self.leaves.items() if shard >= 0}
        body: dict[str, Any] = {"lists_probed_by_shard": shards, "shards_pruned": self.pruned}
        explained = [source.explain() for source in self.sources]
        if explained:
            body |= explained[0]
        return body | ({"sources": explained} if len(explained) > 1 else {})


def plan(  # noqa: PLR0917  # one caller
    asked: Asked,
    queries: Mapping[str, Float32Array],
    match: MatchSource | None,
    version: Version,
    versions: Versions,
    deadline: Deadline,
) -> Plan:
    """Returns the plan of one search of one version.

    Args:
        asked: the search.
        queries: its prepared vectors, by space.
        match: its full text, with the frequencies of the version.
        version: searched. versions: reads its centroids.
        deadline: of the request.
    """
    rows, node = version.searched, asked.filter
    wanted = [row for row in rows if node is None or can_match(node, row.zone_maps, row.summaries)]
    shards_left = [row for row in wanted if not is_delta(row)]
    zones = [row.zone_maps for row in rows]
    bounds = tuple(facets.edges(facet, zones) for facet in asked.facets)
    sources = tuple(
        plan_source(asked, one, queries[one.space.name], version, versions, shards_left, deadline)
        for one in asked.spaces
    )
    has_nothing = match is not None and not match.clauses and not sources
    shards = [] if has_nothing else _asked_shards(asked, sources, wanted)
    told = _told(asked, match, bounds)
    leaves = {
        row.shard_id: replace(told, vectors=tuple(one.source(row) for one in sources))
        for row in shards
        if not is_delta(row)
    }
    # All deltas are told the same, so that one message tells them.
    exact = replace(told, vectors=tuple(one.exact_source() for one in sources))
    leaves |= {row.shard_id: exact for row in shards if is_delta(row)}
    return Plan(
        leaves=leaves,
        pruned=len(version.shards) + len(version.deltas) - len(leaves),
        sources=sources,
        bounds=bounds,
        rows={row.shard_id: row.rows for row in shards},
    )


def _asked_shards(asked: Asked, sources: Sequence[SourcePlan], shards: list[ShardRow]) -> list[ShardRow]:
    # Words, values and groups lie in every shard, wherever the nearest lists are.
    if not sources or asked.match is not None or asked.facets or asked.group_by is not None:
        return shards
    return [row for row in shards if is_delta(row) or any(source.names(row) for source in sources)]


def _told(asked: Asked, match: MatchSource | None, bounds: Sequence[Bounds]) -> LeafSearch:
    """Returns what every shard is told, all but the vectors."""
    grouped, cursor = asked.group_by, asked.cursor
    is_plain = asked.request.fusion == "rrf" and not asked.fuses_ranks
    spaces = dict.fromkeys((*asked.includes, *([asked.diversity_space] if asked.diversity_space else [])))
    return LeafSearch(
        match=match,
        fusion="mean" if is_plain else asked.request.fusion,
        k=asked.wanted,
        filter=asked.filter,
        after=None if cursor is None else (cursor.score, cursor.id),
        rank=asked.rank,
        # Items named as examples fall out of the groups, and others take their places.
        group_by=None if grouped is None else (grouped.attribute, grouped.size + len(asked.excluded)),
        facets=tuple(facet.wire(edges) for facet, edges in zip(asked.facets, bounds, strict=True)),
        attributes="attributes" in asked.request.include,
        include_vectors=tuple(spaces),
    )


def again(leaf: LeafSearch, node: Node, groups: int) -> LeafSearch:
    """Returns the search that asks a shard once more, for so many groups of the items that pass `node` as well."""
    among = node if leaf.filter is None else ["and", leaf.filter, node]
    # Lists that were chosen without the filter may have none of these items: now the shard chooses.
    vectors = tuple(replace(source, lists=None, extents=None) for source in leaf.vectors)
    return replace(leaf, vectors=vectors, filter=among, k=groups, facets=())


def _lists_told(leaf: LeafSearch) -> int | None:
    lists = leaf.vectors[0].lists if leaf.vectors else None
    return None if lists is None else len(lists)
