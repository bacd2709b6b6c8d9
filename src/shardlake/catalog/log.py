"""The log of a collection's segments: what is pending, and what a rollback sets aside. Pure."""

from __future__ import annotations

from dataclasses import replace

from shardlake.catalog.base import LogHead, Pointer, SegmentRow


def is_pending(pointer: Pointer | None, row: SegmentRow) -> bool:
    """Returns whether a segment of the log is neither in the current version nor set aside."""
    return pointer is None or pointer.has_pending(row.sequence)


def grown(head: LogHead, row: SegmentRow) -> LogHead:
    """Returns the end of the log once `row` stands behind it."""
    return LogHead(sequence=head.sequence + 1, newest=max(head.newest, row.order))


def set_aside(version: Pointer, head: LogHead) -> Pointer:
    """Returns the pointer that goes back to a version: it skips what the log has got since."""
    if head.sequence <= version.through:
        return version
    return replace(version, skipped=(*version.skipped, (version.through + 1, head.sequence)))
