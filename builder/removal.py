"""Removing objects: written down before where they may be traced, and many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from builder.erasures import record_removal
from shardlake.format.erasures import MAX_OBJECTS
from shardlake.store.base import ObjectInfo, ObjectStore

PARALLEL = 16
LOOKED_INTO = (".seg", ".ids", ".shard")  # what a trace can find an item in


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed: versions by name, and objects."""

    versions: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0

    def plus(self, other: Collected) -> Collected:
        """Returns what was removed in both."""
        return Collected(
            versions=self.versions + other.versions,
            objects=self.objects + other.objects,
            bytes=self.bytes + other.bytes,
        )


def is_looked_into(info: ObjectInfo) -> bool:
    """Returns whether a trace looks into an object. Such go last: nothing of an item stands that a trace has missed."""
    return info.key.endswith(LOOKED_INTO)


def remove_recorded(store: ObjectStore, uid: str, garbage: Sequence[ObjectInfo], at: str) -> Collected:
    """Removes objects of a collection in that order, each portion of them written down before."""
    removed = Collected()
    for start in range(0, len(garbage), MAX_OBJECTS):
        portion = garbage[start : start + MAX_OBJECTS]
        record_removal(store, uid, portion, at)
        first = [info for info in portion if not is_looked_into(info)]
        removed = removed.plus(remove(store, first))
        removed = removed.plus(remove(store, [info for info in portion if is_looked_into(info)]))
    return removed


def remove(store: ObjectStore, garbage: Sequence[ObjectInfo]) -> Collected:
    """Removes objects, in no order."""
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="removal") as pool:
        list(pool.map(store.delete, [info.key for info in garbage]))
    return Collected(objects=len(garbage), bytes=sum(info.size_bytes for info in garbage))
