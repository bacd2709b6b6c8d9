"""A shard: the items of some lists, as a container of kind SHRD. `docs/format.md` is the specification.

For each space its lists: a list block holds row numbers, refine scales, packed codes and refine rows; an exact block
the full-precision vectors. Then attribute columns, items in chunks, and, in the tail, the tables, centroids and
codewords: what a search needs before it can choose what to read. Rows are numbered by the lists of the primary space.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.core.fast_scan import packed_bytes
from shardlake.core.vectors import SUBVECTOR, padded_dimension
from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, Directory, decode_block, expect, verify
from shardlake.limits import MAX_BLOCK_BYTES, MAX_DIMENSION, MAX_LISTS_PER_SHARD, MAX_ROWS_PER_SHARD
from shardlake.query.columns import Column, KeywordColumn, NumberColumn
from shardlake.types import AttributeSpec, AttributeType, ByteArray, Float32Array, IndexType, Metric

SHARD_KIND = b"SHRD"
_THREE_OFFSETS = struct.Struct("<3I")
CODEWORDS = 16  # of a sub-quantizer: its codes have 4 bits
ITEM_CHUNK_BYTES = 64 * 1024  # of items: what one cold hit costs to read


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpace:
    """What a shard says of one space.

    Attributes:
        lists: how many this shard has of the space's lists.
        code_bytes: of one PQ code; 0 for a flat space, which has no codes and no refine rows.
    """

    name: str
    dimension: int
    metric: Metric
    index: IndexType
    lists: int
    code_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where an anonymous block lies."""

    offset: int
    bytes: int
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBlock:
    """One list, decoded; arrays are views.

    Attributes:
        rows: (n,) uint32 row numbers. scales: (n,) float32. packed: fast-scan codes. refine: (n, d) int8.
    """

    rows: npt.NDArray[np.uint32]
    scales: Float32Array
    packed: ByteArray
    refine: npt.NDArray[np.int8]

    @property
    def bytes(self) -> int:
        """The size of the block in the file."""
        return self.rows.nbytes + self.scales.nbytes + self.packed.nbytes + self.refine.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChunk:
    """Consecutive items, as in the file: where each id and each payload begins (u4), then id, payload, id, …"""

    rows: int
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
        self._chunks: list[tuple[int, ...]] = []

    def add_list(self, space: str, block: ListBlock) -> None:
        """Writes the next list of a space."""
        parts = (block.rows, block.scales, block.packed, block.refine)
        data = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        self._lists.setdefault(space, []).append(self._writer.append(data))
        self._rows.setdefault(space, []).append(len(block.rows))

    def add_exact(self, space: str, vectors: Float32Array) -> None:
        """Writes the full-precision vectors of the next list of a space, in the list's order."""
        self._exact.setdefault(space, []).append(self._writer.append(np.ascontiguousarray(vectors, "<f4").tobytes()))

    def add_items(self, first_row: int, ids: Sequence[bytes], payloads: Sequence[bytes]) -> None:
        """Writes one chunk of items, rows `first_row` and on."""
        parts = [part for pair in zip(ids, payloads, strict=True) for part in pair]
        offsets = np.cumsum([4 * (len(parts) + 1), *map(len, parts)]).astype("<u4")
        extent = self._writer.append(b"".join([offsets.tobytes(), *parts]))
        self._chunks.append((*extent, first_row))

    def add_column(self, name: str, column: Column) -> None:
        """Writes one attribute column."""
        prefix = f"attribute/{name}"
        if isinstance(column, KeywordColumn):
            encoded = [value.encode() for value in column.dictionary]
            self._writer.add_bytes(f"{prefix}/dictionary", b"".join(encoded))
            ends = np.cumsum([0, *map(len, encoded)]).astype(np.uint32)
            self._writer.add_array(f"{prefix}/dictionary_offsets", ends)
            self._writer.add_array(f"{prefix}/codes", column.codes)
            if column.offsets is not None:
                self._writer.add_array(f"{prefix}/offsets", column.offsets)
            return
        self._writer.add_array(f"{prefix}/present", np.packbits(column.present, bitorder="little"))
        if isinstance(column, NumberColumn):
            self._writer.add_array(f"{prefix}/values", column.values)

    def add_array(self, name: str, array: npt.NDArray[Any]) -> None:
        """Writes a named array: `id_rank`, `row_lists/{space}`, and in the tail `centroids/…` and `codewords/…`."""
        self._writer.add_array(name, array)

    def begin_tail(self, spaces: Sequence[str]) -> int:
        """Writes the tables; what follows is the tail. Returns where the tail begins."""
        self._writer.append(b"")
        offset = self._writer.offset
        for space in spaces:
            self._writer.add_array(f"list_rows/{space}", np.asarray(self._rows.get(space, []), np.uint32))
            self._writer.add_array(f"lists/{space}", _table(self._lists.get(space, []), 3))
            self._writer.add_array(f"exact/{space}", _table(self._exact.get(space, []), 3))
        self._writer.add_array("items", _table(self._chunks, 4))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardHeader:
    """The opened head of a shard: everything its tail says."""

    rows: int
    spaces: dict[str, ShardSpace]
    attributes: dict[str, AttributeSpec]
    directory: Directory
    arrays: dict[str, npt.NDArray[Any]]

    def list_extent(self, space: str, number: int) -> Extent:
        """Returns where a list block lies."""
        return _extent(self.arrays[f"lists/{space}"][number])

    def exact_extent(self, space: str, number: int) -> Extent:
        """Returns where the full-precision vectors of a list lie."""
        return _extent(self.arrays[f"exact/{space}"][number])

    def item_extent(self, chunk: int) -> Extent:
        """Returns where a chunk of items lies."""
        return _extent(self.arrays["items"][chunk])


def _extent(row: npt.NDArray[np.uint64]) -> Extent:
    offset, size, checksum = row[:3].tolist()
    if size > MAX_BLOCK_BYTES:
        raise FormatError("a block is larger than any this format writes", bytes=size)
    return Extent(offset=offset, bytes=size, checksum=checksum)


def read_header(directory: Directory, tail: bytes, tail_offset: int) -> ShardHeader:
    """Returns the header in a shard's tail. Raises FormatError when its parts contradict each other.

    Args:
        directory: parsed from the same tail.
        tail: the bytes from `tail_offset` to the end of the file.
        tail_offset: where they begin in the file.
    """
    rows, spaces, specs = _meta(directory.meta)
    # Each row has two offsets among the items, so that a small file cannot claim many.
    if not 0 <= rows <= min(MAX_ROWS_PER_SHARD, tail_offset // 8):
        raise FormatError("the shard has more rows than any this format writes", rows=rows)
    arrays = {
        name: decode_block(name, block, tail[block.offset - tail_offset :][: block.bytes])
        for name, block in directory.blocks.items()
        if block.offset >= tail_offset
    }
    header = ShardHeader(rows=rows, spaces=spaces, attributes=specs, directory=directory, arrays=arrays)
    for number, space in enumerate(spaces.values()):
        _check_space(header, space)
        if (f"row_lists/{space.name}" in directory.blocks) != (number > 0):
            raise FormatError("every space but the first needs its row lists", space=space.name)
    _check_items(header)
    return header


def _meta(meta: dict[str, Any]) -> tuple[int, dict[str, ShardSpace], dict[str, AttributeSpec]]:
    try:
        spaces = [_space(raw) for raw in meta["spaces"]]
        specs = [
            AttributeSpec(name=a["name"], type=AttributeType(a["type"]), multi=a["multi"]) for a in meta["attributes"]
        ]
        named = {space.name: space for space in spaces}, {spec.name: spec for spec in specs}
        rows = meta["rows"]
    except (KeyError, TypeError, ValueError) as exc:
        raise FormatError("the shard's meta object is not what the format says") from exc
    texts = [*named[0], *named[1]]
    numbers = [rows, *(n for space in spaces for n in (space.dimension, space.lists, space.code_bytes))]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise FormatError("the shard's meta object has values of another type than the format says")
    return rows, *named


def _space(raw: dict[str, Any]) -> ShardSpace:
    return ShardSpace(**{**raw, "metric": Metric(raw["metric"]), "index": IndexType(raw["index"])})


def _check_space(header: ShardHeader, space: ShardSpace) -> None:
    name, lists, dimension = space.name, space.lists, space.dimension
    if not (0 <= lists <= MAX_LISTS_PER_SHARD and 1 <= dimension <= MAX_DIMENSION):
        raise FormatError("the shard's meta object is out of bounds", space=name)
    padded = padded_dimension(dimension)
    # Two codes a byte. What is read below these sizes is read by faiss, which checks none of them.
    code_bytes = {IndexType.IVF_PQ: padded // SUBVECTOR // 2, IndexType.FLAT: 0}
    if space.code_bytes != code_bytes.get(space.index):
        raise FormatError("the shard's codes have another size than its dimension needs", space=name)
    _expect(header, f"lists/{name}", np.uint64, (lists, 3))
    _expect(header, f"exact/{name}", np.uint64, (lists, 3))
    _expect(header, f"centroids/{name}", np.float32, (lists, dimension))
    list_rows = _expect(header, f"list_rows/{name}", np.uint32, (lists,))
    if int(list_rows.sum(dtype=np.uint64)) > header.rows:
        raise FormatError("the shard's lists have more rows than the shard", space=name)
    if space.code_bytes:
        _expect(header, f"codewords/{name}", np.float32, (padded // SUBVECTOR, CODEWORDS, SUBVECTOR))


def _check_items(header: ShardHeader) -> None:
    firsts = _expect(header, "items", np.uint64, (None, 4))[:, 3].tolist()
    ends = [*firsts, header.rows]
    if ends[0] != 0 or any(a >= b for a, b in pairwise(ends)):
        raise FormatError("the shard's items are not in order", block="items")


def _expect(header: ShardHeader, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
    array = header.arrays.get(name)
    if array is None:
        raise FormatError(f"the shard's tail has no block {name}", block=name)
    return expect(name, array, dtype, shape)


def decode_row_lists(header: ShardHeader, space: str, array: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Returns `row_lists/{space}`: (rows,) int32, -1 where the row has no vector. Raises FormatError.

    Cost: one pass over the rows; what a search finds of a list rests on both tables saying the same.
    """
    of_row = expect(f"row_lists/{space}", array, np.int32, (header.rows,))
    counts = header.arrays[f"list_rows/{space}"]
    bounded = not len(of_row) or (of_row.min() >= -1 and of_row.max() < len(counts))
    if not bounded or (np.bincount(of_row[of_row >= 0], minlength=len(counts)) != counts).any():
        raise FormatError("a space's row lists contradict its lists", space=space)
    return of_row


def decode_list(space: ShardSpace, rows: int, shard_rows: int, extent: Extent, data: bytes) -> ListBlock:
    """Returns a list block after its checksum. Raises FormatError.

    Args:
        space: the list belongs to.
        rows: of the list. shard_rows: of the whole shard, which row numbers must be below.
        extent: as the table says. data: the bytes read.
    """
    verify(data, extent.checksum, f"a list of {space.name}")
    packed = packed_bytes(rows, space.code_bytes)
    refine = rows * space.dimension if space.code_bytes else 0
    sizes = [4 * rows, 4 * rows if space.code_bytes else 0, packed, refine]
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
    )


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
    return ItemChunk(rows=rows, data=data)


def items_first_rows(header: ShardHeader) -> list[int]:
    """Returns the first row of each chunk, and the number of rows behind them."""
    firsts: list[int] = header.arrays["items"][:, 3].tolist()
    return [*firsts, header.rows]
