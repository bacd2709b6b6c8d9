"""What was done to remove an item, told by the records of erasure, of those deeds that have come to pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from builder.ranged import RangedFile
from shardlake.catalog.base import Catalog
from shardlake.errors import FormatError, NotFound
from shardlake.format import locations
from shardlake.format.erasures import ERASURE_KIND, Deed, Digests, Erasure, decode_erasure, digest_of, window
from shardlake.store.base import ObjectStore

MAX_RECORDS = 2_000  # the newest
PARALLEL = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was done: segments replaced, versions forgotten, objects removed, as `record` has it.

    Attributes:
        objects: segments that had the item; of versions that may have had it what all their keys begin with.
        into: what took the place of the segments. versions: names.
    """

    what: Deed
    at: str
    objects: tuple[str, ...] = ()
    into: str | None = None
    versions: tuple[str, ...] = ()
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was done, by time.

    Attributes:
        since: the time of the oldest record that was read, where there are older ones; else None.
        unreadable: how many records could not be read.
    """

    steps: tuple[Step, ...] = ()
    since: str | None = None
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class _Told:
    """A record without its ids, its key, and its objects that had the item."""

    record: Erasure
    key: str
    had: tuple[str, ...]


def past_of(store: ObjectStore, catalog: Catalog, uid: str, item_id: str) -> Past:
    """Returns what was done to remove an item.

    Raises:
        Unavailable: when store or catalog failed for now.

    Cost: a listing of the collection, and two or three small reads a record.
    """
    keys = [info.key for info in store.list(locations.erasures_root(uid))]
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="past") as pool:
        read = list(pool.map(partial(_read, store, digest_of(item_id)), keys[-MAX_RECORDS:]))
    told = [one for one in read if one is not None]
    standing = {info.key for info in store.list(locations.collection_root(uid))}
    log = {row.key for row in catalog.segments(uid)}
    history = {version.version for version in catalog.versions(uid)}
    versions = _forgotten(told, history)
    roots = {locations.version_root(uid, version) for version in versions}
    steps = _steps(told, _Now(log, standing, versions, roots))
    left_out = len(keys) > MAX_RECORDS and told
    return Past(steps=steps, since=told[0].record.at if left_out else None, unreadable=len(read) - len(told))


@dataclass(frozen=True, slots=True)
class _Now:
    """What there is: the log, all objects; and what is gone: versions that may have had the item, and their roots."""

    log: Collection[str]
    standing: Collection[str]
    versions: Collection[str]
    roots: Collection[str]


def _steps(told: Sequence[_Told], now: _Now) -> tuple[Step, ...]:
    """Returns the steps by time. What several records tell of was done by the last: the others did not come to it."""
    steps: list[Step] = []
    known: set[tuple[Deed, str]] = set()
    for one in reversed(told):
        what = one.record.what
        done = [each for each in _done(one, now) if (what, each) not in known]
        known.update((what, each) for each in done)
        if done:
            objects, versions = ((), done) if what is Deed.FORGOTTEN else (done, ())
            steps.append(
                Step(
                    what=what,
                    at=one.record.at,
                    objects=tuple(objects),
                    into=one.record.into,
                    versions=tuple(versions),
                    record=one.key,
                )
            )
    return tuple(reversed(steps))


def _done(one: _Told, now: _Now) -> Iterable[str]:
    """Returns what a record tells of an item, and has come to pass."""
    if one.record.what is Deed.FORGOTTEN:
        return [name for name, _ in one.record.versions if name in now.versions]
    if one.record.what is Deed.REPLACED:
        return [key for key in one.had if key not in now.log]
    of_versions = {root for root in now.roots if any(key.startswith(root) for key in one.record.objects)}
    left = {root for root in of_versions if any(key.startswith(root) for key in now.standing)}
    return [*(key for key in one.had if key not in now.standing), *sorted(of_versions - left)]


def _forgotten(told: Sequence[_Told], history: Collection[str]) -> set[str]:
    """Returns the versions, gone from the history, that may have had an item: they held the log as far as it was in."""
    spans = [(one.record.begins, one.record.floor) for one in told if one.record.what is Deed.REPLACED and one.had]
    return {
        name
        for one in told
        for name, through in one.record.versions
        if name not in history and any(begins <= through < floor for begins, floor in spans)
    }


def _read(store: ObjectStore, digest: Digests, key: str) -> _Told | None:
    """Returns a record, of its ids those near the one that is looked for; None where it cannot be read."""
    try:
        file = RangedFile(store, key, ERASURE_KIND)
        rows = file.directory.block("id").shape[0]
        first, last = window(digest, rows)
        ids = file.rows("id", first, last)
        is_between = not len(ids) or (
            (first == 0 or ids[0, 0] < digest[0]) and (last == rows or ids[-1, 0] > digest[0])
        )
        if is_between:
            record = decode_erasure(file.meta, ids, file.rows("of", first, last))
        else:
            record = decode_erasure(file.meta, file.array("id"), file.array("of"))
    except (FormatError, NotFound):
        return None
    return _Told(record.without_ids(), key, record.had(digest))
