"""When items expire, and which have: for whoever writes segments and shards, an expired item is as good as deleted.

That is final: its time does not come back, and a later write is another row. So compaction and purging put a deletion
in its place, which hides what stood before it as the item did, and a build does not take it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson

from shardlake.format.segment import NEVER_EXPIRES, SegmentItem
from shardlake.query.filter import microseconds
from shardlake.types import CollectionSchema, Int64Array

# Searches go by the clock of their own function: nothing is taken away that one which lags would still find.
MARGIN = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def expired_until(now: datetime) -> int:
    """Returns the moment up to which what expires is taken away, in microseconds since 1970: MARGIN before now.

    >>> expired_until(datetime(1970, 1, 1, 0, 2, tzinfo=UTC))
    60000000
    """
    return (now - MARGIN - _EPOCH) // timedelta(microseconds=1)


def expiries(items: Sequence[SegmentItem], schema: CollectionSchema) -> Int64Array | None:
    """Returns (items,) int64 when each expires, NEVER_EXPIRES where it does not; None where the collection's never do.

    Requires: payloads were validated against the schema (`contracts.item`). Cost: every payload is parsed.
    """
    if schema.ttl is None:
        return None
    return np.fromiter((_expiry(item, schema.ttl) for item in items), np.int64, len(items))


def without_expired(items: Sequence[SegmentItem], schema: CollectionSchema, until_us: int) -> list[SegmentItem]:
    """Returns the items, with a deletion in the place of each that has expired by a moment, in microseconds."""
    moments = expiries(items, schema)
    if moments is None:
        return list(items)
    return [
        deletion(item.id) if moment <= until_us else item for item, moment in zip(items, moments.tolist(), strict=True)
    ]


def deletion(item_id: str) -> SegmentItem:
    """Returns what says in a segment that an item is no more."""
    return SegmentItem(id=item_id, payload=b"", vectors={})


def _expiry(item: SegmentItem, attribute: str) -> int:
    if item.is_tombstone:
        return NEVER_EXPIRES
    value = orjson.loads(item.payload)["attributes"].get(attribute)
    return NEVER_EXPIRES if value is None else microseconds(value)
