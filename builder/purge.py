"""Purging: segments that every kept version holds are written again without the rows that none of them needs.

A row is not needed when a later row of its id stands in the log through the *floor*, the least position that a kept
version holds: whichever of them is gone back to, and built on, the later row wins. So an item that was deleted or
overwritten leaves the segments, once versions that had it are forgotten, and so many rows are such that it is worth
it, or fifteen days after it was deleted. A deletion stays as long as an event may come
late: what was written before it must not come back. An item that has expired becomes a deletion. So long, too, a
segment overwrites the ids that it has lost: by their order late events are told, and what overwrote them, a change made
of an item, may have none of its own. What a rollback has set aside neither wins nor is touched.

Memory: 17 bytes a row of the log, and the segments of one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b

import numpy as np

from builder.collect import GRACE_OF_SEGMENTS
from builder.erasures import record, time_of
from builder.expiry import deletion, expired_until
from builder.ranged import RangedFile
from builder.segments import write_segment
from builder.survey import Ids, newest_of, read_ids
from shardlake.catalog.base import Catalog, SegmentRow
from shardlake.errors import Conflict, ErrorKind, FormatError
from shardlake.format import locations
from shardlake.format.erasures import Deed, Digests, Erasure
from shardlake.format.overwrites import OVERWRITES_KIND, Part, decode_overwrites, decode_parts
from shardlake.format.segment import SegmentItem, decode_segment
from shardlake.limits import MAX_BLOCK_BYTES, MAX_SEGMENT_BYTES, MAX_SEGMENT_ROWS
from shardlake.store.base import ObjectStore
from shardlake.types import BoolArray, CollectionSchema

MIN_SHARE = 0.3  # of the rows of a run, that nobody needs, for it to be written again
MAX_RUN = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A segment that all kept versions hold, and which of its rows are needed.

    Attributes:
        expired: which of the needed rows are items that have expired.
        is_old: whether no event can come late any more that was written before it.
        lost: how many ids it overwrites that it has no row of, and need not: it is old.
        must_go: whether it has a row of an item that was deleted, or expired, so long ago that nothing needs it.
    """

    row: SegmentRow
    ids: Ids
    needed: BoolArray
    expired: BoolArray
    is_old: bool
    lost: int
    must_go: bool

    @property
    def fewer(self) -> int:
        """How many of its rows nobody needs, or only as deletions."""
        return len(self.needed) - int(np.count_nonzero(self.needed & ~self.expired))

    @property
    def unneeded(self) -> int:
        """How many rows, and ids without one, nobody needs."""
        return self.fewer + self.lost


def purge(
    store: ObjectStore,
    catalog: Catalog,
    uid: str,
    schema: CollectionSchema,
    *,
    now: datetime,
    min_share: float = MIN_SHARE,
) -> int:
    """Writes segments again without what nobody needs; returns how many rows are fewer, or have become deletions.

    Args:
        now: the time of day.
        min_share: of a run's rows, that nobody needs; 0 for every run that has any. A run is written again in any case
            where it has an item that was deleted or expired GRACE_OF_SEGMENTS ago.

    Raises:
        FormatError: when a segment contradicts the format. Unavailable: when store or catalog failed for now.
    """
    fewer = 0
    for run in _runs(_held(store, catalog, uid, now), min_share):
        rows, merged = [held.row for held in run], _rewritten(store, uid, run, schema)
        _record(store, catalog, uid, run, merged, now)
        try:
            catalog.compact(uid, rows, merged)
        except Conflict as conflict:
            if conflict.kind is not ErrorKind.COMMIT_CONFLICT:
                raise
            return fewer  # another one is at it
        fewer += sum(held.fewer for held in run)
    return fewer


def _record(  # noqa: PLR0917  # one caller: purge
    store: ObjectStore, catalog: Catalog, uid: str, run: Sequence[_Held], merged: SegmentRow, now: datetime
) -> None:
    """Writes down which segments are about to be replaced, and the ids of the items that they lose for good."""
    ids = [held.ids for held in run]
    left = [held.needed & ~held.expired for held in run]
    kept = np.concatenate([each.digests[rows & ~each.deleted] for each, rows in zip(ids, left, strict=True)])
    lost = [each.digests[~rows] for each, rows in zip(ids, left, strict=True)]
    lost = [each[~_are_in(each, kept)] for each in lost]
    through = [version.through for version in catalog.versions(uid)]
    # Whoever was overwritten is in no version that holds the later row; whatever has expired may be in all that stand.
    floor = 1 + max(through) if any(held.expired.any() for held in run) else min(through)
    record(
        store,
        uid,
        Erasure(
            what=Deed.REPLACED,
            at=time_of(now),
            objects=tuple(held.row.key for held in run),
            ids=np.concatenate(lost),
            of=np.repeat(np.arange(len(run), dtype=np.uint32), [len(each) for each in lost]),
            into=merged.key,
            begins=run[0].row.begins,
            floor=floor,
        ),
    )


def _are_in(digests: Digests, others: Digests) -> BoolArray:
    """Returns which of the digests are among the others."""
    whole = np.dtype([("first", "<u8"), ("second", "<u8")])
    left, right = (np.ascontiguousarray(each).view(whole).reshape(-1) for each in (digests, others))
    return np.isin(left, right)


def _held(store: ObjectStore, catalog: Catalog, uid: str, now: datetime) -> list[_Held]:
    pointer, versions = catalog.pointer(uid), catalog.versions(uid)
    if pointer is None:
        return []
    kept = [pointer, *versions]
    floor = min(version.through for version in kept)
    aside = {each for version in kept for each in version.skipped}
    rows = [
        row
        for row in catalog.segments(uid)
        if 0 < row.sequence <= floor
        and not row.is_mark
        and not any(first <= row.sequence <= last for first, last in aside)
    ]
    if not rows:
        return []
    ids = [read_ids(store, row.key) for row in rows]
    is_old = [datetime.fromisoformat(row.created_at) <= now - GRACE_OF_SEGMENTS for row in rows]
    lost = [_lost(store, row, each) if old else 0 for row, each, old in zip(rows, ids, is_old, strict=True)]
    until_us = expired_until(now)
    expired = [each.expired(until_us) for each in ids]
    needed, must_go = _needed(ids, expired, is_old)
    told = zip(rows, ids, needed, expired, is_old, lost, must_go, strict=True)
    return [
        _Held(
            row=row,
            ids=each,
            needed=rows_needed,
            expired=rows_needed & ended,
            is_old=old,
            lost=count,
            must_go=bool(going.any()),
        )
        for row, each, rows_needed, ended, old, count, going in told
    ]


def _lost(store: ObjectStore, row: SegmentRow, ids: Ids) -> int:
    overwritten = RangedFile(store, locations.overwrites(row.key), OVERWRITES_KIND).meta.get("ids")
    if not isinstance(overwritten, int):
        raise FormatError("the ids that a segment overwrites are not counted", key=row.key)
    return max(0, overwritten - len(np.unique(ids.digests, axis=0)))


def _needed(
    ids: Sequence[Ids], expired: Sequence[BoolArray], is_old: Sequence[bool]
) -> tuple[list[BoolArray], list[BoolArray]]:
    """Returns which rows are needed: the last of each id, but for a deletion that is the only one, and old; and which
    have no more to say, since the last of their id is an old deletion.

    What has expired is as good as deleted.
    """
    digests = np.concatenate([each.digests for each in ids])
    told = zip(ids, expired, is_old, strict=True)
    gone = np.concatenate([(each.deleted | ended) & old for each, ended, old in told])
    _, group, counts = np.unique(digests, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    newest = np.concatenate(newest_of([each.digests for each in ids]))
    needed = newest & ~(gone & (counts[group] == 1))
    has_gone = np.zeros(len(counts), bool)
    has_gone[group[newest]] = gone[newest]
    is_deletion = np.concatenate([each.deleted for each in ids])
    must_go = has_gone[group] & ~(is_deletion & needed)
    ends = np.cumsum([len(each.deleted) for each in ids])[:-1]
    return np.split(needed, ends), np.split(must_go, ends)


def _runs(held: Sequence[_Held], min_share: float) -> Iterator[list[_Held]]:
    """Yields segments that follow one another, fit one together, and have so many rows that nobody needs."""
    run: list[_Held] = []
    for each in held:
        if run and not _fits(run, each):
            yield from _worth_it(run, min_share)
            run = []
        run.append(each)
    yield from _worth_it(run, min_share)


def _worth_it(run: list[_Held], min_share: float) -> Iterator[list[_Held]]:
    rows, unneeded = sum(len(held.needed) for held in run), sum(held.unneeded for held in run)
    if (unneeded and unneeded >= min_share * rows) or any(held.must_go for held in run):
        yield run


def _fits(run: Sequence[_Held], held: _Held) -> bool:
    together = [*run, held]
    encoders: dict[str, str] = {}
    return (
        held.row.begins == run[-1].row.sequence + 1
        and len(together) <= MAX_RUN
        and sum(len(each.needed) for each in together) <= MAX_SEGMENT_ROWS
        and sum(each.row.bytes for each in together) <= MAX_SEGMENT_BYTES
        and all(encoders.setdefault(s, d) == d for each in together for s, d in each.row.encoders.items())
    )


def _rewritten(store: ObjectStore, uid: str, run: Sequence[_Held], schema: CollectionSchema) -> SegmentRow:
    items: list[SegmentItem] = []
    parts: list[Part] = []
    for held in run:
        kept = _kept(store, held)
        items += kept
        parts += _parts(store, held.row, frozenset(item.id.encode() for item in kept) if held.is_old else None)
    # By what is left: written again of the same segments with other rows it is another one.
    left = b"".join(held.row.segment_id.encode() + _what_is_left(held) for held in run)
    name = blake2b(left, digest_size=16).hexdigest()
    row = SegmentRow(
        segment_id=name,
        order=max(held.row.order for held in run),
        key=locations.segment(uid, name),
        rows=len(items),
        bytes=0,
        source=run[-1].row.source,
        created_at=run[-1].row.created_at,
    )
    encoders = {space: digest for held in run for space, digest in held.row.encoders.items()}
    return write_segment(store, row, items, schema, encoders=encoders, parts=parts)


def _kept(store: ObjectStore, held: _Held) -> list[SegmentItem]:
    told = zip(_items(store, held.row), held.needed.tolist(), held.expired.tolist(), strict=True)
    return [deletion(item.id) if expired else item for item, needed, expired in told if needed]


def _what_is_left(held: _Held) -> bytes:
    expired = np.packbits(held.expired).tobytes() if held.expired.any() else b""
    return np.packbits(held.needed).tobytes() + expired


def _items(store: ObjectStore, row: SegmentRow) -> list[SegmentItem]:
    return decode_segment(store.get(row.key, max_bytes=MAX_BLOCK_BYTES)).items()


def _parts(store: ObjectStore, row: SegmentRow, kept: frozenset[bytes] | None) -> list[Part]:
    """Returns what a segment was merged of, or the segment itself, with those of the ids that are kept; None: all."""
    data = store.get(locations.overwrites(row.key), max_bytes=MAX_BLOCK_BYTES)
    whole = Part(sequence=row.sequence, order=row.order, ids=frozenset(decode_overwrites(data)))
    parts = decode_parts(data) or [whole]
    return parts if kept is None else [replace(part, ids=part.ids & kept) for part in parts]
