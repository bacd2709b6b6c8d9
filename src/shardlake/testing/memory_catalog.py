"""The catalog in memory: the same laws as DynamoDB, held to them by the same contract suite."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shardlake.catalog.base import (
    Alias,
    BuildRow,
    BuildState,
    Catalog,
    CollectionRow,
    LogHead,
    LogPosition,
    Pointer,
    Receipt,
    SegmentRow,
    ShardRow,
    Snapshot,
)
from shardlake.catalog.ledger import Ledger
from shardlake.catalog.log import (
    alias_has_moved,
    grown,
    in_place_of,
    is_current,
    is_gone,
    is_held,
    is_pending,
    no_version,
    set_aside,
)
from shardlake.catalog.rows import bounded
from shardlake.errors import Conflict, ErrorKind, NotFound


@dataclass(slots=True)
class _Incarnation:
    """What stands under one uid."""

    pointer: Pointer | None = None
    versions: dict[str, Pointer] = field(default_factory=dict)
    shards: dict[str, dict[int, ShardRow]] = field(default_factory=dict)
    log: list[SegmentRow] = field(default_factory=list)
    head: LogHead = field(default_factory=LogHead)
    known: dict[str, int] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    builds: dict[str, BuildRow] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)

    def refuse_to_take_away(self, version: str) -> None:
        """Raises Conflict where a version is current, or an alias names it."""
        if self.pointer is not None and self.pointer.version == version:
            raise is_current(version)
        if any(alias.version == version for alias in self.aliases.values()):
            raise is_held(version)


class MemoryCatalog:
    """Rows in dictionaries under one lock, so that every method is atomic."""

    def __init__(self) -> None:
        self._collections: dict[str, CollectionRow] = {}
        self._by_uid: dict[str, _Incarnation] = {}
        self._dropped: dict[str, CollectionRow] = {}
        self._lock = threading.RLock()

    def create_collection(self, row: CollectionRow) -> tuple[CollectionRow, bool]:
        """Creates, or returns what stands."""
        with self._lock:
            standing = self._collections.setdefault(row.name, row)
        if standing.body != row.body:
            raise Conflict(
                "a collection of this name has another schema", kind=ErrorKind.NAME_TAKEN, collection=row.name
            )
        return standing, standing.uid == row.uid

    def get_collection(self, name: str) -> CollectionRow:
        """Returns the collection of that name."""
        with self._lock:
            return _standing(self._collections.get(name), name)

    def list_collections(self) -> list[CollectionRow]:
        """Returns all collections by name."""
        with self._lock:
            return [self._collections[name] for name in sorted(self._collections)]

    def drop_collection(self, name: str) -> CollectionRow:
        """Takes the name away; rows under its uid stay."""
        with self._lock:
            row = _standing(self._collections.pop(name, None), name)
            self._dropped[row.uid] = row
            return row

    def dropped_collections(self) -> list[CollectionRow]:
        """Returns the collections that were dropped and not forgotten yet."""
        with self._lock:
            return [row for _, row in sorted(self._dropped.items())]

    def pointer(self, uid: str) -> Pointer | None:
        """Returns what is current."""
        with self._lock:
            return self._of(uid).pointer

    def commit(self, uid: str, *, expected: str | None, pointer: Pointer, shards: Sequence[ShardRow]) -> None:
        """Writes the shard map and moves the pointer if it still is at `expected`."""
        with self._lock:
            rows = self._of(uid)
            landed = rows.versions.get(pointer.version)
            if landed is not None and landed.build_id == pointer.build_id:
                return
            current = rows.pointer.version if rows.pointer else None
            skips_alike = rows.pointer is None or rows.pointer.skipped == pointer.skipped
            if landed is not None or current != expected or not skips_alike:
                raise _moved(expected, pointer.version)
            rows.shards[pointer.version] = {row.shard_id: bounded(row) for row in shards}
            rows.versions[pointer.version] = pointer
            rows.pointer = pointer

    def roll_back(self, uid: str, *, expected: str, version: str) -> Pointer:
        """Makes a committed version current again if the pointer still is at `expected`."""
        with self._lock:
            rows = self._of(uid)
            target = rows.versions.get(version)
            if target is None:
                raise no_version(version)
            current = rows.pointer.version if rows.pointer else None
            if current not in {expected, version}:
                raise _moved(expected, version)
            if current != version:
                rows.versions[version] = replace(target, condemned_at=None)
                rows.pointer = set_aside(rows.versions[version], rows.head)
            assert rows.pointer is not None
            return rows.pointer

    def shard_rows(self, uid: str, version: str) -> list[ShardRow]:
        """Returns the shard map of one version, by shard_id."""
        with self._lock:
            rows = self._of(uid).shards.get(version, {})
            return [rows[shard_id] for shard_id in sorted(rows)]

    def versions(self, uid: str) -> list[Pointer]:
        """Returns every committed version, oldest first."""
        with self._lock:
            return [pointer for _, pointer in sorted(self._of(uid).versions.items())]

    def aliases(self, uid: str) -> list[Alias]:
        """Returns every alias, by name."""
        with self._lock:
            return [alias for _, alias in sorted(self._of(uid).aliases.items())]

    def set_alias(self, uid: str, alias: Alias, *, expected: str | None) -> None:
        """Gives an alias to a version if it still names the one expected."""
        with self._lock:
            rows = self._of(uid)
            standing = rows.aliases.get(alias.alias)
            if standing == alias:
                return
            if alias.version not in rows.versions:
                raise no_version(alias.version)
            if (standing.version if standing else None) != expected:
                raise alias_has_moved(alias.alias)
            rows.aliases[alias.alias] = alias
            rows.versions[alias.version] = replace(rows.versions[alias.version], condemned_at=None)

    def drop_alias(self, uid: str, alias: str, *, expected: str) -> None:
        """Removes an alias if it still names the version expected."""
        with self._lock:
            aliases = self._of(uid).aliases
            if alias in aliases and aliases[alias].version != expected:
                raise alias_has_moved(alias)
            aliases.pop(alias, None)

    def log_head(self, uid: str) -> LogHead:
        """Returns the end of the log."""
        with self._lock:
            return self._of(uid).head

    def append(self, uid: str, row: SegmentRow, *, head: LogHead) -> SegmentRow:
        """Adds a segment behind `head`."""
        with self._lock:
            rows = self._of(uid)
            if row.known_as in rows.known:
                return next(one for one in rows.log if one.sequence >= rows.known[row.known_as])
            if rows.head.sequence != head.sequence:
                raise Conflict("another segment was added to the log", sequence=head.sequence + 1)
            rows.log.append(replace(row, sequence=head.sequence + 1))
            rows.head = grown(head, row)
            rows.known[row.known_as] = rows.head.sequence
            return rows.log[-1]

    def compact(self, uid: str, rows: Sequence[SegmentRow], merged: SegmentRow) -> SegmentRow:
        """Replaces segments of the log by one."""
        with self._lock:
            of_uid, added = self._of(uid), in_place_of(rows, merged)
            standing = {one.sequence: one for one in of_uid.log}
            if (last := standing.get(added.sequence)) is not None and last.segment_id == merged.segment_id:
                return last
            if any(standing.get(row.sequence) != row for row in rows):
                raise Conflict("the log has been compacted by another", sequence=added.sequence)
            gone = {row.sequence for row in rows}
            of_uid.log = sorted(
                [*(one for one in of_uid.log if one.sequence not in gone), added], key=lambda one: one.sequence
            )
            return added

    def segments(self, uid: str, *, after: LogPosition = 0) -> list[SegmentRow]:
        """Returns the segments of the log behind a position, by sequence."""
        with self._lock:
            return [row for row in self._of(uid).log if row.sequence > after]

    def snapshot(self, uid: str) -> Snapshot:
        """Returns the pointer and what is pending."""
        with self._lock:
            rows = self._of(uid)
            pending = tuple(row for row in rows.log if is_pending(rows.pointer, row))
            return Snapshot(pointer=rows.pointer, pending=pending)

    def condemn_version(self, uid: str, version: str, at: str) -> None:
        """Notes since when a version is to be forgotten."""
        with self._lock:
            rows = self._of(uid)
            rows.refuse_to_take_away(version)
            if version not in rows.versions:
                raise is_gone(version)
            standing = rows.versions[version]
            rows.versions[version] = replace(standing, condemned_at=standing.condemned_at or at)

    def forget_version(self, uid: str, version: str) -> None:
        """Takes a version out of the history."""
        with self._lock:
            rows = self._of(uid)
            rows.refuse_to_take_away(version)
            rows.versions.pop(version, None)
            rows.shards.pop(version, None)

    def forget_collection(self, uid: str) -> None:
        """Removes every row of a uid."""
        with self._lock:
            self._by_uid.pop(uid, None)
            self._dropped.pop(uid, None)

    def put_receipt(self, uid: str, receipt: Receipt) -> None:
        """Records what became of one dropped file."""
        with self._lock:
            self._of(uid).receipts[receipt.source] = receipt

    def receipts(self, uid: str, sources: Sequence[str]) -> dict[str, Receipt]:
        """Returns the receipts there are for the given source keys."""
        with self._lock:
            found = self._of(uid).receipts
            return {source: found[source] for source in sources if source in found}

    def rejected_total(self, uid: str) -> int:
        """Returns how many items of all files have been rejected."""
        with self._lock:
            return sum(receipt.rejected for receipt in self._of(uid).receipts.values())

    def ledger(self, uid: str, source: str) -> Ledger | None:
        """Returns how far a file is."""
        with self._lock:
            return self._of(uid).ledgers.get(source)

    def put_ledger(self, uid: str, ledger: Ledger) -> None:
        """Writes a ledger where the one that stands has the revision before."""
        with self._lock:
            ledgers = self._of(uid).ledgers
            standing = ledgers.get(ledger.source)
            if (standing.revision if standing else 0) != ledger.revision - 1:
                raise Conflict("another ledger stands", kind=ErrorKind.COMMIT_CONFLICT, revision=ledger.revision)
            ledgers[ledger.source] = ledger

    def put_build(self, uid: str, row: BuildRow) -> None:
        """Writes the state of a build."""
        with self._lock:
            self._of(uid).builds[row.build_id] = row

    def report_build(self, uid: str, row: BuildRow) -> bool:
        """Writes how far a build is, unless it has ended or is further; returns whether it did."""
        with self._lock:
            builds = self._of(uid).builds
            standing = builds.get(row.build_id)
            has_ended = standing is not None and standing.state in {BuildState.DONE, BuildState.FAILED}
            if has_ended or (standing is not None and standing.progress > row.progress):
                return False
            builds[row.build_id] = row
            return True

    def get_build(self, uid: str, build_id: str) -> BuildRow:
        """Returns a build."""
        with self._lock:
            row = self._of(uid).builds.get(build_id)
        if row is None:
            raise NotFound("there is no such build", kind=ErrorKind.BUILD_NOT_FOUND, build_id=build_id)
        return row

    def _of(self, uid: str) -> _Incarnation:
        return self._by_uid.setdefault(uid, _Incarnation())


def add_segment(catalog: Catalog, uid: str, row: SegmentRow) -> SegmentRow:
    """Adds a segment wherever the log ends by then; returns it with its sequence."""
    while True:
        try:
            return catalog.append(uid, row, head=catalog.log_head(uid))
        except Conflict:  # others add as well
            continue


def _moved(expected: str | None, version: str) -> Conflict:
    return Conflict(
        "another writer moved the pointer", kind=ErrorKind.COMMIT_CONFLICT, expected=expected, version=version
    )


def _standing(row: CollectionRow | None, name: str) -> CollectionRow:
    if row is None:
        raise NotFound("there is no such collection", kind=ErrorKind.COLLECTION_NOT_FOUND, collection=name)
    return row
