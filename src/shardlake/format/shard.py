"""A shard: the items of some lists, as a container of kind SHRD. `docs/format.md` is the specification.

For each space its lists: a list block holds row numbers, refine scales, packed codes and refine rows; an exact block
the full-precision vectors. Then attribute columns, items in chunks, centroids, and, in the tail, the tables and the
codewords: what every search needs before it can read anything else. A list carries its own centroid, so that a search
which is told its lists needs no others. Rows are numbered by the lists of the primary space.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.core.fast_scan import packed_bytes
from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, Extent, verify
from shardlake.format.paged_map import PagedMapIndex, write_pages
from shardlake.types import AttributeSpec, ByteArray, Float32Array, IndexType, Int64Array, Metric

SHARD_KIND = b"SHRD"
_THREE_OFFSETS = struct.Struct("<3I")
ITEM_CHUNK_BYTES = 16 * 1024  # of items, at least: what one cold hit costs to read
HITS_PER_READ = 10  # for which reading chunks and reading their table shall cost alike
_CHUNK_ENTRY_BYTES = 32
ID_PAGE_BYTES = 64 * 1024  # of the map of ids: a million of them have some 350 pages
IDS = "ids"  # the map from id to row


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpace:
    """What a shard says of one space.

    Attributes:
        lists: how many this shard has of the space's lists; none for a space computed from another.
        code_bytes: of one code in a list block, factors included; 0 where lists have no codes and no refine rows.
        code_dimension: of the vectors that codes are made of, where `transform/{space}` leads to them; 0 where there is
            no transform, and codes are made of vectors padded with zeros.
        bits: ivf_rabitq: of one dimension's code. binary_mih: of one item's code.
        tables: binary_mih: how many hash tables; key_bits: of the key of each.
        source: the space whose vectors this one is computed from; None for a space of its own.
    """

    name: str
    dimension: int
    metric: Metric
    index: IndexType
    lists: int
    code_bytes: int
    code_dimension: int = 0
    bits: int = 0
    tables: int = 0
    key_bits: int = 0
    source: str | None = None

    @property
    def buckets(self) -> int:
        """How many hash buckets it has."""
        return self.tables << self.key_bits

    def packed_bytes(self, rows: int) -> int:
        """Returns the size of the codes of `rows` rows in a list block: whole blocks of 32."""
        return packed_bytes(rows, self.code_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBlock:
    """One list, decoded; arrays are views.

    Attributes:
        rows: (n,) uint32 row numbers. scales: (n,) float32. packed: codes in blocks of 32. refine: (n, d) int8.
        centroid: (d,) float32 of the list; None in a space without codes and in files of version 1.
    """

    rows: npt.NDArray[np.uint32]
    scales: Float32Array
    packed: ByteArray
    refine: npt.NDArray[np.int8]
    centroid: Float32Array | None = None

    @property
    def bytes(self) -> int:
        """The size of the block in the file."""
        own = self.rows.nbytes + self.scales.nbytes + self.packed.nbytes + self.refine.nbytes
        return own + (0 if self.centroid is None else self.centroid.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One hash bucket, decoded; arrays are views.

    Attributes:
        rows: (n,) uint32 row numbers. codes: (n, bits / 8) uint8.
    """

    rows: npt.NDArray[np.uint32]
    codes: ByteArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChunk:
    """Consecutive items, as in the file: where each id and each payload begins (u4), then id, payload, id, …"""

    data: bytes

    def entry(self, position: int) -> tuple[str, bytes]:
        """Returns id and payload of the item at `position`."""
        start, middle, stop = _THREE_OFFSETS.unpack_from(self.data, 8 * position)
        try:
            return self.data[start:middle].decode(), self.data[middle:stop]
        except UnicodeDecodeError as exc:
            raise FormatError("an item's id is not UTF-8") from exc


class ShardWriter:
    """Writes the parts of a shard in the order they come; holds only the tables."""

    def __init__(self, writer: ContainerWriter) -> None:
        self._writer = writer
        self._lists: dict[str, list[tuple[int, ...]]] = {}
        self._exact: dict[str, list[tuple[int, ...]]] = {}
        self._rows: dict[str, list[int]] = {}
        self._buckets: dict[str, list[tuple[int, ...]]] = {}
        self._bucket_rows: dict[str, list[int]] = {}
        self._chunks: list[tuple[int, ...]] = []
        self._ids: PagedMapIndex | None = None

    def add_list(self, space: str, block: ListBlock) -> None:
        """Writes the next list of a space."""
        parts = (block.rows, block.scales, block.packed, block.refine, block.centroid)
        data = b"".join(np.ascontiguousarray(part).tobytes() for part in parts if part is not None)
        self._lists.setdefault(space, []).append(self._writer.append(data))
        self._rows.setdefault(space, []).append(len(block.rows))

    def add_exact(self, space: str, vectors: Float32Array) -> None:
        """Writes the full-precision vectors of the next list of a space, in the list's order."""
        self._exact.setdefault(space, []).append(self._writer.append(np.ascontiguousarray(vectors, "<f4").tobytes()))

    def add_bucket(self, space: str, rows: npt.NDArray[np.uint32], codes: ByteArray) -> None:
        """Writes the next hash bucket of a space: (n,) row numbers and (n, bits / 8) codes."""
        data = np.ascontiguousarray(rows, "<u4").tobytes() + np.ascontiguousarray(codes).tobytes()
        self._buckets.setdefault(space, []).append(self._writer.append(data))
        self._bucket_rows.setdefault(space, []).append(len(rows))

    def add_items(self, first_row: int, ids: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        """Writes one chunk of items, rows `first_row` and on."""
        parts = [part for pair in zip(ids, payloads, strict=True) for part in pair]
        offsets = np.cumsum([4 * (len(parts) + 1), *map(len, parts)]).astype("<u4")
        extent = self._writer.append(b"".join([offsets.tobytes(), *parts]))
        self._chunks.append((*extent, first_row))

    def add_array(self, name: str, array: npt.NDArray[Any]) -> None:
        """Writes a named array: `id_rank`, `row_lists/…`, `centroids/…`, and in the tail `codewords/…`."""
        self._writer.add_array(name, array)

    def add_ids(self, ids: Sequence[bytes], by_id: Int64Array) -> None:
        """Writes the map from id to row; the id of row r is `ids[r]`, and `by_id` has the rows in the order of ids."""
        ordered = [ids[row] for row in by_id.tolist()]
        self._ids = write_pages(self._writer, ordered, by_id.reshape(-1, 1), page_bytes=ID_PAGE_BYTES)

    def begin_tail(self, spaces: Sequence[str]) -> int:
        """Writes the tables; what follows is the tail. Returns where the tail begins."""
        self._writer.append(b"")
        offset = self._writer.offset
        for space in spaces:
            self._writer.add_array(f"list_rows/{space}", np.asarray(self._rows.get(space, []), np.uint32))
            self._writer.add_array(f"lists/{space}", _table(self._lists.get(space, []), 3))
            self._writer.add_array(f"exact/{space}", _table(self._exact.get(space, []), 3))
            if space in self._buckets:
                self._writer.add_array(f"bucket_rows/{space}", np.asarray(self._bucket_rows[space], np.uint32))
                self._writer.add_array(f"buckets/{space}", _table(self._buckets[space], 3))
        self._writer.add_array("items", _table(self._chunks, 4))
        if self._ids is not None:
            self._ids.add_to(self._writer, IDS)
        return offset

    def finish(self, *, rows: int, spaces: Sequence[ShardSpace], attributes: Sequence[AttributeSpec]) -> int:
        """Writes directory and footer; returns the size of the file."""
        meta = {
            "rows": rows,
            "spaces": [{f: getattr(space, f) for f in ShardSpace.__slots__} for space in spaces],
            "attributes": [{"name": a.name, "type": a.type, "multi": a.multi} for a in attributes],
        }
        return self._writer.finish(meta)


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> npt.NDArray[np.uint64]:
    return np.asarray(rows, np.uint64).reshape(-1, columns)


def chunk_bytes(item_bytes: int) -> int:
    """Returns how large the chunks of items of that many bytes together shall be.

    Larger chunks cost a cold hit more, smaller ones the tail, which lists them all: the sum is least at the root.
    """
    return max(ITEM_CHUNK_BYTES, math.isqrt(_CHUNK_ENTRY_BYTES * item_bytes // HITS_PER_READ))


def decode_list(space: ShardSpace, rows: int, shard_rows: int, extent: Extent, data: bytes) -> ListBlock:
    """Returns a list block after its checksum. Raises FormatError.

    Args:
        space: the list belongs to.
        rows: of the list. shard_rows: of the whole shard, which row numbers must be below.
        extent: as the table says. data: the bytes read.
    """
    verify(data, extent.checksum, f"a list of {space.name}")
    packed = space.packed_bytes(rows)
    refine = rows * space.dimension if space.code_bytes else 0
    sizes = [4 * rows, 4 * rows if space.code_bytes else 0, packed, refine]
    centroid = 4 * space.dimension if space.code_bytes and len(data) != sum(sizes) else 0
    sizes.append(centroid)
    if sum(sizes) != len(data):
        raise FormatError("a list block has another size than its rows need", space=space.name)
    cuts = np.cumsum([0, *sizes]).tolist()
    parts = [memoryview(data)[a:b] for a, b in pairwise(cuts)]
    numbers = np.frombuffer(parts[0], "<u4")
    if rows and int(numbers.max()) >= shard_rows:
        raise FormatError("a list names a row that the shard does not have", space=space.name)
    return ListBlock(
        rows=numbers,
        scales=np.frombuffer(parts[1], "<f4"),
        packed=np.frombuffer(parts[2], np.uint8),
        refine=np.frombuffer(parts[3], np.int8).reshape(-1, space.dimension),
        centroid=np.frombuffer(parts[4], "<f4") if centroid else None,
    )


def decode_bucket(space: ShardSpace, rows: int, shard_rows: int, extent: Extent, data: bytes) -> Bucket:
    """Returns a hash bucket of `rows` rows after its checksum. Raises FormatError."""
    verify(data, extent.checksum, f"a bucket of {space.name}")
    width = space.bits // 8
    if len(data) != rows * (4 + width):
        raise FormatError("a bucket has another size than its rows need", space=space.name)
    numbers = np.frombuffer(data[: 4 * rows], "<u4")
    if rows and int(numbers.max()) >= shard_rows:
        raise FormatError("a bucket names a row that the shard does not have", space=space.name)
    return Bucket(rows=numbers, codes=np.frombuffer(data[4 * rows :], np.uint8).reshape(rows, width))


def decode_exact(space: ShardSpace, rows: int, extent: Extent, data: bytes) -> Float32Array:
    """Returns (rows, dimension) float32 after the checksum. Raises FormatError."""
    verify(data, extent.checksum, f"exact vectors of {space.name}")
    if len(data) != 4 * rows * space.dimension:
        raise FormatError("an exact block has another size than its rows need", space=space.name)
    return np.frombuffer(data, "<f4").reshape(rows, space.dimension)


def decode_items(rows: int, extent: Extent, data: bytes) -> ItemChunk:
    """Returns a chunk of `rows` items after its checksum. Raises FormatError."""
    verify(data, extent.checksum, "items")
    head = 4 * (2 * rows + 1)
    offsets = np.frombuffer(data[:head], "<u4") if len(data) >= head else np.zeros(1, "<u4")
    if offsets[0] != head or offsets[-1] != len(data) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise FormatError("a chunk of items contradicts its offsets")
    return ItemChunk(data=data)
