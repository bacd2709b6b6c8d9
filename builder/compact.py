"""Compaction: segments of the log that follow one another become one, of which every item is still true.

An item that has expired becomes a deletion: what lies before the run may have an older one of its id.

Memory: the segments of one run, which `builder.tiers` bounds. Killed anywhere, nothing is lost: what was written is of
no use to anybody until the log names it, and is garbage if it never does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b

from builder.expiry import expired_until, without_expired
from builder.segments import write_segment
from builder.tiers import run_to_merge
from shardlake.catalog.base import Catalog, SegmentRow
from shardlake.errors import Conflict, ErrorKind
from shardlake.format import locations
from shardlake.format.overwrites import Part, decode_overwrites, decode_parts
from shardlake.format.segment import SegmentItem, decode_segment
from shardlake.limits import MAX_BLOCK_BYTES
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema

Choose = Callable[[Sequence[SegmentRow]], Sequence[SegmentRow]]
"""Takes what is pending; returns segments that follow one another and shall become one, or none."""


def compact(
    store: ObjectStore,
    catalog: Catalog,
    uid: str,
    schema: CollectionSchema,
    choose: Choose = run_to_merge,
    *,
    now: datetime,
) -> int:
    """Merges what is pending until nothing is left to merge; returns how many segments are fewer.

    Args:
        choose: what is merged. now: the time of day.

    Raises:
        FormatError: when a segment contradicts the format. Unavailable: when store or catalog failed for now.
    """
    fewer, until_us = 0, expired_until(now)
    while run := choose(catalog.snapshot(uid).pending):
        try:
            catalog.compact(uid, run, _merged(store, uid, run, schema, until_us))
        except Conflict as conflict:
            if conflict.kind is not ErrorKind.COMMIT_CONFLICT:
                raise
            return fewer  # another compaction is at it
        fewer += len(run) - 1
    return fewer


def _merged(
    store: ObjectStore, uid: str, run: Sequence[SegmentRow], schema: CollectionSchema, until_us: int
) -> SegmentRow:
    """Writes the segment that says what the run says; deletions stay, for what lies before the run has the items."""
    items: dict[str, SegmentItem] = {}
    parts: list[Part] = []
    for row in run:
        for item in _items(store, row):
            items.pop(item.id, None)  # so that items stand in the order of their last writing
            items[item.id] = item
        parts += _parts(store, row)
    name = blake2b("\0".join(row.segment_id for row in run).encode(), digest_size=16).hexdigest()
    encoders = {space: digest for row in run for space, digest in row.encoders.items()}
    row = SegmentRow(
        segment_id=name,
        order=max(row.order for row in run),
        key=locations.segment(uid, name),
        rows=len(items),
        bytes=0,
        source=run[-1].source,
        created_at=run[-1].created_at,
    )
    kept = without_expired(list(items.values()), schema, until_us)
    return write_segment(store, row, kept, schema, encoders=encoders, parts=parts)


def _items(store: ObjectStore, row: SegmentRow) -> list[SegmentItem]:
    return decode_segment(store.get(row.key, max_bytes=MAX_BLOCK_BYTES)).items()


def _parts(store: ObjectStore, row: SegmentRow) -> list[Part]:
    data = store.get(locations.overwrites(row.key), max_bytes=MAX_BLOCK_BYTES)
    ids = frozenset(decode_overwrites(data))
    return decode_parts(data) or [Part(sequence=row.sequence, order=row.order, ids=ids)]
