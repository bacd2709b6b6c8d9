"""A shard that the build has written, opened again: its own tail is what later stages believe."""

from __future__ import annotations

from collections.abc import Sequence

from shardlake.catalog.base import ShardRow
from shardlake.deadline import Deadline
from shardlake.engine.shard import OpenShard, open_shard
from shardlake.store.base import ByteRange, ObjectStore


def open_stored(store: ObjectStore, row: ShardRow) -> OpenShard:
    """Returns a shard of the shard map, opened. Cost: one ranged read, of its tail."""

    def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        return store.get_ranges(row.key, [ByteRange(a, b) for a, b in spans], deadline=deadline)

    return open_shard(read([(row.footer_offset, row.bytes)], None)[0], row.bytes, read)
