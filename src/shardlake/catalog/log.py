"""The log of a collection's segments: what is pending, and what a rollback sets aside. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from shardlake.catalog.base import LogHead, LogPosition, Pointer, SegmentRow, Snapshot
from shardlake.errors import Conflict, ErrorKind, NotFound

UNBUILT = "000000"  # in the place of a version where there is none yet
_NAME = re.compile(r"(?P<version>[^~+]+)(~(?P<aside>[0-9]{1,15}))?(\+(?P<sequence>[0-9]{1,15}))?")


def is_pending(pointer: Pointer | None, row: SegmentRow) -> bool:
    """Returns whether a segment of the log is neither in the current version nor set aside; a mark never is."""
    return not row.is_mark and (pointer is None or pointer.has_pending(row.sequence))


def mark(name: str, created_at: str) -> SegmentRow:
    """Returns a row that cuts the log where it is added. Of one name, the first stands."""
    return SegmentRow(
        segment_id=name, order="", key="", rows=0, bytes=0, source="", created_at=created_at, identity=f"mark-{name}"
    )


def name_of(snapshot: Snapshot) -> str | None:
    """Returns what a snapshot is called: its version, where anything is pending with the position of the log behind it.

    `000042-3f9c1a2b+17` is the version and what the log has from there through 17. Where a rollback has set aside what
    follows the version, the name says how far: `000042-3f9c1a2b~15+17`. None where there is nothing at all.
    """
    pointer = snapshot.pointer
    if not snapshot.pending:
        return pointer.version if pointer else None
    if pointer is None:
        return f"{UNBUILT}+{snapshot.sequence}"
    aside = [last for first, last in pointer.skipped if first == pointer.through + 1]
    return f"{pointer.version}{f'~{aside[0]}' if aside else ''}+{snapshot.sequence}"


def split_name(name: str) -> tuple[str, LogPosition, LogPosition] | None:
    """Returns version, how far the log is set aside behind it, and the position behind `+`; 0 where the name has none.

    None where it is no name of a snapshot.
    """
    found = _NAME.fullmatch(name)
    return None if found is None else (found["version"], int(found["aside"] or 0), int(found["sequence"] or 0))


def snapshot_at(
    pointer: Pointer | None, aside: LogPosition, sequence: LogPosition, rows: Sequence[SegmentRow]
) -> Snapshot | None:
    """Returns the snapshot of that name, or None where compaction has merged its last segment with later ones.

    Args:
        pointer: of its version, as it was built.
        aside, sequence: as `split_name` says.
        rows: of the log behind what the version holds.
    """
    if pointer is not None and aside > pointer.through:
        pointer = set_aside(replace(pointer, skipped=()), LogHead(sequence=aside))
    if any(row.begins <= sequence < row.sequence for row in rows):
        return None
    pending = [row for row in rows if row.sequence <= sequence and is_pending(pointer, row)]
    return Snapshot(pointer=pointer, pending=tuple(pending))


def grown(head: LogHead, row: SegmentRow) -> LogHead:
    """Returns the end of the log once `row` stands behind it."""
    return LogHead(sequence=head.sequence + 1, newest=max(head.newest, row.order))


def in_place_of(rows: Sequence[SegmentRow], merged: SegmentRow) -> SegmentRow:
    """Returns the row of a segment that takes the place of those."""
    return replace(merged, sequence=rows[-1].sequence, first=rows[0].begins)


def is_current(version: str) -> Conflict:
    """Returns the error of taking the current version away."""
    return Conflict("the version is the current one", kind=ErrorKind.COMMIT_CONFLICT, version=version)


def is_gone(version: str) -> Conflict:
    """Returns the error of condemning what is no version."""
    return Conflict("there is no such version any more", kind=ErrorKind.COMMIT_CONFLICT, version=version)


def is_held(version: str) -> Conflict:
    """Returns the error of taking a version away that an alias names."""
    return Conflict("an alias names the version", kind=ErrorKind.COMMIT_CONFLICT, version=version)


def alias_has_moved(alias: str) -> Conflict:
    """Returns the error of changing an alias that another writer has changed meanwhile."""
    return Conflict("another writer changed the alias", kind=ErrorKind.COMMIT_CONFLICT, alias=alias)


def no_version(version: str) -> NotFound:
    """Returns the error of naming a version that does not stand."""
    return NotFound("there is no such version", kind=ErrorKind.VERSION_NOT_FOUND, version=version)


def set_aside(version: Pointer, head: LogHead) -> Pointer:
    """Returns the pointer that goes back to a version: it skips what the log has got since."""
    if head.sequence <= version.through:
        return version
    return replace(version, skipped=(*version.skipped, (version.through + 1, head.sequence)))
