"""The catalog port: which collections exist, and which version of each is current.

One pointer row a collection, moved by conditional write; everything it points to is immutable.
Adapters: `dynamodb.py`; in memory: `shardlake.testing.memory_catalog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from shardlake.types import Summary


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
    """What is current. `version` looks like 000042-3f9c1a2b."""

    version: str
    manifest_key: str
    rows: int
    bytes: int
    shards: int
    committed_at: str
    build_id: str


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
class SegmentRow:
    """An immutable batch of ingested items that a build will fold in.

    Attributes:
        order: sorts segments by the time their source was written; later wins for the same id.
        source: the key of the object it came from.
    """

    segment_id: str
    order: str
    key: str
    rows: int
    bytes: int
    source: str
    created_at: str


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

    def pointer(self, uid: str) -> Pointer | None:
        """Returns what is current, strongly consistent; None before the first build."""

    def commit(self, uid: str, *, expected: str | None, pointer: Pointer, shards: Sequence[ShardRow]) -> None:
        """Writes the shard map of `pointer.version`, then moves the pointer if it still is at `expected`.

        A repetition with the same version after a lost reply is not an error.

        Raises:
            Conflict: commit-conflict, when another writer certainly moved the pointer.
            CommitUnknown: when the reply was lost and reading back failed too.
        """

    def roll_back(self, uid: str, *, expected: str, version: str) -> Pointer:
        """Makes a committed version current again if the pointer still is at `expected`; returns it.

        Where it is current already, by whomever, that is no error: so a repetition after a lost reply is none.

        Raises:
            NotFound: version-not-found, when no such version was committed.
            Conflict: commit-conflict, when another writer certainly moved the pointer.
            CommitUnknown: when the reply was lost and reading back failed too.
        """

    def shard_rows(self, uid: str, version: str) -> list[ShardRow]:
        """Returns the shard map of one version, by shard_id."""

    def versions(self, uid: str) -> list[Pointer]:
        """Returns every committed version, oldest first."""

    def add_segment(self, uid: str, row: SegmentRow) -> bool:
        """Adds the segment; False where it stands already."""

    def segments(self, uid: str) -> list[SegmentRow]:
        """Returns all segments by (order, segment_id). Strongly consistent."""

    def put_receipt(self, uid: str, receipt: Receipt) -> None:
        """Records what became of one dropped file."""

    def receipts(self, uid: str, sources: Sequence[str]) -> dict[str, Receipt]:
        """Returns the receipts there are for the given source keys."""

    def rejected_total(self, uid: str) -> int:
        """Returns how many items of all files have been rejected."""

    def put_build(self, uid: str, row: BuildRow) -> None:
        """Writes the state of a build."""

    def get_build(self, uid: str, build_id: str) -> BuildRow:
        """Returns a build or raises NotFound (build-not-found)."""
