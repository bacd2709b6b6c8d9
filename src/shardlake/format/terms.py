"""The words of a shard: which rows have a term, how often, and where in the text. `docs/format.md` has the blocks.

One sorted map for all text attributes, `terms`: key = place of the attribute among the text attributes (u1) · term;
value = group << 32 | where the term begins in the group's postings. A group is two anonymous blocks of some
consecutive terms: postings, and positions, which only phrases read; `term_groups` u8 (groups × 6) has the extents of
both.

A term: rows varint · where it begins in the group's positions varint · three columns (`format/packed.py`): gaps
between rows less 1, times in the text less 1, words of the text less 1. The length of a text stands beside each of
its terms, so that scoring reads no table as long as the shard. Positions: one column; the first in each row, then
gaps less 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, Extent, expect, verify
from shardlake.format.packed import Whole, pack_all, read_varint, unpack, varint
from shardlake.format.paged_map import PagedMap, PagedMapIndex, ReadExtents, write_pages
from shardlake.limits import MAX_TOKENS_PER_TEXT
from shardlake.types import AttributeSpec, AttributeType, Int64Array

if TYPE_CHECKING:  # the router reads terms too, and a shard's header comes with faiss
    from shardlake.format.shard_header import ShardHeader

MAP = "terms"
GROUPS = "term_groups"
GROUP_BYTES = 32 * 1024  # of postings: what one cold term costs to read, at least
_KEYS_PER_WRITE = 32_768  # of the map: what of it a build holds
_OFFSET_BITS = 32


def text_ordinals(attributes: Iterable[AttributeSpec]) -> dict[str, int]:
    """Returns the place of each text attribute among the text attributes, which begins its keys."""
    names = [spec.name for spec in attributes if spec.type is AttributeType.TEXT]
    return {name: number for number, name in enumerate(names)}


def term_key(ordinal: int, term: str) -> bytes:
    """Returns the key of a term in a map of terms."""
    return bytes([ordinal]) + term.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Postings:
    """The rows that have a term.

    Attributes:
        rows: (n,) int32 row numbers, ascending.
        frequencies: (n,) int32, times that it stands in the row's text. lengths: (n,) int32, words of that text.
        positions_at: where its positions begin in those of its group.
    """

    rows: npt.NDArray[np.int32]
    frequencies: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    positions_at: int

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return self.rows.nbytes + self.frequencies.nbytes + self.lengths.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TermBatch:
    """Some terms with their postings, one behind another.

    Attributes:
        keys: t, ascending. counts: (t,) rows that have each. occurrences: (t,) times that each stands in a text.
        rows: (sum of counts,) ascending for each term. frequencies, lengths: for each of them, as in `Postings`.
        positions: (sum of frequencies,) in each text, ascending for each row.
    """

    keys: Sequence[bytes]
    counts: Whole
    occurrences: Whole
    rows: Whole
    frequencies: Whole
    lengths: Whole
    positions: Whole


class MapWriter:
    """Writes a map whose keys come one by one, in order; holds some thousands of them."""

    def __init__(self, writer: ContainerWriter, width: int) -> None:
        self._writer = writer
        self._index = PagedMapIndex(width=width)
        self._keys: list[bytes] = []
        self._values: list[Sequence[int]] = []

    def add(self, key: bytes, values: Sequence[int]) -> None:
        """Adds an entry; its key must be larger than all before."""
        self._keys.append(key)
        self._values.append(values)
        if len(self._keys) == _KEYS_PER_WRITE:
            self.flush()

    def flush(self) -> None:
        """Writes the pages of what was added."""
        index = self._index
        if self._keys:
            part = write_pages(self._writer, self._keys, np.asarray(self._values, np.uint64))
            index.first_keys += part.first_keys
            index.pages += [(*page[:3], page[3] + index.entries) for page in part.pages]
            index.entries += part.entries
        self._keys, self._values = [], []

    def add_to_tail(self, name: str) -> None:
        """Writes the index as named blocks. Requires: flushed before the tail began."""
        self._index.add_to(self._writer, name)


class TermWriter:
    """Writes the terms of a shard, which come in the order of their keys."""

    def __init__(self, writer: ContainerWriter) -> None:
        self._writer = writer
        self._map = MapWriter(writer, width=1)
        self._groups: list[tuple[int, ...]] = []
        self._postings = bytearray()
        self._positions = bytearray()

    def add(self, batch: TermBatch) -> None:
        """Writes some terms; their keys are larger than all before."""
        columns = zip(
            pack_all(_gaps(batch.rows, batch.counts), batch.counts),
            pack_all(batch.frequencies - 1, batch.counts),
            pack_all(batch.lengths - 1, batch.counts),
            strict=True,
        )
        # At least a bit a position where there are several: so a reader knows from the size how many there can be.
        positions = pack_all(_gaps(batch.positions, batch.frequencies), batch.occurrences, min_form=1)
        for key, count, parts, behind in zip(batch.keys, batch.counts.tolist(), columns, positions, strict=True):
            self._add(key, count, b"".join(parts), behind)

    def _add(self, key: bytes, count: int, postings: bytes, positions: bytes) -> None:
        if self._postings and len(self._postings) + len(postings) > GROUP_BYTES:
            self._close_group()
        self._map.add(key, (len(self._groups) << _OFFSET_BITS | len(self._postings),))
        self._postings += varint(count) + varint(len(self._positions)) + postings
        self._positions += positions

    def flush(self) -> None:
        """Writes what is held. Call it before the tail begins."""
        self._close_group()
        self._map.flush()

    def add_to_tail(self) -> None:
        """Writes the index of the map, and where the groups lie."""
        self._map.add_to_tail(MAP)
        self._writer.add_array(GROUPS, np.asarray(self._groups, np.uint64).reshape(-1, 6))

    def _close_group(self) -> None:
        if self._postings:
            extents = self._writer.append(bytes(self._postings)), self._writer.append(bytes(self._positions))
            self._groups.append((*extents[0], *extents[1]))
        self._postings.clear()
        self._positions.clear()


def _gaps(values: Whole, counts: Whole) -> Whole:
    """Returns, for runs of ascending values, the first of each run and then the gaps less 1."""
    gaps = np.diff(values, prepend=0) - 1
    firsts = np.cumsum(counts) - counts
    gaps[firsts] = values[firsts]
    return gaps


def group_extents(header: ShardHeader) -> Iterator[Extent]:
    """Yields where the groups of a shard's terms lie: what a warm-up reads. Requires: the groups were checked."""
    for row in header.arrays.get(GROUPS, np.empty((0, 6), np.uint64)).tolist():
        yield from (Extent.of(row[:3]), Extent.of(row[3:]))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a term lies: its group, and where it begins in the group's postings."""

    group: int
    offset: int


class TermIndex:
    """What a shard's tail says of its terms. Raises FormatError when its parts contradict each other."""

    def __init__(self, header: ShardHeader) -> None:
        self._rows = header.rows
        self._arrays = header.arrays
        if GROUPS not in header.arrays:
            raise FormatError("the shard has a map of terms, and not where they lie", block=GROUPS)
        self._groups = expect(GROUPS, header.arrays[GROUPS], np.uint64, (None, 6))
        self._map = PagedMap(header.arrays, MAP)

    @staticmethod
    def is_in(header: ShardHeader) -> bool:
        """Returns whether a shard has terms at all: those of the first format version have none."""
        return GROUPS in header.arrays or f"{MAP}/pages" in header.arrays

    @property
    def resident_bytes(self) -> int:
        """What the pages of the map that were read hold."""
        return self._map.resident_bytes

    def forget(self) -> None:
        """Drops the pages read so far."""
        self._map = PagedMap(self._arrays, MAP)

    def find(self, keys: Sequence[bytes], read: ReadExtents) -> list[Place | None]:
        """Returns where each term lies, None where no row has it. Cost: one round at most. Raises FormatError."""
        return [None if found is None else self._place(found[0]) for found in self._map.find(keys, read)]

    def _place(self, value: int) -> Place:
        group, offset = value >> _OFFSET_BITS, value & (2**_OFFSET_BITS - 1)
        if group >= len(self._groups):
            raise FormatError("a term lies in a group that the shard does not have", group=group)
        return Place(group, offset)

    def postings_extent(self, group: int) -> Extent:
        """Returns where the postings of a group lie."""
        return Extent.of(self._groups[group, :3].tolist())

    def positions_extent(self, group: int) -> Extent:
        """Returns where the positions of a group lie."""
        return Extent.of(self._groups[group, 3:].tolist())

    def check(self, extent: Extent, data: bytes) -> bytes:
        """Returns a block of a group after its checksum. Raises FormatError."""
        verify(data, extent.checksum, "terms")
        return data

    def decode(self, data: bytes, offset: int) -> Postings:
        """Returns the postings of the term that begins at `offset` of its group's. Raises FormatError."""
        count, at = read_varint(data, offset)
        if not 1 <= count <= self._rows:
            raise FormatError("a term has more rows than the shard", rows=count)
        positions_at, at = read_varint(data, at)
        gaps, at = unpack(data, at, count)
        frequencies, at = unpack(data, at, count)
        lengths, _ = unpack(data, at, count)
        rows = np.cumsum(gaps + 1) - 1
        if rows[-1] >= self._rows:
            raise FormatError("a term names a row that the shard does not have")
        if (frequencies > lengths).any() or lengths.max() >= MAX_TOKENS_PER_TEXT:
            raise FormatError("a term stands in a text more often than the text has words")
        return Postings(
            rows=rows.astype(np.int32),
            frequencies=(frequencies + 1).astype(np.int32),
            lengths=(lengths + 1).astype(np.int32),
            positions_at=positions_at,
        )


def decode_positions(postings: Postings, data: bytes) -> Int64Array:
    """Returns (sum of frequencies,) int64 of a term's positions, row by row. Raises FormatError.

    Args:
        postings: of the term. data: the positions of its group.
    """
    total = int(postings.frequencies.sum(dtype=np.int64))
    if total > 8 * len(data):
        raise FormatError("a term has more positions than its block can hold", positions=total)
    gaps, _ = unpack(data, postings.positions_at, total)
    running = np.cumsum(gaps + 1)
    firsts = np.cumsum(postings.frequencies) - postings.frequencies
    before = np.where(firsts > 0, running[firsts - 1], 0)
    positions: Int64Array = running - 1 - np.repeat(before, postings.frequencies)
    if (positions[np.cumsum(postings.frequencies) - 1] >= postings.lengths).any():
        raise FormatError("a term stands behind the end of a text")
    return positions
