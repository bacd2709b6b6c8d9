"""Builds a collection of user-brought vectors in one process, on the memory adapters: what benchmarks search."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.corpus import Vectors
from builder import job
from builder.context import BuildContext
from shardlake.catalog.base import CollectionRow, Pointer, SegmentRow, ShardRow
from shardlake.format import locations
from shardlake.format.segment import SegmentItem, encode_segment
from shardlake.testing.memory_catalog import MemoryCatalog
from shardlake.testing.memory_store import MemoryStore
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec

SEGMENT_ROWS = 10_000
SPACE = "v"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A built collection."""

    store: MemoryStore
    pointer: Pointer
    shards: list[ShardRow]


def build(base: Vectors, *, shards: int = 1) -> Built:
    """Builds `base` with ids 0, 1, … (zero-padded) and an int attribute `number`."""
    store, catalog = MemoryStore(), MemoryCatalog()
    schema = CollectionSchema(
        spaces=(SpaceSpec(name=SPACE, dimension=base.shape[1]),),
        attributes=(AttributeSpec(name="number", type=AttributeType.INT),),
        target_rows=-(-len(base) // shards),
    )
    catalog.create_collection(CollectionRow(name="bench", uid="bench", body="{}", created_at="2026-01-01T00:00:00Z"))
    for start in range(0, len(base), SEGMENT_ROWS):
        _add_segment(store, catalog, schema, base, start)
    with tempfile.TemporaryDirectory() as scratch:
        context = BuildContext(
            store=store,
            catalog=catalog,
            collection="bench",
            uid="bench",
            body="{}",
            schema=schema,
            build_id="bench",
            part_rows=100_000,
            scratch=Path(scratch),
            report=lambda stage, progress: None,
            clock=lambda: "2026-01-01T00:00:00Z",
        )
        pointer = job.run(context)
    return Built(store=store, pointer=pointer, shards=catalog.shard_rows("bench", pointer.version))


def _add_segment(
    store: MemoryStore, catalog: MemoryCatalog, schema: CollectionSchema, base: Vectors, start: int
) -> None:
    items = [
        SegmentItem(
            id=f"{row:08d}",
            payload=orjson.dumps({"id": f"{row:08d}", "attributes": {"number": row}}),
            vectors={SPACE: base[row]},
        )
        for row in range(start, min(start + SEGMENT_ROWS, len(base)))
    ]
    name = f"{start:010d}"
    body = encode_segment(items, schema.spaces)
    key = locations.segment("bench", name)
    store.put(key, body)
    row = SegmentRow(
        segment_id=name, order=name, key=key, rows=len(items), bytes=len(body), source=name, created_at="2026-01-01"
    )
    catalog.add_segment("bench", row)
