"""Garbage: what no version, no segment of the log and no running build needs any more, removed after a grace period.

Nothing is removed but what was let go of longer ago than anybody may still read or finish it. First a version is taken
out of the history, so that nobody can go back to it, then its objects go: a collection killed in between finds them as
what they are then, objects of no version.

    versions     the current one stays, the newest ones, those that were current within the grace period, and those
                 that have an alias; the others are condemned, and forgotten when they have been for the grace period
    segments     those of the log stay, for builds are made of them; the others go when they are old enough, a grace
                 period after a collection has first found them so
    artefacts    of builds that have ended go, and of builds of which nothing was heard for the grace period
    batches      that requests wrote to the inbox go once they have been taken in and no event of them can come again
    collections  dropped ones go whole: `builder.dropped`

What leaves a collection that stands is written down before (`builder.erasures`), so that it can be traced; and what a
trace looks into goes last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from builder.erasures import record, time_of
from builder.removal import Collected, is_looked_into, remove, remove_recorded
from builder.waiting import Waiting
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


@dataclass(frozen=True, slots=True)
class Collector:
    """Removes the garbage of collections that stand.

    Args:
        now: the time of day.
    """

    store: ObjectStore
    catalog: Catalog
    now: datetime
    patience: Patience = DEFAULT_PATIENCE

    def collect(self, uid: str, name: str) -> Collected:
        """Removes the garbage of a collection."""
        forgotten = self._forget_versions(uid)
        kept = {pointer.version for pointer in self.catalog.versions(uid)}
        # Listed before the log is read: what is added meanwhile is no garbage, and is too young anyway.
        objects = list(self.store.list(locations.collection_root(uid)))
        segments = {row.key.removesuffix(".seg") for row in self.catalog.segments(uid) if not row.is_mark}
        builds: dict[str, bool] = {}
        garbage = [info for info in objects if self._is_garbage(uid, info, kept, segments, builds)]
        garbage = self._let_go(uid, garbage)
        for version in {place[1] for info in garbage if (place := _version_of(uid, info.key))}:
            self.catalog.forget_version(uid, version)  # a kill may have left its shard map
        traced = [info for info in garbage if not _is_artefact(uid, info.key)]
        removed = remove_recorded(self.store, uid, sorted(traced, key=is_looked_into), time_of(self.now))
        rest = [info for info in garbage if _is_artefact(uid, info.key)] + self._taken_in(uid, name)
        return removed.plus(remove(self.store, rest)).plus(Collected(versions=forgotten))

    def _forget_versions(self, uid: str) -> tuple[str, ...]:
        pointer = self.catalog.pointer(uid)
        history = self.catalog.versions(uid)
        if pointer is None:
            return ()
        named = {pointer.version, *(alias.version for alias in self.catalog.aliases(uid))}
        old = history[: -self.patience.versions or None]
        condemned = [
            version
            for version in _superseded(old, history, self.now - self.patience.grace)
            if version.version not in named and self._is_condemned(uid, version)
        ]
        if condemned:
            places = tuple((version.version, version.through) for version in condemned)
            record(self.store, uid, Erasure(what=Deed.FORGOTTEN, at=time_of(self.now), versions=places))
        return tuple(version.version for version in condemned if self._forget(uid, version.version))

    def _is_condemned(self, uid: str, version: Pointer) -> bool:
        """Returns whether a version has been condemned for long enough; condemns it where it is not."""
        since = version.condemned_at or time_of(self.now)
        if version.condemned_at is None:
            try:
                self.catalog.condemn_version(uid, version.version, since)
            except Conflict:  # it was gone back to at this moment, or an alias names it
                return False
        return datetime.fromisoformat(since) <= self.now - self.patience.grace

    def _forget(self, uid: str, version: str) -> bool:
        try:
            self.catalog.forget_version(uid, version)
        except Conflict:  # likewise
            return False
        return True

    def _let_go(self, uid: str, garbage: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Returns the garbage without segments that no collection has found to be such for long enough."""
        waiting = Waiting(self.store, uid)
        names = {name for info in garbage if (name := _segment_of(uid, info.key)) is not None}
        since = waiting.since(names, self.now)
        gone = {name for name, at in since.items() if at <= self.now - self.patience.grace}
        return [info for info in garbage if (name := _segment_of(uid, info.key)) is None or name in gone]

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


def _version_of(uid: str, key: str) -> tuple[str, str] | None:
    place = locations.part_of(uid, key)
    return place if place is not None and place[0] == "versions" else None


def _segment_of(uid: str, key: str) -> str | None:
    """Returns the segment that an object is of, None where it is of none."""
    place = locations.part_of(uid, key)
    return place[1].partition(".")[0] if place is not None and place[0] == "segments" else None


def _is_artefact(uid: str, key: str) -> bool:
    place = locations.part_of(uid, key)
    return place is not None and place[0] == "builds"


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
