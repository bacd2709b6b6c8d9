"""Attributes as a shard holds them: columns, and postings, from which a filter is answered without reading a column.

A posting is four numbers u8: offset, bytes and xxh3-64 of a serialized roaring bitmap, and how many rows it has. With
bytes 0 it needs no read: count 0 is no row, count 1 the row that stands in place of the offset, any other count all
rows. Bitmaps of one attribute lie together, not aligned. In the tail, below `postings/{name}/`:

    present    u8 (4): the rows that have a value
    keyword    small: `keys` u1, `key_offsets` u4 (n + 1), `table` u8 (n × 4): the values in code point order;
               large: a paged map `values` from value to posting; `unions` u8 (pages × 4): all rows of a page
    bool       `table` u8 (2 × 4): false, true
    number,    `bounds` <i8 or <f8 (b × 2), of places <f8 (b × 4); `table` u8 (b × 4); `values` u8 (b × 3): offset,
    geo        bytes and xxh3-64 of the bucket's values by row; numbers: `checkpoints` u8 (c × 4): all rows of the
               first step × (i + 1) buckets, where step is ⌈b / 16⌉ and i < ⌈b / step⌉ - 1

Reads: a value of a small keyword, a bool or a presence: its bitmap. A value of a large keyword: first a page of the
map; a span of values: its first and last page, and the unions between. A range of numbers: at most two checkpoints,
four bitmaps beside each, and two buckets with their values. A shape: the bitmaps within it, the buckets on its border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from pyroaring import BitMap

from shardlake.format.container import ContainerWriter
from shardlake.format.paged_map import PagedMapIndex, write_pages
from shardlake.query.columns import Column, GeoColumn, KeywordColumn, NumberColumn
from shardlake.query.postings import Bucket, bitmap_of, buckets_of, by_value, checkpoint_step
from shardlake.types import AttributeSpec, AttributeType, BoolArray

SMALL_BYTES = 16 * 1024  # of a dictionary that the tail takes whole
MAX_SMALL_BYTES = 256 * 1024  # of all dictionaries in the tail together: whoever opens the shard reads them
PAGE_BYTES = 64 * 1024  # of the map of a large dictionary
FLUSH_BYTES = 4 * 1024 * 1024  # of bitmaps that the writer holds
POSTING = 4  # numbers
PREFIX = "postings/"
EXTENT_TABLES = ("/present", "/table", "/checkpoints", "/unions", "/values")  # of the tail; offset, bytes, xxh3-64, …

Postings = npt.NDArray[np.uint64]
"""(n, 4): a posting a row."""


class AttributeWriter:
    """Writes attributes one after another, each whole; holds what the tail wants of them.

    Args:
        writer: of the shard's container.
        rows: of the shard.
    """

    def __init__(self, writer: ContainerWriter, rows: int) -> None:
        self._writer = writer
        self._rows = rows
        self._tail: dict[str, npt.NDArray[Any]] = {}
        self._maps: dict[str, PagedMapIndex] = {}
        self._small_bytes = 0

    def add(self, spec: AttributeSpec, column: Column) -> None:
        """Writes the column and the postings of an attribute. Cost: some 0.1 s a million rows; memory, the column."""
        write_column(self._writer, spec.name, column)
        blobs = _Blobs(self._writer)
        prefix = f"{PREFIX}{spec.name}"
        self._tail[f"{prefix}/present"] = self._table(blobs, [_bitmap(column.present)])[0]
        if isinstance(column, KeywordColumn):
            self._add_keyword(prefix, column, blobs)
        elif spec.type is AttributeType.BOOL and isinstance(column, NumberColumn):
            there = [column.present & (column.values == value) for value in (0, 1)]
            self._tail[f"{prefix}/table"] = self._table(blobs, [_bitmap(mask) for mask in there])
        elif isinstance(column, NumberColumn | GeoColumn):
            self._add_buckets(prefix, buckets_of(column), blobs, column)
        blobs.flush()

    def add_tail(self) -> None:
        """Writes what belongs to the tail."""
        for name, array in self._tail.items():
            self._writer.add_array(name, array)
        for name, index in self._maps.items():
            index.add_to(self._writer, name)

    def _table(self, blobs: _Blobs, bitmaps: Sequence[BitMap]) -> Postings:
        """Writes bitmaps as they lie together; returns their postings."""
        table = np.zeros((len(bitmaps), POSTING), np.uint64)
        for number, bitmap in enumerate(bitmaps):
            self._put(blobs, bitmap, table[number])
        return table

    def _put(self, blobs: _Blobs, bitmap: BitMap, posting: Postings) -> None:
        count = len(bitmap)
        posting[3] = count
        if count == 1 < self._rows:
            posting[0] = bitmap[0]
        elif count not in {0, self._rows}:
            bitmap.run_optimize()
            blobs.add(bitmap.serialize(), posting)

    def _add_keyword(self, prefix: str, column: KeywordColumn, blobs: _Blobs) -> None:
        keys = [value.encode() for value in column.dictionary]
        rows, bounds = by_value(column)
        table = self._keyword_table(rows, bounds, blobs)
        size = sum(map(len, keys)) + (4 + 8 * POSTING) * len(keys)
        if size <= min(SMALL_BYTES, MAX_SMALL_BYTES - self._small_bytes):
            self._small_bytes += size
            self._tail[f"{prefix}/keys"] = np.frombuffer(b"".join(keys), np.uint8)
            self._tail[f"{prefix}/key_offsets"] = np.cumsum([0, *map(len, keys)]).astype(np.uint32)
            self._tail[f"{prefix}/table"] = table
            return
        blobs.flush()
        index = write_pages(self._writer, keys, table, page_bytes=PAGE_BYTES)
        firsts = [*(page[3] for page in index.pages), len(keys)]
        unions = [bitmap_of(np.unique(rows[bounds[a] : bounds[b]])) for a, b in pairwise(firsts)]
        self._tail[f"{prefix}/unions"] = self._table(blobs, unions)
        self._maps[f"{prefix}/values"] = index

    def _keyword_table(self, rows: npt.NDArray[np.uint32], bounds: npt.NDArray[np.int64], blobs: _Blobs) -> Postings:
        counts = np.diff(bounds)
        table = np.zeros((len(counts), POSTING), np.uint64)
        table[:, 3] = counts
        single = counts == 1
        # A million values of one row each need no bitmaps and no loop.
        table[single, 0] = rows[bounds[:-1][single]]
        for number in np.flatnonzero(~single).tolist():
            self._put(blobs, bitmap_of(rows[bounds[number] : bounds[number + 1]]), table[number])
        return table

    def _add_buckets(
        self, prefix: str, buckets: Sequence[Bucket], blobs: _Blobs, column: NumberColumn | GeoColumn
    ) -> None:
        bitmaps = [bitmap_of(bucket.rows) for bucket in buckets]
        width = 4 if isinstance(column, GeoColumn) else 2
        dtype = np.dtype(np.float64) if isinstance(column, GeoColumn) else column.values.dtype
        bounds = np.asarray([bucket.bounds for bucket in buckets], dtype).reshape(-1, width)
        self._tail[f"{prefix}/bounds"] = bounds
        self._tail[f"{prefix}/table"] = self._table(blobs, bitmaps)
        if isinstance(column, NumberColumn):
            self._tail[f"{prefix}/checkpoints"] = self._table(blobs, list(_cumulated(bitmaps)))
        blobs.flush()
        values = np.zeros((len(buckets), 3), np.uint64)
        for number, bucket in enumerate(buckets):
            blobs.add(np.ascontiguousarray(bucket.values).tobytes(), values[number])
        self._tail[f"{prefix}/values"] = values


def _bitmap(mask: BoolArray) -> BitMap:
    return bitmap_of(np.flatnonzero(mask))


def _cumulated(bitmaps: Sequence[BitMap]) -> Iterator[BitMap]:
    """Yields all rows of the first buckets, of twice as many, and so on; all rows together are known as present."""
    running = BitMap()
    step = checkpoint_step(len(bitmaps))
    for number, bitmap in enumerate(bitmaps[:-1], 1):
        running = running | bitmap
        if number % step == 0:
            yield running


class _Blobs:
    """Small blocks written together: none is aligned, each has its own checksum."""

    def __init__(self, writer: ContainerWriter) -> None:
        self._writer = writer
        self._parts: list[bytes] = []
        self._wanting: list[Postings] = []
        self._size = 0

    def add(self, data: bytes, posting: Postings) -> None:
        """Takes a block; its offset, bytes and checksum will stand in the first three places of `posting`."""
        posting[:3] = self._size, len(data), xxhash.xxh3_64_intdigest(data)
        self._parts.append(data)
        self._wanting.append(posting)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what was taken."""
        if not self._parts:
            return
        offset, _, _ = self._writer.append(b"".join(self._parts))
        for posting in self._wanting:
            posting[0] += np.uint64(offset)
        self._parts, self._wanting, self._size = [], [], 0


def write_column(writer: ContainerWriter, name: str, column: Column) -> None:
    """Writes one attribute's values by row, for who wants the whole of them."""
    prefix = f"attribute/{name}"
    if isinstance(column, KeywordColumn):
        encoded = [value.encode() for value in column.dictionary]
        writer.add_bytes(f"{prefix}/dictionary", b"".join(encoded))
        writer.add_array(f"{prefix}/dictionary_offsets", np.cumsum([0, *map(len, encoded)]).astype(np.uint32))
        writer.add_array(f"{prefix}/codes", column.codes)
        if column.offsets is not None:
            writer.add_array(f"{prefix}/offsets", column.offsets)
        return
    writer.add_array(f"{prefix}/present", np.packbits(column.present, bitorder="little"))
    if isinstance(column, NumberColumn):
        writer.add_array(f"{prefix}/values", column.values)
    if isinstance(column, GeoColumn):
        writer.add_array(f"{prefix}/places", np.stack([column.latitudes, column.longitudes]))
