"""Into the log: what arrives late gives way to what was written after it.

The log is in the order of arrival, and its readers let the later segment win. So the order of writing is settled here,
before a segment is added: items that a segment of a later order has already are left out of it. That holds because a
segment is added only where the log ends as it did when this was looked up.

What was made of the log as it was at some position goes by that position instead, and has no order: it speaks of what
was seen there, and neither gives way to nor is in the way of what was written when, seen or not.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shardlake import limits
from shardlake.catalog.base import Catalog, LogHead, SegmentRow
from shardlake.errors import Conflict, ErrorKind, FormatError, NotFound, Overloaded
from shardlake.format import locations
from shardlake.format.overwrites import Part, decode_overwrites, decode_parts
from shardlake.format.segment import decode_segment
from shardlake.store.base import ObjectStore

ATTEMPTS = 40  # each is lost to another writer that has got on
MAX_WAIT_S = 0.25
ALL_ORDERS = "~"  # behind every order
NO_ORDER = ""  # before every order
MAX_IDS_KEPT = 1_000_000  # some 200 MB

Ids = frozenset[bytes]
WriteSegment = Callable[[Ids], SegmentRow]
"""Writes a segment without the items of those ids, under a name of its own; returns its row."""


@dataclass(slots=True)
class _Known:
    """The log of one collection as far as it was read, and when the ids of some of its segments were written last.

    Attributes:
        rows: the log. indexed: the sequences of those whose ids are in `last`.
        last: {id: latest order, latest sequence}.
    """

    rows: list[SegmentRow] = field(default_factory=list)
    indexed: set[int] = field(default_factory=set)
    last: dict[bytes, tuple[str, int]] = field(default_factory=dict)

    def read_on(self, catalog: Catalog, uid: str) -> None:
        """Reads what the log has got since. Cost: one query of what is new."""
        seen = self.rows[-1].sequence if self.rows else 0
        # Without a sequence are those that older releases wrote: they come with every reading from the beginning.
        self.rows = (self.rows if seen else []) + catalog.segments(uid, after=seen)

    def newer(self, store: ObjectStore, ids: Ids, order: str, seen: int) -> Ids:
        """Returns those of the ids that were written behind an order or a position.

        Reads the segments behind it that were not read before, and keeps their ids as long as there is room.
        """
        if len(self.last) > MAX_IDS_KEPT:
            self.last.clear()
            self.indexed.clear()
        found: set[bytes] = set()
        for row in self.rows:
            if row.is_mark or row.sequence in self.indexed or not (row.order > order or row.sequence > seen):
                continue
            for part in _read(store, row):
                if part.order > order or part.sequence > seen:
                    found |= ids & part.ids
                self._keep(part)
            if row.sequence and len(self.last) <= MAX_IDS_KEPT:
                self.indexed.add(row.sequence)
        kept = ((each, self.last.get(each)) for each in ids)
        return frozenset(found.union(each for each, last in kept if last and (last[0] > order or last[1] > seen)))

    def _keep(self, part: Part) -> None:
        if len(self.last) > MAX_IDS_KEPT:
            return  # a late part of a large file comes before millions of ids
        for each in part.ids:
            known = self.last.get(each, ("", 0))
            self.last[each] = max(known[0], part.order), max(known[1], part.sequence)


class Log:
    """Adds segments to the logs of collections. One a process.

    Args:
        catalog: has the logs. store: has the segments.
        sleep: waits the seconds between attempts.
    """

    def __init__(self, catalog: Catalog, store: ObjectStore, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._catalog = catalog
        self._store = store
        self._sleep = sleep
        self._known: dict[str, _Known] = {}

    def add(self, uid: str, order: str, ids: Ids, write: WriteSegment, *, seen: int | None = None) -> SegmentRow:
        """Adds a segment whose source was written at `order`; returns it as it stands.

        Args:
            uid: of the collection. ids: of the segment. write: writes it.
            order: of the source; NO_ORDER where `seen` is given.
            seen: the position of the log that it was made of, where it was: items that were added since, and no others,
                are left out, in whatever order they were written.

        Raises:
            Overloaded: when other writers were faster each time.
        """
        written: tuple[Ids, SegmentRow] | None = None
        for wait_s in _waits():
            head = self._catalog.log_head(uid)
            is_behind = order < head.newest if seen is None else seen < head.sequence
            behind = (order, head.sequence) if seen is None else (ALL_ORDERS, seen)
            newer = self._newer(uid, ids, *behind) if is_behind else frozenset()
            if written is None or written[0] != newer:
                written = newer, write(newer)
            added = self._append(uid, written[1], head)
            if added is not None:
                return added
            self._sleep(wait_s)
        raise Overloaded("many segments are added at once: this one must wait")

    def add_made(self, uid: str, row: SegmentRow, ids: Ids, *, seen: int) -> SegmentRow | None:
        """Adds a segment that was made of items as they were at `seen`; None where one of them was written since.

        Raises:
            Overloaded: when other writers were faster each time.
        """
        for wait_s in _waits():
            head = self._catalog.log_head(uid)
            if head.sequence > seen and self._newer(uid, ids, ALL_ORDERS, seen):
                return None
            added = self._append(uid, row, head)
            if added is not None:
                return added
            self._sleep(wait_s)
        raise Overloaded("many segments are added at once: this one must wait")

    def _append(self, uid: str, row: SegmentRow, head: LogHead) -> SegmentRow | None:
        """Returns the row as it stands; None where another writer was faster."""
        try:
            return self._catalog.append(uid, row, head=head)
        except Conflict as conflict:
            if conflict.kind is not ErrorKind.COMMIT_CONFLICT:
                raise
        return None

    def _newer(self, uid: str, ids: Ids, order: str, seen: int) -> Ids:
        """Returns those of the ids that were written behind an order or a position.

        Cost: a query of what the log has got since; one read for each segment there that was not read before.

        Raises:
            FormatError: when a segment of the log is not there.
        """
        try:
            return self._looked_up(uid, ids, order, seen)
        except NotFound:
            # What is kept of the log is from before a compaction, and what that has merged is collected by now.
            self._known.pop(uid, None)
        try:
            return self._looked_up(uid, ids, order, seen)
        except NotFound as error:  # it must not pass for a dropped file that is gone
            raise FormatError("a segment of the log is not there", kind=ErrorKind.MALFORMED_FILE) from error

    def _looked_up(self, uid: str, ids: Ids, order: str, seen: int) -> Ids:
        known = self._known.setdefault(uid, _Known())
        known.read_on(self._catalog, uid)
        return known.newer(self._store, ids, order, seen)


def _read(store: ObjectStore, row: SegmentRow) -> list[Part]:
    if not row.ids_bytes:  # of an older release
        segment = decode_segment(store.get(row.key, max_bytes=limits.MAX_BLOCK_BYTES))
        ids = frozenset(name.encode() for name in segment.ids)
        return [Part(sequence=row.sequence, order=row.order, ids=ids)]
    data = store.get(locations.overwrites(row.key), max_bytes=limits.MAX_OVERWRITES_BYTES)
    whole = Part(sequence=row.sequence, order=row.order, ids=frozenset(decode_overwrites(data)))
    return decode_parts(data) or [whole]


def _waits() -> Iterator[float]:
    """Yields the seconds to wait after each attempt, with full jitter."""
    return (random.uniform(0, min(MAX_WAIT_S, 0.005 * 2**n)) for n in range(ATTEMPTS))  # noqa: S311 - jitter only
