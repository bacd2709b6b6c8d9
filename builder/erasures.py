"""Writing down what is about to be replaced or removed: records of erasure, kept as long as the collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np

from builder.survey import read_ids
from shardlake.errors import FormatError, NotFound
from shardlake.format import locations
from shardlake.format.erasures import MAX_IDS, MAX_OBJECTS, Deed, Digests, Erasure, encode_erasure
from shardlake.store.base import ObjectInfo, ObjectStore


def time_of(now: datetime) -> str:
    """Returns a time of day as records have it: RFC 3339, UTC, to the millisecond."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(store: ObjectStore, uid: str, erasure: Erasure) -> None:
    """Writes a record; the same one again is no error."""
    data = encode_erasure(erasure)
    name = f"{erasure.at}-{blake2b(data, digest_size=4).hexdigest()}"
    store.put_if_absent(locations.erasure(uid, name), data)


def record_removal(store: ObjectStore, uid: str, garbage: Sequence[ObjectInfo], at: str) -> None:
    """Writes down that objects are about to be removed, and the ids of the segments among them.

    Cost: of each segment a suffix read and a ranged read; one record a million ids.
    """
    for objects, ids in _portions(store, garbage):
        of = np.repeat(np.arange(len(ids), dtype=np.uint32), [len(each) for each in ids])
        together = np.concatenate(ids) if ids else np.empty((0, 2), np.uint64)
        record(store, uid, Erasure(what=Deed.REMOVED, at=at, objects=tuple(objects), ids=together, of=of))


def _portions(store: ObjectStore, garbage: Sequence[ObjectInfo]) -> Iterator[tuple[list[str], list[Digests]]]:
    objects: list[str] = []
    ids: list[Digests] = []
    for info in garbage:
        found = _ids(store, info.key)
        if len(objects) == MAX_OBJECTS or (objects and sum(map(len, ids)) + len(found) > MAX_IDS):
            yield objects, ids
            objects, ids = [], []
        objects.append(info.key)
        ids.append(found)
    if objects:
        yield objects, ids


def _ids(store: ObjectStore, key: str) -> Digests:
    """Returns the ids of a segment; none of what is no segment, or no whole one."""
    if not key.endswith(".seg"):
        return np.empty((0, 2), np.uint64)
    try:
        return read_ids(store, key).digests
    except (FormatError, NotFound):
        return np.empty((0, 2), np.uint64)
