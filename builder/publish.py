"""Stages 6 and 7: routing files and manifest, then the one step that changes what is visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.calibrate import Calibrated
from builder.context import BuildContext
from builder.stored import open_stored
from builder.survey import Survey
from builder.train import TrainedSpace
from shardlake.catalog.base import Pointer, ShardRow
from shardlake.format import locations
from shardlake.format.manifest import Manifest, ManifestSpace, ManifestTerms, encode_manifest
from shardlake.format.routing import ListExtents, Routing, encode_routing
from shardlake.format.shard_header import ShardHeader

NAME = "manifest"


def write_manifest(  # noqa: PLR0917  # one caller: the job
    context: BuildContext,
    found: Survey,
    trained: Mapping[str, TrainedSpace],
    shards: Sequence[ShardRow],
    measured: Mapping[str, Calibrated],
    terms: ManifestTerms | None,
) -> str:
    """Writes the routing files and the manifest; returns the manifest's key."""
    headers = [open_stored(context.store, row).header for row in shards]
    spaces = [_describe(context, found, space, measured[name], headers) for name, space in trained.items()]
    manifest = Manifest(
        collection=context.collection,
        uid=context.uid,
        version=found.version,
        parent=found.parent,
        build_id=context.build_id,
        created_at=context.clock(),
        body=context.body,
        rows=found.rows,
        segments=tuple(segment_id for segment_id, _ in found.segments),
        shards=tuple(row.key for row in shards),
        spaces=tuple(spaces),
        terms=terms,
    )
    key = locations.manifest(context.uid, found.version)
    context.store.put(key, encode_manifest(manifest))
    return key


def _describe(
    context: BuildContext,
    found: Survey,
    space: TrainedSpace,
    measured: Calibrated,
    shards: Sequence[ShardHeader],
) -> ManifestSpace:
    name = space.spec.name
    key = None
    if space.hash is None:  # buckets are chosen by the shards: every shard has all of them
        key = locations.routing(context.uid, found.version, name)
        extents = ListExtents.of_shards([(h.arrays[f"lists/{name}"], h.arrays[f"list_rows/{name}"]) for h in shards])
        context.store.put(key, encode_routing(Routing(centroids=space.centroids, extents=extents)))
    return ManifestSpace(
        name=name,
        dimension=space.spec.dimension,
        metric=space.spec.metric,
        index=space.index,
        lists=space.probes,
        rows=space.rows,
        routing_key=key,
        curve=measured.curve,
        encoder_digest=found.encoders.get(space.stored_as),
        bands=measured.bands,
    )


def commit(context: BuildContext, found: Survey, shards: Sequence[ShardRow], manifest_key: str) -> Pointer:
    """Moves the pointer. Raises Conflict (commit-conflict) when another build won."""
    pointer = Pointer(
        version=found.version,
        manifest_key=manifest_key,
        rows=found.rows,
        bytes=sum(row.bytes for row in shards),
        shards=len(shards),
        committed_at=context.clock(),
        build_id=context.build_id,
        through=found.through,
        skipped=found.skipped,
    )
    context.catalog.commit(context.uid, expected=found.parent, pointer=pointer, shards=shards)
    return pointer
