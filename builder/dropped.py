"""Dropped collections: all that they have left goes, what requests wrote to the inbox for them included.

The last object goes when the rows are forgotten, and the rows when all others are gone: killed anywhere, the next one
finds what is left by one or the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from builder.removal import Collected, remove
from shardlake.catalog.base import Catalog
from shardlake.format import locations
from shardlake.store.base import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class DroppedCollector:
    """Removes what dropped collections have left.

    Args:
        now: the time of day. grace: how long ago all of it must have been written.
    """

    store: ObjectStore
    catalog: Catalog
    now: datetime
    grace: timedelta

    def collect(self) -> Collected:
        """Removes all that is old enough. Cost: a listing of all data, and of the inboxes of what was dropped."""
        # Listed before those that stand are: one that is created meanwhile is among neither.
        left: dict[str, list[ObjectInfo]] = {}
        for info in self.store.list(locations.DATA_PREFIX):
            if (uid := locations.uid_of(info.key)) is not None:
                left.setdefault(uid, []).append(info)
        names = {row.uid: row.name for row in self.catalog.dropped_collections()}
        standing = {row.uid for row in self.catalog.list_collections()}
        removed = Collected()
        for uid in sorted({*left, *names} - standing):
            # Of one that an older release dropped nobody knows the name.
            inbox = locations.batches(names[uid]) if uid in names else locations.INBOX_PREFIX
            batches = [info for info in self.store.list(inbox) if locations.is_batch_of(uid, info.key)]
            if all(self._is_old(info) for info in [*left.get(uid, ()), *batches]):
                removed = removed.plus(self._remove(uid, batches, left.get(uid, ())))
        return removed

    def _remove(self, uid: str, batches: Sequence[ObjectInfo], objects: Sequence[ObjectInfo]) -> Collected:
        removed = remove(self.store, [*batches, *objects[:-1]])
        self.catalog.forget_collection(uid)
        return removed.plus(remove(self.store, objects[-1:]))

    def _is_old(self, info: ObjectInfo) -> bool:
        return info.written_at is not None and info.written_at <= self.now - self.grace
