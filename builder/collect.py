"""Garbage: what no version, no segment of the log and no running build needs any more, removed after a grace period.

Nothing is removed but what was written, or let go of, longer ago than anybody may still read or finish it. First a
version is taken out of the history, so that nobody can go back to it, then its objects go: a collection killed in
between finds them as what they are then, objects of no version.

    versions     the current one stays, the newest ones, those that were current within the grace period, and those
                 that have an alias
    segments     those of the log stay, for builds are made of them
    artefacts    of builds that have ended go, and of builds of which nothing was heard for the grace period
    batches      that requests wrote to the inbox go once they have been taken in and no event of them can come again
    collections  dropped ones go whole

What leaves a collection that stands is written down before (`builder.erasures`), so that it can be traced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from builder.erasures import record, record_removal, time_of
from shardlake.catalog.base import BuildState, Catalog, Pointer, Receipt, ReceiptState
from shardlake.errors import Conflict, NotFound
from shardlake.format import locations
from shardlake.format.erasures import Deed, Erasure
from shardlake.store.base import ObjectInfo, ObjectStore

KEEP_VERSIONS = 3  # the newest, whatever their age: the way back
GRACE = timedelta(days=1)  # longer than any query, build or delivery of an event lasts
# A dead letter can be delivered again for as long as the queue keeps it (template: 14 days), and finds what it wrote.
GRACE_OF_SEGMENTS = timedelta(days=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things are kept that nothing names any more."""

    versions: int = KEEP_VERSIONS
    grace: timedelta = GRACE
    segments: timedelta = GRACE_OF_SEGMENTS


DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed: versions by name, and objects."""

    versions: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0


def total(parts: Sequence[Collected]) -> Collected:
    """Returns what was removed in all."""
    return Collected(
        versions=tuple(version for part in parts for version in part.versions),
        objects=sum(part.objects for part in parts),
        bytes=sum(part.bytes for part in parts),
    )


@dataclass(frozen=True, slots=True)
class Collector:
    """Removes the garbage of collections.

    Args:
        now: the time of day.
    """

    store: ObjectStore
    catalog: Catalog
    now: datetime
    patience: Patience = DEFAULT_PATIENCE

    def collect(self, uid: str, name: str) -> Collected:
        """Removes the garbage of a collection that stands."""
        forgotten = self._forget_versions(uid)
        kept = {pointer.version for pointer in self.catalog.versions(uid)}
        # Listed before the log is read: what is added meanwhile is no garbage, and is too young anyway.
        objects = list(self.store.list(locations.collection_root(uid)))
        segments = {row.key.removesuffix(".seg") for row in self.catalog.segments(uid) if not row.is_mark}
        builds: dict[str, bool] = {}
        garbage = [info for info in objects if self._is_garbage(uid, info, kept, segments, builds)]
        garbage += self._taken_in(uid, name)
        record_removal(self.store, uid, garbage, time_of(self.now))
        return self._remove(garbage, forgotten)

    def collect_dropped(self) -> Collected:
        """Removes all that dropped collections have left, the objects before the rows that name them."""
        standing = {row.uid for row in self.catalog.list_collections()}
        dropped: dict[str, list[ObjectInfo]] = {}
        for info in self.store.list(locations.DATA_PREFIX):
            uid = locations.uid_of(info.key)
            if uid is not None and uid not in standing:
                dropped.setdefault(uid, []).append(info)
        garbage: list[ObjectInfo] = []
        batches = list(self.store.list(locations.INBOX_PREFIX)) if dropped else []
        for uid, objects in dropped.items():
            if all(self._is_older(info, self.patience.grace) for info in objects):
                objects += [info for info in batches if locations.is_batch_of(uid, info.key)]
                garbage += objects
                self._remove(objects, ())
                self.catalog.forget_collection(uid)
        return Collected(objects=len(garbage), bytes=sum(info.size_bytes for info in garbage))

    def _forget_versions(self, uid: str) -> tuple[str, ...]:
        pointer = self.catalog.pointer(uid)
        history = self.catalog.versions(uid)
        if pointer is None:
            return ()
        named = {pointer.version, *(alias.version for alias in self.catalog.aliases(uid))}
        old = history[: -self.patience.versions or None]
        going = [
            version
            for version in _superseded(old, history, self.now - self.patience.grace)
            if version.version not in named
        ]
        if going:
            places = tuple((version.version, version.through) for version in going)
            record(self.store, uid, Erasure(what=Deed.FORGOTTEN, at=time_of(self.now), versions=places))
        forgotten = []
        for version in going:
            try:
                self.catalog.forget_version(uid, version.version)
            except Conflict:  # it was gone back to at this moment, or an alias names it
                continue
            forgotten.append(version.version)
        return tuple(forgotten)

    def _taken_in(self, uid: str, name: str) -> list[ObjectInfo]:
        """Returns the batches of requests that are in the collection, or were another one's of the same name."""
        batches = self.store.list(locations.batches(name))
        old = [info for info in batches if self._is_older(info, self.patience.segments)]
        receipts = self.catalog.receipts(uid, [info.key for info in old])
        return [info for info in old if _is_done(info, receipts.get(info.key)) or _is_of_another(uid, info.key)]

    def _is_garbage(
        self, uid: str, info: ObjectInfo, versions: set[str], segments: set[str], builds: dict[str, bool]
    ) -> bool:
        place = locations.part_of(uid, info.key)
        if place is None:
            return False
        kind, name = place
        if kind == "versions":
            return name not in versions and self._is_older(info, self.patience.grace)
        if kind == "segments":
            return info.key.rpartition(".")[0] not in segments and self._is_older(info, self.patience.segments)
        if name not in builds:
            builds[name] = self._has_ended(uid, name)
        return kind == "builds" and (builds[name] or self._is_older(info, self.patience.grace))

    def _has_ended(self, uid: str, build_id: str) -> bool:
        try:
            return self.catalog.get_build(uid, build_id).state in {BuildState.DONE, BuildState.FAILED}
        except NotFound:
            return False

    def _is_older(self, info: ObjectInfo, grace: timedelta) -> bool:
        return info.written_at is not None and info.written_at <= self.now - grace

    def _remove(self, garbage: Sequence[ObjectInfo], versions: tuple[str, ...]) -> Collected:
        for info in garbage:
            self.store.delete(info.key)
        return Collected(versions=versions, objects=len(garbage), bytes=sum(info.size_bytes for info in garbage))


def _is_done(info: ObjectInfo, receipt: Receipt | None) -> bool:
    """Returns whether a file has been taken in since it was last written."""
    if receipt is None or receipt.state is not ReceiptState.DONE or info.written_at is None:
        return False
    return datetime.fromisoformat(receipt.finished_at) >= info.written_at


def _is_of_another(uid: str, key: str) -> bool:
    parsed = locations.parse_inbox(key)
    return parsed is not None and locations.is_for_another(uid, parsed[1])


def _superseded(candidates: Sequence[Pointer], history: Sequence[Pointer], before: datetime) -> Iterator[Pointer]:
    """Yields those of the candidates that another version followed before that time."""
    followed = {old.version: datetime.fromisoformat(new.committed_at) for old, new in pairwise(history)}
    return (version for version in candidates if followed.get(version.version, before) < before)
