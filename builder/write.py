"""Stage 5: the shards. Each is written to a scratch file front to back, uploaded, and recorded in one artefact."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from builder.beside import beside, written_beside
from builder.columns import ColumnFacts, collect, write_columns
from builder.context import BuildContext
from builder.gather import ShardRows, gather
from builder.strings import ascending
from builder.survey import Survey
from builder.terms import write_terms
from builder.train import TrainedSpace
from builder.write_space import write_row_lists, write_space, write_tail
from shardlake.catalog.base import ShardRow
from shardlake.core.runs import runs
from shardlake.format import locations
from shardlake.format.attributes import AttributeWriter
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.shard import SHARD_KIND, ShardWriter, chunk_bytes
from shardlake.format.terms import TermWriter
from shardlake.types import Int64Array

BATCH_ROWS = 16_384  # parsed for columns at a time
BATCH_BYTES = 32 * 1024 * 1024  # likewise


def shard_name(shard_id: int) -> str:
    """Returns the artefact's name of a written shard."""
    return f"shard-{shard_id:05d}"


def write(
    context: BuildContext,
    found: Survey,
    trained: dict[str, TrainedSpace],
    shards: int,
    collected: Callable[[], None],
) -> list[ShardRow]:
    """Writes the shards that do not stand yet; returns the shard map.

    Args:
        collected: called, of each shard written, when its columns are parsed: what goes on beside the writing anyway
            does it then with a core that has no other work.
    """
    rows = []
    for shard_id in range(shards):
        context.report("write", 0.45 + 0.35 * shard_id / shards)
        stored = context.load(shard_name(shard_id)) or _write_shard(context, found, trained, shard_id, collected)
        rows.append(_decode(stored))
    return rows


def labels(context: BuildContext, shard_id: int) -> Int64Array:
    """Returns (rows, 2) int64: part number and row in the part of each row of a written shard."""
    stored = context.load(shard_name(shard_id))
    assert stored is not None
    return stored.array("labels")


def _decode(stored: Container) -> ShardRow:
    meta = stored.meta
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
) -> Container:
    stored = [name for name, space in trained.items() if space.spec.source is None]
    rows = gather(context, shard_id, len(found.parts), stored)
    order = _row_order(rows, next(iter(trained)))
    path = context.scratch / "shard.bin"
    with beside(context.threads) as worker, written_beside(worker, path) as sink:
        writer = ContainerWriter(sink, SHARD_KIND)
        terms = write_terms(context, writer, shard_id, rows, order)
        tail_offset, facts = _write_parts(writer, context, trained, shard_id, rows, order, terms, collected)
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
    return context.save(shard_name(shard_id), {"labels": rows.labels[order]}, meta)


def _row_order(rows: ShardRows, primary: str) -> Int64Array:
    """Returns which arrived row each row of the shard is: by primary list, then as they arrived; unlisted rows last."""
    lists = np.full(rows.rows, np.iinfo(np.int64).max)
    lists[rows.spaces[primary].rows] = rows.spaces[primary].lists
    return np.argsort(lists, kind="stable")


def _write_parts(  # noqa: PLR0917  # private: one caller
    container: ContainerWriter,
    context: BuildContext,
    trained: dict[str, TrainedSpace],
    shard_id: int,
    rows: ShardRows,
    order: Int64Array,
    terms: TermWriter | None,
    when_collected: Callable[[], None],
) -> tuple[int, ColumnFacts]:
    writer, schema = ShardWriter(container), context.schema
    vectors, primary = rows.placed(order), next(iter(trained))
    with beside(context.threads) as worker:
        ids = worker.submit(rows.ids.take, order)
        by_id = worker.submit(lambda: ascending(ids.result()))
        collected = worker.submit(collect, schema.attributes, _batches(rows, order), context.scratch)
        worker.submit(when_collected)
        with beside(context.threads) as reader:
            described = [
                write_space(writer, space, shard_id, vectors[space.stored_as], reader) for space in trained.values()
            ]
        attributes = AttributeWriter(container, rows.rows)
        facts = write_columns(attributes, collected.result())
    writer.add_array("id_rank", np.argsort(by_id.result()).astype(np.uint32))
    writer.add_ids(ids.result(), by_id.result())
    _write_items(writer, rows, order)
    for name, space in trained.items():
        if space.spec.source is None:
            if name != primary:
                write_row_lists(writer, space, shard_id, vectors[name])
            writer.add_array(f"centroids/{name}", space.centroids[slice(*space.shard_lists(shard_id))])
    tail_offset = writer.begin_tail(list(trained))
    for space in trained.values():
        write_tail(writer, space)
    attributes.add_tail()
    if terms is not None:
        terms.add_to_tail()
    writer.finish(rows=rows.rows, spaces=described, attributes=schema.attributes)
    return tail_offset, facts


def _batches(rows: ShardRows, order: Int64Array) -> Iterator[list[bytes]]:
    """Yields the payloads in the order of rows, so many at a time as BATCH_ROWS and BATCH_BYTES allow."""
    ends = np.cumsum(rows.payloads.lengths[order])
    start = 0
    while True:
        before = int(ends[start - 1]) if start else 0
        stop = min(start + BATCH_ROWS, max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, "right"))))
        yield rows.payloads.take(order[start:stop])
        if stop >= len(order):
            return
        start = stop


def _write_items(writer: ShardWriter, rows: ShardRows, order: Int64Array) -> None:
    sizes = (rows.payloads.lengths + rows.ids.lengths)[order]
    for start, stop in runs(sizes, chunk_bytes(int(sizes.sum()))):
        chunk = order[start:stop]
        writer.add_items(start, rows.ids.take(chunk), rows.payloads.take(chunk))
