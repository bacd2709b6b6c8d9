"""Builds a collection of user-brought vectors in one process, on stand-in adapters: what benchmarks search."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.corpus import Vectors
from functions.build.service import Builds
from shardlake.catalog.base import BuildRow, BuildState, CollectionRow, Pointer, SegmentRow, ShardRow
from shardlake.contracts.collection import body_of_schema
from shardlake.format import locations
from shardlake.format.segment import SegmentItem, encode_segment
from shardlake.store.base import ObjectStore
from shardlake.testing.memory_catalog import MemoryCatalog, add_segment
from shardlake.testing.memory_store import MemoryStore
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec

NAME = UID = "bench"
SPACE = "v"
NUMBER = "number"
SEGMENT_ROWS = 10_000
PART_ROWS = 100_000
EPOCH = "2026-01-01T00:00:00Z"

Columns = Mapping[str, npt.NDArray[Any]]
"""{attribute: (rows,)}: bool, whose false is left out of the item; integers; floats; strings, which are keywords; or
objects, which are texts."""

_TYPES = {
    "b": AttributeType.BOOL,
    "i": AttributeType.INT,
    "f": AttributeType.FLOAT,
    "U": AttributeType.KEYWORD,
    "O": AttributeType.TEXT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A built collection."""

    store: ObjectStore
    catalog: MemoryCatalog
    schema: CollectionSchema
    pointer: Pointer
    shards: list[ShardRow]


def build(
    base: Vectors,
    *,
    shards: int = 1,
    columns: Columns | None = None,
    store: ObjectStore | None = None,
    threads: int = 1,
) -> Built:
    """Builds `base` with ids 0, 1, … (zero-padded), an int attribute `number` and `columns`."""
    store = MemoryStore() if store is None else store
    columns = columns or {}
    schema = schema_for(base, shards=shards, columns=columns)
    catalog = catalog_of(schema, ingest(store, schema, base, columns))
    return build_segments(store, catalog, schema, threads=threads)


def schema_for(base: Vectors, *, shards: int = 1, columns: Columns | None = None) -> CollectionSchema:
    """Returns the schema of `build`."""
    kinds = {NUMBER: AttributeType.INT} | {
        name: _TYPES["i" if column.dtype.kind == "u" else column.dtype.kind] for name, column in (columns or {}).items()
    }
    return CollectionSchema(
        spaces=(SpaceSpec(name=SPACE, dimension=base.shape[1]),),
        attributes=tuple(AttributeSpec(name=name, type=kind) for name, kind in sorted(kinds.items())),
        target_rows=-(-len(base) // shards),
    )


def ingest(store: ObjectStore, schema: CollectionSchema, base: Vectors, columns: Columns) -> list[SegmentRow]:
    """Writes `base` as segments; returns the rows by which a catalog knows them."""
    return [_segment(store, schema, base, columns, start) for start in range(0, len(base), SEGMENT_ROWS)]


def catalog_of(
    schema: CollectionSchema, segments: list[SegmentRow], empty: MemoryCatalog | None = None
) -> MemoryCatalog:
    """Returns a catalog, `empty` or a new one, that knows the collection and its segments."""
    catalog = empty or MemoryCatalog()
    catalog.create_collection(CollectionRow(name=NAME, uid=UID, body=body_of_schema(schema), created_at=EPOCH))
    for row in segments:
        add_segment(catalog, UID, row)
    return catalog


def build_segments(
    store: ObjectStore,
    catalog: MemoryCatalog,
    schema: CollectionSchema,
    *,
    threads: int = 1,
    scratch: Path | None = None,
) -> Built:
    """Runs the build function's service over the segments that the catalog knows."""
    queued = BuildRow(
        build_id="bench",
        state=BuildState.QUEUED,
        progress=0.0,
        stage="queued",
        version=None,
        error=None,
        created_at=EPOCH,
        updated_at=EPOCH,
    )
    catalog.put_build(UID, queued)
    builds = Builds(store=store, catalog=catalog, part_rows=PART_ROWS, threads=threads, clock=lambda: EPOCH)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        row = builds.run(NAME, "bench", scratch=Path(folder))
    pointer = catalog.pointer(UID)
    assert row.state is BuildState.DONE, row.error
    assert pointer is not None
    shards = catalog.shard_rows(UID, pointer.version)
    return Built(store=store, catalog=catalog, schema=schema, pointer=pointer, shards=shards)


def _segment(store: ObjectStore, schema: CollectionSchema, base: Vectors, columns: Columns, start: int) -> SegmentRow:
    stop = min(start + SEGMENT_ROWS, len(base))
    values = {name: column[start:stop].tolist() for name, column in columns.items()}
    items = [
        SegmentItem(id=f"{row:08d}", payload=_payload(row, row - start, values), vectors={SPACE: np.asarray(base[row])})
        for row in range(start, stop)
    ]
    name = f"{start:010d}"
    body = encode_segment(items, schema.spaces)
    key = locations.segment(UID, name)
    store.put(key, body)
    return SegmentRow(
        segment_id=name, order=name, key=key, rows=len(items), bytes=len(body), source=name, created_at=EPOCH
    )


def _payload(row: int, position: int, values: Mapping[str, list[Any]]) -> bytes:
    attributes = {NUMBER: row} | {
        name: there for name, all_of in values.items() if (there := all_of[position]) is not False
    }
    return orjson.dumps({"id": f"{row:08d}", "attributes": attributes})
