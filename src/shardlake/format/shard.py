"""A shard: the items of some lists, as a container of kind SHRD. `docs/format.md` is the specification.

For each space its lists: a list block holds a head (row numbers, packed codes, the centroid) and its rows (scales and
refine rows) in groups; an exact block the full-precision vectors, in groups too. A list is read whole, or its head
alone, or some groups alone: `row_groups`. Then attribute columns, items in chunks, centroids, and, in the tail, the
tables and the codewords: what every search needs before it can read anything else. A list carries its own centroid, so
that a search which is told its lists needs no others. Rows are numbered by the lists of the primary space.
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
from shardlake.format.container import SEAL_BYTES, ContainerWriter, Extent, seal_of, verify, verify_extent
from shardlake.format.paged_map import PagedMapIndex, write_pages
from shardlake.format.row_groups import RowGroups
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
        group_rows: of a group of rows that can be read alone; 0 in files before version 3, whose lists are read whole.
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
    group_rows: int = 0

    @property
    def buckets(self) -> int:
        """How many hash buckets it has."""
        return self.tables << self.key_bits

    def packed_bytes(self, rows: int) -> int:
        """Returns the size of the codes of `rows` rows in a list block: whole blocks of 32."""
        return packed_bytes(rows, self.code_bytes)

    def head_bytes(self, rows: int) -> int:
        """Returns the size of the head of a list of `rows` rows."""
        return 4 * rows + self.packed_bytes(rows) + (4 * self.dimension + SEAL_BYTES if self.code_bytes else 0)

    def row_groups(self, rows: int, offset: int) -> RowGroups:
        """Returns the groups of a list of codes whose block begins at `offset`. Requires: the file has groups."""
        columns = (("scales", "<f4", 1), ("refine", "|i1", self.dimension))
        begins = offset + self.head_bytes(rows)
        return RowGroups(offset=begins, rows=rows, group_rows=self.group_rows, columns=columns)

    def exact_groups(self, rows: int, offset: int) -> RowGroups:
        """Returns the groups of an exact block that begins at `offset`. Requires: the file has groups."""
        columns = (("vectors", "<f4", self.dimension),)
        return RowGroups(offset=offset, rows=rows, group_rows=self.group_rows, columns=columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListHead:
    """What a scan wants of a list, decoded; arrays are views.

    Attributes:
        rows: (n,) uint32 row numbers. packed: codes in blocks of 32.
        centroid: (d,) float32 of the list; None in a space without codes and in files of version 1.
    """

    rows: npt.NDArray[np.uint32]
    packed: ByteArray
    centroid: Float32Array | None = None

    @property
    def bytes(self) -> int:
        """The size of its arrays."""
        return self.rows.nbytes + self.packed.nbytes + (0 if self.centroid is None else self.centroid.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBlock:
    """One list, decoded.

    Attributes:
        head: row numbers, codes, centroid. scales: (n,) float32. refine: (n, d) int8.
    """

    head: ListHead
    scales: Float32Array
    refine: npt.NDArray[np.int8]


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

    def add_list(self, space: ShardSpace, block: ListBlock) -> None:
        """Writes the next list of a space."""
        rows, packed, centroid = block.head.rows, block.head.packed, block.head.centroid
        data = np.ascontiguousarray(rows, "<u4").tobytes() + np.ascontiguousarray(packed).tobytes()
        if space.code_bytes:
            assert centroid is not None
            data += np.ascontiguousarray(centroid, "<f4").tobytes()
            data += seal_of(data, self._writer.next_offset).to_bytes(SEAL_BYTES, "little")
            groups = space.row_groups(len(rows), self._writer.next_offset)
            data += groups.encode({"scales": block.scales, "refine": block.refine})
        self._lists.setdefault(space.name, []).append(self._writer.append(data))
        self._rows.setdefault(space.name, []).append(len(rows))

    def add_exact(self, space: ShardSpace, vectors: Float32Array) -> None:
        """Writes the full-precision vectors of the next list of a space, in the list's order."""
        groups = space.exact_groups(len(vectors), self._writer.next_offset)
        self._exact.setdefault(space.name, []).append(self._writer.append(groups.encode({"vectors": vectors})))

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
    if not space.code_bytes or not space.group_rows:
        return _decode_ungrouped(space, rows, shard_rows, data)
    groups = space.row_groups(rows, extent.offset)
    if len(data) != space.head_bytes(rows) + groups.size_bytes:
        raise FormatError("a list block has another size than its rows need", space=space.name)
    head, _, behind = _cut(data, [space.head_bytes(rows) - SEAL_BYTES, SEAL_BYTES, groups.size_bytes])
    found = groups.decode(behind)
    return ListBlock(
        head=_decode_head(space, rows, shard_rows, head), scales=found["scales"][:, 0], refine=found["refine"]
    )


def decode_head(space: ShardSpace, rows: int, shard_rows: int, extent: Extent, data: bytes) -> ListHead:
    """Returns the head of a list of codes, which was read alone, after its seal. Raises FormatError."""
    verify_extent(extent, data, f"the head of a list of {space.name}")
    return _decode_head(space, rows, shard_rows, memoryview(data)[:-SEAL_BYTES])


def _decode_ungrouped(space: ShardSpace, rows: int, shard_rows: int, data: bytes) -> ListBlock:
    """Returns a list without codes, or one of versions 1 and 2: rows · scales · codes · refine rows · centroid."""
    refine = rows * space.dimension if space.code_bytes else 0
    sizes = [4 * rows, 4 * rows if space.code_bytes else 0, space.packed_bytes(rows), refine]
    centroid = 4 * space.dimension if space.code_bytes and len(data) != sum(sizes) else 0
    sizes.append(centroid)
    if sum(sizes) != len(data):
        raise FormatError("a list block has another size than its rows need", space=space.name)
    parts = _cut(data, sizes)
    head = ListHead(
        rows=_row_numbers(space, shard_rows, parts[0]),
        packed=np.frombuffer(parts[2], np.uint8),
        centroid=np.frombuffer(parts[4], "<f4") if centroid else None,
    )
    refined = np.frombuffer(parts[3], np.int8).reshape(-1, space.dimension)
    return ListBlock(head=head, scales=np.frombuffer(parts[1], "<f4"), refine=refined)


def _decode_head(space: ShardSpace, rows: int, shard_rows: int, data: memoryview) -> ListHead:
    numbers, packed, centroid = _cut(data, [4 * rows, space.packed_bytes(rows), 4 * space.dimension])
    return ListHead(
        rows=_row_numbers(space, shard_rows, numbers),
        packed=np.frombuffer(packed, np.uint8),
        centroid=np.frombuffer(centroid, "<f4"),
    )


def _row_numbers(space: ShardSpace, shard_rows: int, data: memoryview) -> npt.NDArray[np.uint32]:
    numbers = np.frombuffer(data, "<u4")
    if len(numbers) and int(numbers.max()) >= shard_rows:
        raise FormatError("a list names a row that the shard does not have", space=space.name)
    return numbers


def _cut(data: bytes | memoryview, sizes: Sequence[int]) -> list[memoryview]:
    cuts = np.cumsum([0, *sizes]).tolist()
    return [memoryview(data)[a:b] for a, b in pairwise(cuts)]


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
    groups = space.exact_groups(rows, extent.offset) if space.group_rows else None
    if len(data) != (4 * rows * space.dimension if groups is None else groups.size_bytes):
        raise FormatError("an exact block has another size than its rows need", space=space.name)
    if groups is None:
        return np.frombuffer(data, "<f4").reshape(rows, space.dimension)
    return groups.decode(data)["vectors"]


def decode_items(rows: int, extent: Extent, data: bytes) -> ItemChunk:
    """Returns a chunk of `rows` items after its checksum. Raises FormatError."""
    verify(data, extent.checksum, "items")
    head = 4 * (2 * rows + 1)
    offsets = np.frombuffer(data[:head], "<u4") if len(data) >= head else np.zeros(1, "<u4")
    if offsets[0] != head or offsets[-1] != len(data) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise FormatError("a chunk of items contradicts its offsets")
    return ItemChunk(data=data)
