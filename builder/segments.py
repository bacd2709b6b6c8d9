"""The objects of a segment: its items for builds, the ids it overwrites, and its delta for searches until then.

The three must tell of the same items, whoever wrote them, since a run that broke off may have written some. So only the
first is made of the items given: the segment that stands, ours or that of a former run, decides, and the other two are
functions of its bytes. Encoders round differently from run to run, and a deployment may change a model in between:
neither can set a delta apart from its segment. What stands is never written over, so readers may keep what they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from builder.delta import Delta, reread, write_delta
from builder.expiry import expiries
from shardlake.catalog.base import DeltaRow, SegmentRow
from shardlake.errors import Conflict, ErrorKind
from shardlake.format import locations
from shardlake.format.overwrites import Part, encode_overwrites, encode_parts
from shardlake.format.segment import SegmentItem, decode_segment, encode_segment
from shardlake.limits import MAX_BLOCK_BYTES
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema


def write_segment(
    store: ObjectStore,
    row: SegmentRow,
    items: Sequence[SegmentItem],
    schema: CollectionSchema,
    *,
    encoders: Mapping[str, str],
    parts: Sequence[Part] = (),
) -> SegmentRow:
    """Writes what does not stand yet of a segment; returns its row with what is known of the objects that stand then.

    Args:
        store: of the objects.
        row: of the segment, whose key tells ids and payloads of these items from any others; rows, sizes, encoders and
            delta are filled in here.
        items: of the segment, deletions among them; of each id the last one counts.
        schema: of the collection.
        encoders: {space: digest of the encoder that made vectors of it}.
        parts: the segments that were merged into this one.

    Raises:
        FormatError: when what stands there is no such segment. Whatever the store raises.

    Cost: one PUT an object; one GET more for each that a former run has written otherwise.
    """
    body = encode_segment(items, schema.spaces, encoders, expiries(items, schema))
    standing = _standing(store, row.key, body)
    if standing is not body:
        segment = decode_segment(standing)
        items, encoders = segment.items(), segment.encoders
    size = len(standing)
    del body, standing  # the delta is as large again
    ids = encode_parts(parts) if parts else encode_overwrites(item.id for item in items)
    return replace(
        row,
        rows=len(items),
        bytes=size,
        ids_bytes=len(_standing(store, locations.overwrites(row.key), ids)),
        encoders=dict(encoders),
        delta=_standing_delta(store, locations.delta(row.key), write_delta(items, schema)),
    )


def _standing_delta(store: ObjectStore, key: str, made: Delta | None) -> DeltaRow | None:
    if made is None:
        return None
    standing = _standing(store, key, made.data)
    # Of one segment every run makes the same bytes, but another release may lay them down in another way.
    found = made if standing is made.data else reread(standing, made)
    return DeltaRow(
        rows=found.rows,
        bytes=len(found.data),
        footer_offset=found.footer_offset,
        checksum=found.checksum,
        zone_maps=found.zone_maps,
        summaries=found.summaries,
    )


def _standing(store: ObjectStore, key: str, body: bytes) -> bytes:
    """Writes an object where none is; returns the bytes that stand there then: `body` itself, or others."""
    try:
        store.put_if_absent(key, body)
    except Conflict as error:
        if error.kind is not ErrorKind.OBJECT_EXISTS:
            raise
        return store.get(key, max_bytes=MAX_BLOCK_BYTES)
    return body
