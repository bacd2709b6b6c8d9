"""The opened head of a shard: what its tail says, checked part against part before anything is believed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.core import binary, ivf_rabitq
from shardlake.core.vectors import SUBVECTOR, padded_dimension
from shardlake.errors import FormatError
from shardlake.format.container import Directory, Extent, decode_block, expect
from shardlake.format.row_groups import MAX_GROUP_ROWS, RowGroups
from shardlake.format.shard import ShardSpace
from shardlake.limits import (
    MAX_BINARY_BITS,
    MAX_DIMENSION,
    MAX_LISTS_PER_SHARD,
    MAX_RABITQ_BITS,
    MAX_ROWS_PER_SHARD,
)
from shardlake.types import AttributeSpec, AttributeType, IndexType, Metric

_NUMBERS = ("dimension", "lists", "code_bytes", "code_dimension", "bits", "tables", "key_bits", "group_rows")
# Of a space computed from another: flat in a delta, where the vectors of the other are searched in its name.
_COMPUTED = frozenset({IndexType.BINARY_MIH, IndexType.FLAT})
CODEWORDS = 16  # of a sub-quantizer: its codes have 4 bits


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

    def list_head(self, space: str, number: int) -> Extent:
        """Returns where the head of a list of codes lies. Requires: the space has groups. Raises: as `row_groups`."""
        begins = self.list_extent(space, number).offset
        size = self.row_groups(space, number).offset - begins
        return Extent(offset=begins, bytes=size, is_sealed=True)

    def row_groups(self, space: str, number: int) -> RowGroups:
        """Returns the groups of a list of codes. Requires: the space has groups.

        Raises:
            FormatError: when the list is not as large as its head and its groups.
        """
        extent, described = self.list_extent(space, number), self.spaces[space]
        return _fitting(described.row_groups(self._rows_of(space, number), extent.offset), extent)

    def exact_groups(self, space: str, number: int) -> RowGroups:
        """Returns the groups of a list's full-precision vectors. Requires: the space has groups. Raises FormatError."""
        extent, described = self.exact_extent(space, number), self.spaces[space]
        return _fitting(described.exact_groups(self._rows_of(space, number), extent.offset), extent)

    def _rows_of(self, space: str, number: int) -> int:
        return int(self.arrays[f"list_rows/{space}"][number])

    def bucket_extent(self, space: str, number: int) -> Extent:
        """Returns where a hash bucket lies."""
        return _extent(self.arrays[f"buckets/{space}"][number])

    def item_extent(self, chunk: int) -> Extent:
        """Returns where a chunk of items lies."""
        return _extent(self.arrays["items"][chunk])


def _fitting(groups: RowGroups, extent: Extent) -> RowGroups:
    if groups.offset + groups.size_bytes != extent.offset + extent.bytes:
        raise FormatError("a list block has another size than its rows need", bytes=extent.bytes, rows=groups.rows)
    return groups


def _extent(row: npt.NDArray[np.uint64]) -> Extent:
    return Extent.of(row[:3].tolist())


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
        if (f"row_lists/{space.name}" in directory.blocks) != (number > 0 and space.source is None):
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
    texts += [space.source for space in spaces if space.source is not None]
    numbers = [rows, *(getattr(space, name) for space in spaces for name in _NUMBERS)]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise FormatError("the shard's meta object has values of another type than the format says")
    return rows, *named


def _space(raw: dict[str, Any]) -> ShardSpace:
    return ShardSpace(**{**raw, "metric": Metric(raw["metric"]), "index": IndexType(raw["index"])})


def _check_space(header: ShardHeader, space: ShardSpace) -> None:
    name, lists, dimension = space.name, space.lists, space.dimension
    if not (0 <= lists <= MAX_LISTS_PER_SHARD and 1 <= dimension <= MAX_DIMENSION):
        raise FormatError("the shard's meta object is out of bounds", space=name)
    if not 0 <= space.code_dimension <= MAX_DIMENSION + ivf_rabitq.DIMENSION_MULTIPLE:
        raise FormatError("the shard's meta object is out of bounds", space=name)
    if not 0 <= space.group_rows <= MAX_GROUP_ROWS:
        raise FormatError("the shard's meta object is out of bounds", space=name)
    _check_codes(header, space)
    _check_source(header, space)
    if space.index is IndexType.BINARY_MIH:
        _check_buckets(header, space)
    _expect(header, f"lists/{name}", np.uint64, (lists, 3))
    _expect(header, f"exact/{name}", np.uint64, (lists, 3))
    list_rows = _expect(header, f"list_rows/{name}", np.uint32, (lists,))
    if int(list_rows.sum(dtype=np.uint64)) > header.rows:
        raise FormatError("the shard's lists have more rows than the shard", space=name)
    if space.source is None:
        _check_centroids(header, space)


def _check_codes(header: ShardHeader, space: ShardSpace) -> None:
    """Raises FormatError unless codes have the size that faiss will read, which checks none itself."""
    code_bytes = 0
    if space.index is IndexType.IVF_PQ:
        padded = padded_dimension(space.code_dimension or space.dimension)
        code_bytes = padded // SUBVECTOR // 2  # two codes a byte
        _expect(header, f"codewords/{space.name}", np.float32, (padded // SUBVECTOR, CODEWORDS, SUBVECTOR))
    elif space.index is IndexType.IVF_RABITQ:
        fits = space.code_dimension == ivf_rabitq.padded_dimension(space.dimension)
        if not fits or not 1 <= space.bits <= MAX_RABITQ_BITS:
            raise FormatError("the shard's meta object is out of bounds", space=space.name)
        code_bytes = ivf_rabitq.code_bytes(space.code_dimension, space.bits)
    elif space.code_dimension:
        raise FormatError("a space without codes has a transform", space=space.name)
    if space.code_bytes != code_bytes:
        raise FormatError("the shard's codes have another size than its dimension needs", space=space.name)
    if space.code_dimension:
        _expect(header, f"transform/{space.name}", np.float32, (space.code_dimension, space.dimension))


def _check_source(header: ShardHeader, space: ShardSpace) -> None:
    if space.source is None:
        return
    source = header.spaces.get(space.source)
    is_computed = space.index in _COMPUTED and not space.lists
    if source is None or source.source is not None or not is_computed:
        raise FormatError("a space is computed from one that the shard does not have", space=space.name)
    if (source.dimension, source.metric) != (space.dimension, space.metric):
        raise FormatError("a space is computed from one of another dimension or metric", space=space.name)


def _check_buckets(header: ShardHeader, space: ShardSpace) -> None:
    in_bounds = (
        space.bits in range(binary.WORD_BITS, MAX_BINARY_BITS + 1, binary.WORD_BITS)
        and 1 <= space.key_bits <= binary.MAX_KEY_BITS
        and 1 <= space.tables <= binary.MAX_TABLES
        and space.tables * space.key_bits <= space.bits
    )
    if not in_bounds:
        raise FormatError("the shard's meta object is out of bounds", space=space.name)
    _expect(header, f"buckets/{space.name}", np.uint64, (space.buckets, 3))
    rows = _expect(header, f"bucket_rows/{space.name}", np.uint32, (space.buckets,))
    if int(rows.sum(dtype=np.uint64)) > space.tables * header.rows:
        raise FormatError("the shard's buckets have more rows than the shard", space=space.name)
    _expect(header, f"directions/{space.name}", np.float32, (space.bits, space.dimension))
    _expect(header, f"thresholds/{space.name}", np.float32, (space.bits,))


def _check_centroids(header: ShardHeader, space: ShardSpace) -> None:
    # In the tail in files of version 1; since then in the body, where only searches read them that rank lists.
    block = header.directory.block(f"centroids/{space.name}")
    if (block.dtype, block.shape) != ("<f4", (space.lists, space.dimension)):
        raise FormatError("a block has another type or shape than the format says", block=f"centroids/{space.name}")


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


def items_first_rows(header: ShardHeader) -> list[int]:
    """Returns the first row of each chunk, and the number of rows behind them."""
    firsts: list[int] = header.arrays["items"][:, 3].tolist()
    return [*firsts, header.rows]
