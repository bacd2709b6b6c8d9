"""Where an item still lies, and what was done to remove it: every object of a collection is looked into.

Nothing is believed that can be looked up: an object holds an item where its own map of ids says so, and a record of
erasure counts where what it tells of has come to pass.

    segments     an item, or an id only: of a deletion, or of an item that was purged
    versions     the items of their shards
    artefacts    of builds, which copy items: not looked into, and gone soon after the build

Cost: a few small reads of each object. Objects come in pages, in the order of their keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

from builder.collect import DEFAULT_PATIENCE, Patience
from builder.erasures import time_of
from builder.ranged import RangedFile
from builder.survey import read_ids
from shardlake.catalog.base import Catalog
from shardlake.errors import FormatError, NotFound
from shardlake.format import locations
from shardlake.format.container import Extent
from shardlake.format.erasures import MAX_RECORD_BYTES, Deed, Digests, Erasure, decode_erasure, digest_of
from shardlake.format.overwrites import decode_overwrites
from shardlake.format.paged_map import PagedMap
from shardlake.format.shard import IDS, SHARD_KIND
from shardlake.limits import MAX_BLOCK_BYTES
from shardlake.store.base import ByteRange, ObjectInfo, ObjectStore

PAGE_OBJECTS = 500
MAX_RECORDS = 2_000  # the newest: of some years, where something is removed daily
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
class Step:
    """What was done: segments replaced, versions forgotten, objects removed, as `record` has it."""

    what: Deed
    at: str
    objects: tuple[str, ...]
    into: str | None
    versions: tuple[str, ...]
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One page of a trace.

    Attributes:
        steps: by time; on the first page only.
        batches: how many files of requests the inbox has, whose lines may be the item's. oldest_batch: RFC 3339.
        looked_through: objects of this page. next: `after` of the next page; None on the last.
    """

    holders: tuple[Holder, ...]
    steps: tuple[Step, ...]
    batches: int
    oldest_batch: str | None
    looked_through: int
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracer:
    """Traces items of one collection.

    Args:
        now: the time of day. patience: of the collection of garbage.
    """

    store: ObjectStore
    catalog: Catalog
    uid: str
    name: str
    now: datetime
    patience: Patience = DEFAULT_PATIENCE
    page_objects: int = PAGE_OBJECTS

    def trace(self, item_id: str, after: str | None = None) -> Trace:
        """Returns a page of what is found of an item.

        Args:
            after: the key behind which the page begins.

        Raises:
            Unavailable: when store or catalog failed for now.
        """
        listed = [info for info in self.store.list(locations.collection_root(self.uid)) if self._may_hold(info.key)]
        rest = [info for info in listed if after is None or info.key > after]
        page = rest[: self.page_objects]
        with ThreadPoolExecutor(PARALLEL) as pool:
            found = list(pool.map(partial(self._held, item_id), page))
            steps = self._steps(item_id, {info.key for info in listed}, pool) if after is None else ()
        why = _Why(self)
        batches = list(self.store.list(locations.batches(self.name))) if after is None else []
        written = [info.written_at for info in batches if info.written_at is not None]
        return Trace(
            holders=tuple(why.of(info, holds) for info, holds in zip(page, found, strict=True) if holds is not None),
            steps=steps,
            batches=len(batches),
            oldest_batch=time_of(min(written)) if written else None,
            looked_through=len(page),
            next=page[-1].key if len(rest) > len(page) else None,
        )

    def _may_hold(self, key: str) -> bool:
        place = locations.part_of(self.uid, key)
        if place is None:
            return False
        return place[0] == "builds" or key.endswith((".seg", ".ids", ".shard"))

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

    def _steps(self, item_id: str, standing: set[str], pool: ThreadPoolExecutor) -> tuple[Step, ...]:
        keys = [info.key for info in self.store.list(locations.erasures_root(self.uid))][-MAX_RECORDS:]
        told = list(pool.map(partial(self._told, digest_of(item_id)), keys))
        log = {row.key for row in self.catalog.segments(self.uid)}
        history = {version.version for version in self.catalog.versions(self.uid)}
        spans = [(record.begins, record.floor) for record, objects in told if record.into is not None and objects]
        versions = _forgotten([record for record, _ in told], spans, history)
        roots = tuple(locations.version_root(self.uid, version) for version in sorted(versions))
        steps = []
        for key, (record, objects) in zip(keys, told, strict=True):
            done = _done(record, objects, log, standing, roots)
            names = tuple(name for name, _ in record.versions if name in versions)
            if done or names:
                steps.append(
                    Step(what=record.what, at=record.at, objects=done, into=record.into, versions=names, record=key)
                )
        return tuple(steps)

    def _told(self, digest: Digests, key: str) -> tuple[Erasure, tuple[str, ...]]:
        """Returns a record without its ids, and its objects that had the item."""
        record = decode_erasure(self.store.get(key, max_bytes=MAX_RECORD_BYTES))
        return record.without_ids(), record.had(digest)


def _forgotten(records: Sequence[Erasure], spans: Sequence[tuple[int, int]], history: set[str]) -> set[str]:
    """Returns the versions, gone from the history, that may have had an item: they held the log as far as it was in."""
    return {
        name
        for record in records
        for name, through in record.versions
        if name not in history and any(begins <= through < floor for begins, floor in spans)
    }


def _done(
    record: Erasure, objects: tuple[str, ...], log: set[str], standing: set[str], roots: tuple[str, ...]
) -> tuple[str, ...]:
    """Returns the objects of a record that had the item, and to which it has been done what the record tells."""
    if record.what is Deed.REPLACED:
        return tuple(key for key in objects if key not in log)
    if record.what is Deed.REMOVED:
        of_versions = (key for key in record.objects if key.startswith(roots)) if roots else ()
        return tuple(key for key in dict.fromkeys((*objects, *of_versions)) if key not in standing)
    return ()


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
        kept_by, grace = self._kept_by(info.key), self._tracer.patience.grace
        if locations.part_of(self._tracer.uid, info.key) is not None and "/segments/" in info.key:
            grace = self._tracer.patience.segments
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
