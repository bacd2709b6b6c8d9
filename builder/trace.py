"""Where an item still lies, and what was done to remove it: every object of a collection is looked into.

Nothing is believed that can be looked up: an object holds an item where its own map of ids says so, and a record of
erasure counts where what it tells of has come to pass.

    segments     an item, or an id only: of a deletion, or of an item that was purged
    versions     the items of their shards
    artefacts    of builds, which copy items: not looked into, and gone soon after the build

Cost: a few small reads of each object. Objects come in pages, in the order of their keys; what was replaced between two
pages still stands at the next one, for it is not removed within a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import islice

from builder.collect import DEFAULT_PATIENCE, Patience
from builder.erasures import time_of
from builder.ranged import RangedFile
from builder.removal import is_looked_into
from builder.survey import read_ids
from builder.trace_steps import Past, past_of
from shardlake.catalog.base import Catalog
from shardlake.errors import FormatError, NotFound
from shardlake.format import locations
from shardlake.format.container import Extent
from shardlake.format.erasures import digest_of
from shardlake.format.overwrites import decode_overwrites
from shardlake.format.paged_map import PagedMap
from shardlake.format.shard import IDS, SHARD_KIND
from shardlake.limits import MAX_BLOCK_BYTES
from shardlake.store.base import ByteRange, ObjectInfo, ObjectStore

PAGE_OBJECTS = 500
PAGE_S = 8.0  # of looking into objects: the gateway waits 29 s
PARALLEL = 16


class Holds(StrEnum):
    """What of an item an object has."""

    ITEM = "item"
    ID = "id"
    UNKNOWN = "unknown"


class KeptBy(StrEnum):
    """Why an object is there."""

    LOG = "log"
    """Its segment is in the log."""
    CURRENT = "current"
    """Its version is the current one."""
    ALIAS = "alias"
    """An alias names its version."""
    HISTORY = "history"
    """Its version can be gone back to: it is among the newest, or was superseded not long ago."""
    BUILD = "build"
    """A build may still be using it."""
    GRACE = "grace"
    """Nothing: it goes when its time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An object that has something of an item. `until`: when it may go at the earliest, where that is known."""

    object: str
    holds: Holds
    kept_by: KeptBy
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """What is not looked into: files of requests, whose lines may be an item's.

    Attributes:
        batches: how many there are. oldest: when the oldest was written, RFC 3339.
        dropped: collections that had the name before, and of which not everything has been removed yet.
    """

    batches: int = 0
    oldest: str | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One page of a trace.

    Attributes:
        holders: objects of this page. looked_through: how many it is of. next: `after` of the next page; None on the
            last.
        past, beside: what was done, and what is not looked into; on the first page only.
    """

    holders: tuple[Holder, ...]
    looked_through: int
    next: str | None
    past: Past | None = None
    beside: Inbox | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracer:
    """Traces items of one collection.

    Args:
        now: the time of day. patience: of the collection of garbage.
        page_objects, page_s: bounds of a page. clock: seconds from any moment.
    """

    store: ObjectStore
    catalog: Catalog
    uid: str
    name: str
    now: datetime
    patience: Patience = DEFAULT_PATIENCE
    page_objects: int = PAGE_OBJECTS
    page_s: float = PAGE_S
    clock: Callable[[], float] = time.monotonic

    def trace(self, item_id: str, after: str | None = None) -> Trace:
        """Returns a page of what is found of an item.

        Args:
            after: the key behind which the page begins.

        Raises:
            Unavailable: when store or catalog failed for now.
        """
        first = None
        if after is None:
            first = past_of(self.store, self.catalog, self.uid, item_id), self._beside()
        page, found, is_last = self._page(item_id, after or "")
        why = _Why(self)
        return Trace(
            holders=tuple(why.of(info, holds) for info, holds in zip(page, found, strict=True) if holds is not None),
            looked_through=len(page),
            next=None if is_last else page[-1].key,
            past=first[0] if first else None,
            beside=first[1] if first else None,
        )

    def _page(self, item_id: str, after: str) -> tuple[list[ObjectInfo], list[Holds | None], bool]:
        """Returns the next objects, what each has of the item, and whether there are no more."""
        listed = self.store.list(locations.collection_root(self.uid), after=after)
        rest = islice((info for info in listed if self._may_hold(info)), self.page_objects)
        page: list[ObjectInfo] = []
        found: list[Holds | None] = []
        end_s = self.clock() + self.page_s
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="trace") as pool:
            while some := list(islice(rest, 2 * PARALLEL)):
                found += pool.map(partial(self._held, item_id), some)
                page += some
                if self.clock() >= end_s or len(page) == self.page_objects:
                    return page, found, False
        return page, found, True

    def _may_hold(self, info: ObjectInfo) -> bool:
        place = locations.part_of(self.uid, info.key)
        return place is not None and (place[0] == "builds" or is_looked_into(info))

    def _held(self, item_id: str, info: ObjectInfo) -> Holds | None:
        """Returns what an object has of an item; None where that is nothing."""
        try:
            if info.key.endswith(".seg"):
                return _in_segment(self.store, info.key, item_id)
            if info.key.endswith(".ids"):
                data = self.store.get(info.key, max_bytes=MAX_BLOCK_BYTES)
                return Holds.ID if item_id.encode() in decode_overwrites(data) else None
            if info.key.endswith(".shard"):
                return _in_shard(self.store, info.key, item_id)
        except NotFound:  # removed at this moment
            return None
        except FormatError:
            return Holds.UNKNOWN
        return Holds.UNKNOWN

    def _beside(self) -> Inbox:
        batches = list(self.store.list(locations.batches(self.name)))
        written = [info.written_at for info in batches if info.written_at is not None]
        standing = {row.uid for row in self.catalog.list_collections()}
        dropped = [row for row in self.catalog.dropped_collections() if row.name == self.name]
        return Inbox(
            batches=len(batches),
            oldest=time_of(min(written)) if written else None,
            dropped=sum(row.uid not in standing for row in dropped),
        )


class _Why:
    """Says of objects why they are there."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        pointer = tracer.catalog.pointer(tracer.uid)
        self._current = None if pointer is None else pointer.version
        self._history = {version.version for version in tracer.catalog.versions(tracer.uid)}
        self._named = {alias.version for alias in tracer.catalog.aliases(tracer.uid)}
        self._log = {row.key.removesuffix(".seg") for row in tracer.catalog.segments(tracer.uid)}

    def of(self, info: ObjectInfo, holds: Holds) -> Holder:
        """Returns the object as one that has something of an item."""
        kept_by, patience = self._kept_by(info.key), self._tracer.patience
        place = locations.part_of(self._tracer.uid, info.key)
        # A segment must be old enough, and then have been found to be garbage for as long again.
        grace = patience.segments + patience.grace if place and place[0] == "segments" else patience.grace
        goes = kept_by in {KeptBy.GRACE, KeptBy.BUILD} and info.written_at is not None
        until = time_of(info.written_at + grace) if goes and info.written_at is not None else None
        return Holder(object=info.key, holds=holds, kept_by=kept_by, until=until)

    def _kept_by(self, key: str) -> KeptBy:
        kind, name = locations.part_of(self._tracer.uid, key) or ("", "")
        if kind == "builds":
            return KeptBy.BUILD
        if kind == "segments":
            return KeptBy.LOG if key.rpartition(".")[0] in self._log else KeptBy.GRACE
        if name == self._current:
            return KeptBy.CURRENT
        if name in self._named:
            return KeptBy.ALIAS
        return KeptBy.HISTORY if name in self._history else KeptBy.GRACE


def _in_segment(store: ObjectStore, key: str, item_id: str) -> Holds | None:
    ids = read_ids(store, key)
    rows = (ids.digests == digest_of(item_id)).all(axis=1)
    if not rows.any():
        return None
    return Holds.ID if ids.deleted[rows].all() else Holds.ITEM


def _in_shard(store: ObjectStore, key: str, item_id: str) -> Holds | None:
    """Returns whether a shard has an item; UNKNOWN of a shard that older releases wrote, without a map of ids."""
    file = RangedFile(store, key, SHARD_KIND)
    names = [name for name in file.directory.blocks if name.startswith(f"{IDS}/")]
    if not names:
        return Holds.UNKNOWN
    index = PagedMap(dict(zip(names, file.arrays(*names), strict=True)), IDS)

    def read(extents: Sequence[Extent]) -> list[bytes]:
        return store.get_ranges(key, [ByteRange(each.offset, each.offset + each.bytes) for each in extents])

    return Holds.ITEM if index.find([item_id.encode()], read)[0] is not None else None
