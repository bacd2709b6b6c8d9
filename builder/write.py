"""Stage 5: the shards. Each is written to a scratch file front to back, uploaded, and recorded in one artefact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from builder.beside import beside, written_beside
from builder.context import ARTEFACT_KIND, BuildContext
from builder.gather import ShardRows, gather
from builder.layout import ShardItems, lay_down
from builder.ranged import RangedFile
from builder.survey import Survey
from builder.terms import write_terms
from builder.train import TrainedSpace
from builder.write_space import SpaceInShard
from shardlake.catalog.base import ShardRow
from shardlake.format import locations
from shardlake.format.container import ContainerWriter
from shardlake.format.shard import SHARD_KIND
from shardlake.types import Int64Array


def shard_name(shard_id: int) -> str:
    """Returns the artefact's name of a written shard."""
    return f"shard-{shard_id:05d}"


def write(
    context: BuildContext,
    found: Survey,
    trained: dict[str, TrainedSpace],
    shards: range,
    *,
    of: int,
    collected: Callable[[], None] = lambda: None,
) -> None:
    """Writes some shards, where they do not stand yet; all parts must stand.

    Args:
        shards: to write. of: how many the version has.
        collected: called, of each shard written, when its columns are parsed: what goes on beside the writing anyway
            does it then with a core that has no other work.
    """
    for shard_id in shards:
        context.report("write", 0.45 + 0.35 * shard_id / of)
        if not context.has(shard_name(shard_id)):
            _write_shard(context, found, trained, shard_id, collected)


def shard_map(context: BuildContext, shards: int) -> list[ShardRow]:
    """Returns the shard map of shards that all stand. Cost: a read of the end of each one's artefact."""
    keys = (context.artefact_key(shard_name(shard_id)) for shard_id in range(shards))
    return [_decode(RangedFile(context.store, key, ARTEFACT_KIND).meta) for key in keys]


def labels(context: BuildContext, shard_id: int) -> Int64Array:
    """Returns (rows, 2) int64: part number and row in the part of each row of a written shard."""
    return context.standing(shard_name(shard_id)).array("labels")


def _decode(meta: dict[str, Any]) -> ShardRow:
    return ShardRow(
        shard_id=meta["shard_id"],
        key=meta["key"],
        bytes=meta["bytes"],
        footer_offset=meta["footer_offset"],
        checksum=meta["checksum"],
        rows=meta["rows"],
        lists={space: (first, stop) for space, (first, stop) in meta["lists"].items()},
        zone_maps={name: (low, high) for name, (low, high) in meta["zone_maps"].items()},
        summaries=meta.get("summaries", {}),  # not of a build that an older release began
    )


def _write_shard(
    context: BuildContext,
    found: Survey,
    trained: dict[str, TrainedSpace],
    shard_id: int,
    collected: Callable[[], None],
) -> None:
    stored = [name for name, space in trained.items() if space.spec.source is None]
    rows = gather(context, shard_id, len(found.parts), stored)
    items = ShardItems(ids=rows.ids, payloads=rows.payloads, order=_row_order(rows, next(iter(trained))))
    path = context.scratch / "shard.bin"
    with beside(context.threads) as worker, written_beside(worker, path) as sink:
        writer = ContainerWriter(sink, SHARD_KIND)
        terms = write_terms(context, writer, shard_id, items)
        with beside(context.threads) as reader:
            vectors = rows.placed(items.order)
            spaces = [SpaceInShard(space, shard_id, vectors[space.stored_as], reader) for space in trained.values()]
            tail_offset, facts = lay_down(
                writer,
                context.schema.attributes,
                items,
                spaces,
                terms,
                context.scratch,
                threads=context.threads,
                when_collected=collected,
            )
    key = locations.shard(context.uid, found.version, shard_id)
    size = path.stat().st_size
    context.store.upload_file(key, path)
    path.unlink()
    meta = {
        "shard_id": shard_id,
        "key": key,
        "bytes": size,
        "footer_offset": tail_offset,
        "checksum": writer.checksum,
        "rows": rows.rows,
        "lists": {name: space.shard_lists(shard_id) for name, space in trained.items()},
        "zone_maps": facts.zone_maps,
        "summaries": facts.summaries,
    }
    context.save(shard_name(shard_id), {"labels": rows.labels[items.order]}, meta)


def _row_order(rows: ShardRows, primary: str) -> Int64Array:
    """Returns which arrived row each row of the shard is: by primary list, then as they arrived; unlisted rows last."""
    lists = np.full(rows.rows, np.iinfo(np.int64).max)
    lists[rows.spaces[primary].rows] = rows.spaces[primary].lists
    return np.argsort(lists, kind="stable")
