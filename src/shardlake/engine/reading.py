"""Ranged reads of one shard: coalesced, counted, under the caller's deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shardlake.contracts.shard import LeafStats
from shardlake.deadline import Deadline
from shardlake.format.container import Extent

ReadRanges = Callable[[Sequence[tuple[int, int]], Deadline | None], list[bytes]]
"""Reads (start, stop) ranges of the shard's object, in parallel."""

COALESCE_GAP_BYTES = 128 * 1024  # what a store streams in the time that another request costs
MAX_COALESCED_BYTES = 8 * 1024 * 1024  # beyond, several streams are faster than one


class Reader:
    """Reads extents of one shard for one search."""

    def __init__(self, read: ReadRanges, deadline: Deadline | None, stats: LeafStats) -> None:
        self._read = read
        self._deadline = deadline
        self._stats = stats

    def extents(self, extents: Sequence[Extent]) -> list[bytes]:
        """Returns the bytes of each extent, in the order asked.

        Cost: one read a group of neighbours; one round.
        """
        if not extents:
            return []
        spans = coalesce([(extent.offset, extent.offset + extent.bytes) for extent in extents])
        data = self._read(spans, self._deadline)
        self._stats.object_reads += len(spans)
        self._stats.bytes_read += sum(stop - start for start, stop in spans)
        return [_cut(extent, spans, data) for extent in extents]

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


def _cut(extent: Extent, spans: Sequence[tuple[int, int]], data: Sequence[bytes]) -> bytes:
    for (start, stop), read in zip(spans, data, strict=True):
        if start <= extent.offset and extent.offset + extent.bytes <= stop:
            return read[extent.offset - start : extent.offset - start + extent.bytes]
    raise AssertionError("coalesce covers every range")
