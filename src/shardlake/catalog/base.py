"""The catalog port: which collections exist, and which version of each is current.

One pointer row a collection, moved by conditional write; everything it points to is immutable.
Adapters: `dynamodb.py`; in memory: `shardlake.testing.memory_catalog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from shardlake.catalog.ledger import Ledger
from shardlake.types import Summary

LogPosition: TypeAlias = int
"""A place in a collection's log of segments: 1 is the first, 0 stands before it."""

SizeBytes: TypeAlias = int

MAX_SEGMENTS_PER_COMPACTION = 96  # one transaction has at most 100 rows (AWS quotas, 2026-11)

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Ranges of log positions, first and last, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRow:
    """A collection as created. `uid` names its objects, so that a name dropped and taken again shares nothing.

    Attributes:
        body: the canonical JSON of the contract's collection object (sorted keys where order has no meaning).
        created_at: RFC 3339, UTC.
    """

    name: str
    uid: str
    body: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What is current, or one version of it. `version` looks like 000042-3f9c1a2b.

    Attributes:
        through: the version holds the log up to this position; what lies behind it is pending.
        skipped: what a rollback has set aside: neither this version nor one built on it has it.
        condemned_at: since when it is to be forgotten, where it is.
    """

    version: str
    manifest_key: str
    rows: int
    bytes: int
    shards: int
    committed_at: str
    build_id: str
    through: LogPosition = 0
    skipped: Ranges = ()
    condemned_at: str | None = None

    def has_pending(self, sequence: LogPosition) -> bool:
        """Returns whether a segment of the log is neither in this version nor set aside."""
        return sequence > self.through and not any(first <= sequence <= last for first, last in self.skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name that users give to a version, and may give to another one later. What it names is not collected."""

    alias: str
    version: str
    changed_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRow:
    """One row of the shard map of one version.

    Attributes:
        footer_offset: where the directory begins, so that the shard opens with one exact ranged read.
        lists: {space: (first list, one past the last)} in the numbering of that space's centroids.
        checksum: xxh3-64 of the whole object, hexadecimal.
        zone_maps: {attribute: [min, max]} over present values, for int, float, bool and datetime (as stored numbers),
            and for keyword (as strings). An attribute that is absent here cannot be pruned by; a catalog leaves the
            longest out when all together, with the summaries, are larger than limits.MAX_ZONE_MAPS_BYTES.
        summaries: {attribute: what else is known of its values}, likewise; a row of an older writer has none.
    """

    shard_id: int
    key: str
    bytes: int
    footer_offset: int
    checksum: str
    rows: int
    lists: dict[str, tuple[int, int]]
    zone_maps: dict[str, tuple[object, object]]
    summaries: dict[str, Summary] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRow:
    """What is known of a segment's delta: its live items as a small shard, searched until a version holds them.

    Attributes: as of a `ShardRow`.
    """

    rows: int
    bytes: int
    footer_offset: int
    checksum: str
    zone_maps: dict[str, tuple[object, object]]
    summaries: dict[str, Summary] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """An immutable batch of ingested items: searched as a delta until a build folds it into a version.

    Attributes:
        segment_id: names its objects.
        order: sorts segments by the time their source was written: of what arrives late, ingest leaves out the items
            that a segment of a later order has, before it adds the rest.
        rows: items and deletions.
        source: the key of the object it came from.
        sequence: its place in the log, where later wins for the same id; 0 before the log has it, and of segments that
            releases before 0.4 wrote, which go by `order`.
        first: the place of the first segment that this one has taken in; 0 where it has taken in none.
        identity: what a repetition of the same piece of work has too; None where that is the segment's id.
        ids_bytes: size of the file of the ids it overwrites.
        encoders: {space: digest of the encoder that made its vectors}.
        delta: None where no item of it lives.
    """

    segment_id: str
    order: str
    key: str
    rows: int
    bytes: int
    source: str
    created_at: str
    sequence: LogPosition = 0
    first: LogPosition = 0
    identity: str | None = None
    ids_bytes: SizeBytes = 0
    encoders: dict[str, str] = field(default_factory=dict)
    delta: DeltaRow | None = None

    @property
    def known_as(self) -> str:
        """What tells a repetition of the same work."""
        return self.identity or self.segment_id

    @property
    def is_mark(self) -> bool:
        """Whether it is no segment, but the place where a build has cut the log: nothing is merged across it."""
        return not self.key

    @property
    def begins(self) -> LogPosition:
        """The first place of the log that it stands for; the last is its `sequence`."""
        return self.first or self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The end of a collection's log. `newest` is the latest order of all its segments, empty before the first."""

    sequence: LogPosition = 0
    newest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a search sees: a version, None before the first build, and the segments pending, by sequence."""

    pointer: Pointer | None
    pending: tuple[SegmentRow, ...] = ()

    @property
    def sequence(self) -> LogPosition:
        """The last position of the log that it sees."""
        through = self.pointer.through if self.pointer else 0
        return self.pending[-1].sequence if self.pending else through


class ReceiptState(StrEnum):
    """What became of one dropped file."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The record that one object of the inbox was taken in, keyed by its key; the newest etag stands."""

    source: str
    etag: str
    state: ReceiptState
    accepted: int
    rejected: int
    finished_at: str
    error: str | None = None


AUTOMATIC = "auto-"
"""Ids of builds that began by themselves begin so."""


class BuildState(StrEnum):
    """States of a build."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """A build and how far it is. `progress` in [0, 1]; `error` is the contract's error object as JSON."""

    build_id: str
    state: BuildState
    progress: float
    stage: str
    version: str | None
    error: str | None
    created_at: str
    updated_at: str


class Catalog(Protocol):
    """Every method raises Unavailable (catalog-unavailable), Overloaded or Forbidden when the table does, and nothing
    foreign."""

    def create_collection(self, row: CollectionRow) -> tuple[CollectionRow, bool]:
        """Creates, or returns what stands: (row, created). Raises Conflict (name-taken) when the body differs."""

    def get_collection(self, name: str) -> CollectionRow:
        """Returns the collection or raises NotFound (collection-not-found). Strongly consistent."""

    def list_collections(self) -> list[CollectionRow]:
        """Returns all collections by name."""

    def drop_collection(self, name: str) -> CollectionRow:
        """Takes the name away; rows under its uid stay for collection. Raises NotFound."""

    def dropped_collections(self) -> list[CollectionRow]:
        """Returns the collections that were dropped, or are being dropped at this moment, and not forgotten yet."""

    def pointer(self, uid: str) -> Pointer | None:
        """Returns what is current, strongly consistent; None before the first build."""

    def commit(self, uid: str, *, expected: str | None, pointer: Pointer, shards: Sequence[ShardRow]) -> None:
        """Writes the shard map of `pointer.version`, then moves the pointer if it still is at `expected`.

        It must skip what `pointer` skips, too: a rollback there and back has set something aside meanwhile.

        A repetition with the same version after a lost reply is not an error.

        Raises:
            Conflict: commit-conflict, when another writer certainly moved the pointer.
            CommitUnknown: when the reply was lost and reading back failed too.
        """

    def roll_back(self, uid: str, *, expected: str, version: str) -> Pointer:
        """Makes a committed version current again if the pointer still is at `expected`; returns the pointer.

        What the log has got since the version was built is set aside: the pointer skips it. Where the version is
        current already, by whomever, that is no error: so a repetition after a lost reply is none.

        Raises:
            NotFound: version-not-found, when no such version was committed.
            Conflict: commit-conflict, when another writer certainly moved the pointer.
            CommitUnknown: when the reply was lost and reading back failed too.
        """

    def shard_rows(self, uid: str, version: str) -> list[ShardRow]:
        """Returns the shard map of one version, by shard_id."""

    def versions(self, uid: str) -> list[Pointer]:
        """Returns every committed version, oldest first."""

    def aliases(self, uid: str) -> list[Alias]:
        """Returns every alias, by name. Strongly consistent."""

    def set_alias(self, uid: str, alias: Alias, *, expected: str | None) -> None:
        """Gives an alias to a version if it still names the version `expected`; None: if there is none of its name.

        A repetition after a lost reply is no error.

        Raises:
            NotFound: version-not-found, when no such version stands.
            Conflict: commit-conflict, when another writer has changed or removed the alias.
        """

    def drop_alias(self, uid: str, alias: str, *, expected: str) -> None:
        """Removes an alias if it still names the version `expected`; one that is gone is no error.

        Raises:
            Conflict: commit-conflict, when it names another version by now.
        """

    def log_head(self, uid: str) -> LogHead:
        """Returns the end of the log. Strongly consistent: a segment is behind it or was added before."""

    def append(self, uid: str, row: SegmentRow, *, head: LogHead) -> SegmentRow:
        """Adds a segment to the log, behind `head`; returns it with its sequence.

        A repetition, by whomever, is no error and returns the row that stands.

        Raises:
            Conflict: commit-conflict, when the log has certainly gone on since `head` was read.
        """

    def compact(self, uid: str, rows: Sequence[SegmentRow], merged: SegmentRow) -> SegmentRow:
        """Replaces segments that follow one another in the log by one that says the same; returns it as it stands.

        It takes the place of the last one. A repetition is no error.

        Args:
            uid: of the collection.
            rows: 2 to MAX_SEGMENTS_PER_COMPACTION of the log, as they were read.
            merged: what they are together.

        Raises:
            Conflict: commit-conflict, when one of them is certainly not there any more.
        """

    def segments(self, uid: str, *, after: LogPosition = 0) -> list[SegmentRow]:
        """Returns the segments of the log behind a position, by sequence; from the beginning, those that older releases
        wrote come first, by (order, segment_id). Strongly consistent."""

    def snapshot(self, uid: str) -> Snapshot:
        """Returns the pointer and what is pending. Every segment added before the call is in one of them or set aside.

        Cost: one consistent query, of as many rows as are pending.
        """

    def condemn_version(self, uid: str, version: str, at: str) -> None:
        """Notes since when a version is to be forgotten. An alias that is set to it, or a rollback, strikes that out.

        Args:
            at: RFC 3339; where it is condemned already, the earlier time stands.

        Raises:
            Conflict: commit-conflict, when it is current, an alias names it, or it is none.
        """

    def forget_version(self, uid: str, version: str) -> None:
        """Takes a version out of the history, with its shard map; no error where it is none.

        Raises:
            Conflict: commit-conflict, when it is current, or an alias names it.
        """

    def forget_collection(self, uid: str) -> None:
        """Removes every row of an incarnation of a collection that was dropped."""

    def put_receipt(self, uid: str, receipt: Receipt) -> None:
        """Records what became of one dropped file."""

    def receipts(self, uid: str, sources: Sequence[str]) -> dict[str, Receipt]:
        """Returns the receipts there are for the given source keys."""

    def rejected_total(self, uid: str) -> int:
        """Returns how many items of all files have been rejected."""

    def ledger(self, uid: str, source: str) -> Ledger | None:
        """Returns how far a file is that is taken in by parts; None where it never was. Strongly consistent."""

    def put_ledger(self, uid: str, ledger: Ledger) -> None:
        """Writes a ledger where the one that stands has the revision before its own; none stands before the first.

        Raises:
            Conflict: commit-conflict, when another one stands: another writer's, or this one, whose reply was lost.
        """

    def put_build(self, uid: str, row: BuildRow) -> None:
        """Writes the state of a build."""

    def report_build(self, uid: str, row: BuildRow) -> bool:
        """Writes how far a build is, unless it has ended or is told to be further; returns whether it did.

        So the steps of one build may tell their progress at once: none takes it back, and none undoes an end.
        """

    def get_build(self, uid: str, build_id: str) -> BuildRow:
        """Returns a build or raises NotFound (build-not-found)."""
