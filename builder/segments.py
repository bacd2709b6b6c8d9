"""The objects of a segment: its items for builds, the ids it overwrites, and its delta for searches until then.

Each is written where none is. A repetition writes what stands already, but for vectors, which encoders round otherwise
from run to run: either is right, and what stands is what is told of it. So readers may keep what they read of a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from builder.delta import Delta, reread, write_delta
from shardlake.catalog.base import DeltaRow, SegmentRow
from shardlake.errors import Conflict, ErrorKind
from shardlake.format import locations
from shardlake.format.overwrites import Part, encode_overwrites, encode_parts
from shardlake.format.segment import SegmentItem, encode_segment
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
    """Writes a segment; returns its row with what is known of the objects.

    Args:
        store: of the objects.
        row: of the segment, with the key of its items; sizes, encoders and delta are filled in here.
        items: of the segment, deletions among them; of each id the last one counts.
        schema: of the collection.
        encoders: {space: digest of the encoder that made vectors of it}.
        parts: the segments that were merged into this one.

    Raises:
        ShardlakeError: as the store does; then what was written is of no use to anybody.
    """
    ids = encode_parts(parts) if parts else encode_overwrites(item.id for item in items)
    return replace(
        row,
        rows=len(items),
        bytes=_write_once(store, row.key, encode_segment(items, schema.spaces, encoders)),
        ids_bytes=_write_once(store, locations.overwrites(row.key), ids),
        encoders=dict(encoders),
        delta=_write_delta(store, locations.delta(row.key), write_delta(items, schema)),
    )


def _write_delta(store: ObjectStore, key: str, made: Delta | None) -> DeltaRow | None:
    if made is None:
        return None
    data = made.data
    if not _is_written(lambda: store.put_if_absent(key, data)):
        made = reread(store.get(key, max_bytes=MAX_BLOCK_BYTES), made)
    return DeltaRow(
        rows=made.rows,
        bytes=len(made.data),
        footer_offset=made.footer_offset,
        checksum=made.checksum,
        zone_maps=made.zone_maps,
        summaries=made.summaries,
    )


def _write_once(store: ObjectStore, key: str, body: bytes) -> int:
    written = _is_written(lambda: store.put_if_absent(key, body))
    return len(body) if written else store.head(key).size_bytes


def _is_written(put: Callable[[], object]) -> bool:
    """Returns whether the bytes stand; not, where a former attempt has written others under the key."""
    try:
        put()
    except Conflict as error:
        if error.kind is not ErrorKind.OBJECT_EXISTS:
            raise
        return False
    return True
