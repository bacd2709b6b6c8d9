"""Catalogs that go wrong on purpose. They wrap any catalog and each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from shardlake.catalog.base import (
    Alias,
    BuildRow,
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
from shardlake.errors import CommitUnknown, ErrorKind, ShardlakeError, Unavailable

T = TypeVar("T")

WRITES = frozenset(
    {
        "create_collection",
        "drop_collection",
        "commit",
        "roll_back",
        "append",
        "compact",
        "put_receipt",
        "put_ledger",
        "put_build",
        "report_build",
    }
)


class WrappedCatalog:
    """A catalog that passes everything on. Faults override the two hooks, not the methods."""

    def __init__(self, inner: Catalog) -> None:
        self.inner = inner

    def before(self, operation: str) -> None:
        """Runs before an operation reaches the inner catalog; may raise."""

    def after(self, operation: str) -> None:
        """Runs after the inner catalog has done an operation; may raise, which loses the reply."""

    def create_collection(self, row: CollectionRow) -> tuple[CollectionRow, bool]:
        """Creates a collection."""
        return self._pass("create_collection", lambda: self.inner.create_collection(row))

    def get_collection(self, name: str) -> CollectionRow:
        """Returns a collection."""
        return self._pass("get_collection", lambda: self.inner.get_collection(name))

    def list_collections(self) -> list[CollectionRow]:
        """Returns all collections."""
        return self._pass("list_collections", self.inner.list_collections)

    def drop_collection(self, name: str) -> CollectionRow:
        """Takes a name away."""
        return self._pass("drop_collection", lambda: self.inner.drop_collection(name))

    def dropped_collections(self) -> list[CollectionRow]:
        """Lists dropped collections."""
        return self._pass("dropped_collections", self.inner.dropped_collections)

    def pointer(self, uid: str) -> Pointer | None:
        """Returns what is current."""
        return self._pass("pointer", lambda: self.inner.pointer(uid))

    def commit(self, uid: str, *, expected: str | None, pointer: Pointer, shards: Sequence[ShardRow]) -> None:
        """Moves the pointer."""
        self._pass("commit", lambda: self.inner.commit(uid, expected=expected, pointer=pointer, shards=shards))

    def roll_back(self, uid: str, *, expected: str, version: str) -> Pointer:
        """Moves the pointer back."""
        return self._pass("roll_back", lambda: self.inner.roll_back(uid, expected=expected, version=version))

    def shard_rows(self, uid: str, version: str) -> list[ShardRow]:
        """Returns a shard map."""
        return self._pass("shard_rows", lambda: self.inner.shard_rows(uid, version))

    def versions(self, uid: str) -> list[Pointer]:
        """Returns every committed version."""
        return self._pass("versions", lambda: self.inner.versions(uid))

    def aliases(self, uid: str) -> list[Alias]:
        """Returns every alias."""
        return self._pass("aliases", lambda: self.inner.aliases(uid))

    def set_alias(self, uid: str, alias: Alias, *, expected: str | None) -> None:
        """Gives an alias to a version."""
        self._pass("set_alias", lambda: self.inner.set_alias(uid, alias, expected=expected))

    def drop_alias(self, uid: str, alias: str, *, expected: str) -> None:
        """Removes an alias."""
        self._pass("drop_alias", lambda: self.inner.drop_alias(uid, alias, expected=expected))

    def log_head(self, uid: str) -> LogHead:
        """Returns the end of the log."""
        return self._pass("log_head", lambda: self.inner.log_head(uid))

    def append(self, uid: str, row: SegmentRow, *, head: LogHead) -> SegmentRow:
        """Adds a segment."""
        return self._pass("append", lambda: self.inner.append(uid, row, head=head))

    def compact(self, uid: str, rows: Sequence[SegmentRow], merged: SegmentRow) -> SegmentRow:
        """Merges segments."""
        return self._pass("compact", lambda: self.inner.compact(uid, rows, merged))

    def segments(self, uid: str, *, after: LogPosition = 0) -> list[SegmentRow]:
        """Returns segments."""
        return self._pass("segments", lambda: self.inner.segments(uid, after=after))

    def snapshot(self, uid: str) -> Snapshot:
        """Returns what a search sees."""
        return self._pass("snapshot", lambda: self.inner.snapshot(uid))

    def condemn_version(self, uid: str, version: str, at: str) -> None:
        """Condemns a version."""
        self._pass("condemn_version", lambda: self.inner.condemn_version(uid, version, at))

    def forget_version(self, uid: str, version: str) -> None:
        """Forgets a version."""
        self._pass("forget_version", lambda: self.inner.forget_version(uid, version))

    def forget_collection(self, uid: str) -> None:
        """Forgets a dropped collection."""
        self._pass("forget_collection", lambda: self.inner.forget_collection(uid))

    def put_receipt(self, uid: str, receipt: Receipt) -> None:
        """Records a receipt."""
        self._pass("put_receipt", lambda: self.inner.put_receipt(uid, receipt))

    def receipts(self, uid: str, sources: Sequence[str]) -> dict[str, Receipt]:
        """Returns receipts."""
        return self._pass("receipts", lambda: self.inner.receipts(uid, sources))

    def rejected_total(self, uid: str) -> int:
        """Returns how many items were rejected."""
        return self._pass("rejected_total", lambda: self.inner.rejected_total(uid))

    def ledger(self, uid: str, source: str) -> Ledger | None:
        """Returns how far a file is."""
        return self._pass("ledger", lambda: self.inner.ledger(uid, source))

    def put_ledger(self, uid: str, ledger: Ledger) -> None:
        """Writes how far a file is."""
        self._pass("put_ledger", lambda: self.inner.put_ledger(uid, ledger))

    def put_build(self, uid: str, row: BuildRow) -> None:
        """Writes a build's state."""
        self._pass("put_build", lambda: self.inner.put_build(uid, row))

    def report_build(self, uid: str, row: BuildRow) -> bool:
        """Writes how far a build is."""
        return self._pass("report_build", lambda: self.inner.report_build(uid, row))

    def get_build(self, uid: str, build_id: str) -> BuildRow:
        """Returns a build."""
        return self._pass("get_build", lambda: self.inner.get_build(uid, build_id))

    def _pass(self, operation: str, call: Callable[[], T]) -> T:
        self.before(operation)
        result = call()
        self.after(operation)
        return result


class FlakyCatalog(WrappedCatalog):
    """Is unavailable for the first `failures` of the named operations (all of them by default)."""

    def __init__(self, inner: Catalog, *, failures: int = 1, operations: frozenset[str] | None = None) -> None:
        super().__init__(inner)
        self.left = failures
        self._operations = operations

    def before(self, operation: str) -> None:
        """Raises Unavailable while failures are left."""
        if self._due(operation):
            raise Unavailable("the catalog is down for a moment", kind=ErrorKind.CATALOG_UNAVAILABLE)

    def _due(self, operation: str) -> bool:
        due = self.left > 0 and (self._operations is None or operation in self._operations)
        self.left -= due
        return due


class LostReplyCatalog(FlakyCatalog):
    """Does the first `failures` writes, then reports them as failed: CommitUnknown of what moves the pointer, else
    Unavailable."""

    def __init__(self, inner: Catalog, *, failures: int = 1, operations: frozenset[str] = WRITES) -> None:
        super().__init__(inner, failures=failures, operations=operations)

    def before(self, operation: str) -> None:
        """Lets every operation through."""

    def after(self, operation: str) -> None:
        """Loses the reply."""
        if self._due(operation):
            raise _lost(operation)


def _lost(operation: str) -> ShardlakeError:
    if operation in {"commit", "roll_back"}:
        return CommitUnknown("the reply to the commit was lost")
    return Unavailable("the reply was lost", kind=ErrorKind.CATALOG_UNAVAILABLE, operation=operation)
