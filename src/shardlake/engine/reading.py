"""Ranged reads of one shard: coalesced, counted, under the caller's deadline."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

from shardlake.contracts.shard import LeafStats
from shardlake.deadline import Deadline
from shardlake.format.container import Block, Extent, decode_block, is_intact

T = TypeVar("T")

ReadRanges = Callable[[Sequence[tuple[int, int]], Deadline | None], list[bytes]]
"""Reads (start, stop) ranges of the shard's object, in parallel."""

COALESCE_GAP_BYTES = 48 * 1024  # what a store streams in the time that another request costs
MAX_COALESCED_BYTES = 8 * 1024 * 1024  # beyond, several streams are faster than one


Ahead = dict[tuple[int, int], bytes]
"""Blocks that were read along with the tail, by offset and size; each is handed out once."""


class Blocks(Protocol):
    """Blocks of one shard's object that were read before and may still be at hand. Never raises."""

    def get(self, offset: int, size: int) -> bytes | None:
        """Returns the bytes of a block, as they were put, or None."""

    def has(self, offset: int, size: int) -> bool:
        """Returns whether a block seems to be at hand."""

    def put(self, offset: int, data: bytes) -> None:
        """Takes a block that was read, to keep it if it can."""


class NoBlocks:
    """Keeps nothing."""

    def get(self, offset: int, size: int) -> bytes | None:
        """Returns None."""

    def has(self, offset: int, size: int) -> bool:
        """Returns False."""
        return False

    def put(self, offset: int, data: bytes) -> None:
        """Lets the block go."""


class Reader:
    """Reads extents of one shard for one search: from the blocks at hand, and what is not there from the store."""

    def __init__(
        self,
        read: ReadRanges,
        deadline: Deadline | None,
        stats: LeafStats,
        blocks: Blocks | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        self._read = read
        self._deadline = deadline
        self._stats = stats
        self._blocks: Blocks = blocks or NoBlocks()
        self._ahead: Ahead = {} if ahead is None else ahead

    def extents(self, extents: Sequence[Extent], beside: Iterable[Extent] = ()) -> list[bytes]:
        """Returns the bytes of each extent, in the order asked.

        Args:
            extents: that are wanted.
            beside: what will be asked for soon: read in the same round, if there is one, and handed out when it is.

        Cost: one read a group of neighbours that are not at hand; one round.
        """
        if not extents:
            return []
        at_hand = [self._at_hand(extent) for extent in extents]
        missing = [extent for extent, data in zip(extents, at_hand, strict=True) if data is None]
        if not missing:
            return [data for data in at_hand if data is not None]
        soon = [extent for extent in beside if not self.is_at_hand(extent)]
        fetched = self._fetch([*missing, *soon])
        for extent, data in zip(soon, fetched[len(missing) :], strict=True):
            self._ahead[extent.offset, extent.bytes] = data
        own = iter(fetched)
        return [next(own) if data is None else data for data in at_hand]

    def is_at_hand(self, extent: Extent) -> bool:
        """Returns whether an extent seems to need no read."""
        place = extent.offset, extent.bytes
        return place in self._ahead or self._blocks.has(*place)

    @property
    def keeps(self) -> bool:
        """Whether what is read stays at hand."""
        return not isinstance(self._blocks, NoBlocks)

    def lacking(self, extents: Iterable[Extent]) -> list[Extent]:
        """Returns those that are not at hand."""
        return [extent for extent in extents if not self._blocks.has(extent.offset, extent.bytes)]

    def array(self, name: str, block: Block) -> npt.NDArray[Any]:
        """Returns a named block's array, checked. Cost: one read where it is not at hand."""
        return decode_block(name, block, self.extents([block.extent])[0])

    def _at_hand(self, extent: Extent) -> bytes | None:
        data = self._ahead.pop((extent.offset, extent.bytes), None)
        if data is None:
            data = self._blocks.get(extent.offset, extent.bytes)
            self._stats.cache_reads += data is not None
            self._stats.cache_bytes += len(data or b"")
        return data

    def _fetch(self, extents: Sequence[Extent]) -> list[bytes]:
        spans = _spans(extents)
        data = self._read(spans, self._deadline)
        self._stats.object_reads += len(spans)
        self._stats.bytes_read += sum(stop - start for start, stop in spans)
        starts = [start for start, _ in spans]
        found = [_cut(extent, starts, data) for extent in extents]
        for extent, body in zip(extents, found, strict=True):
            if is_intact(extent, body):  # what the store damaged must not be found again
                self._blocks.put(extent.offset, body)
        return found

    def check(self, doing: str) -> None:
        """Raises DeadlineExceeded when no time is left for `doing`."""
        if self._deadline is not None:
            self._deadline.check(doing)


def coalesce(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins ranges whose gaps are small; returns disjoint ranges in order that cover all of them."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        near = joined and start - joined[-1][1] <= COALESCE_GAP_BYTES
        if near and stop - joined[-1][0] <= MAX_COALESCED_BYTES:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def read_bytes(extents: Sequence[Extent]) -> int:
    """Returns how many bytes reading extents costs, the gaps between neighbours included."""
    return sum(stop - start for start, stop in _spans(extents))


def _spans(extents: Sequence[Extent]) -> list[tuple[int, int]]:
    return coalesce([(extent.offset, extent.offset + extent.bytes) for extent in extents])


def groups(things: Iterable[T], size_of: Callable[[T], int], max_bytes: int) -> Iterator[list[T]]:
    """Yields things in groups of about `max_bytes`, at least one thing each."""
    group: list[T] = []
    size = 0
    for thing in things:
        group.append(thing)
        size += size_of(thing)
        if size >= max_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def _cut(extent: Extent, starts: Sequence[int], data: Sequence[bytes]) -> bytes:
    """Returns the bytes of an extent, out of reads that begin at `starts` and together cover it."""
    number = bisect_right(starts, extent.offset) - 1
    begins = extent.offset - starts[number]
    return data[number][begins : begins + extent.bytes]
