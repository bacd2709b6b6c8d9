"""What hides rows: the ids that pending segments overwrite, read and kept for all shards of a container, and time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from shardlake.contracts.shard import Expiry, LeafStats, Overwrites, ShardRef
from shardlake.deadline import Deadline
from shardlake.engine.hidden import LiveRows
from shardlake.engine.lru import BytesLru
from shardlake.engine.reading import groups
from shardlake.engine.shard import OpenShard
from shardlake.errors import FormatError
from shardlake.format.overwrites import decode_overwrites
from shardlake.limits import MIB
from shardlake.store.base import ByteRange, ObjectStore
from shardlake.store.blocks import BlockStore
from shardlake.store.parallel import in_time

KEPT_BYTES = 128 * MIB  # of decoded ids: the next shard wants those that the last one looked up
GROUP_BYTES = 32 * MIB  # of files that are read and looked up at a time
ID_BYTES = 50  # of a decoded id, beside its text
PARALLEL = 16


class OverwrittenIds:
    """Files of overwritten ids by key, least recently used out first. They never change: nothing is ever invalidated.

    Args:
        store: that has them. blocks: what was read, kept near for the next process.
    """

    def __init__(self, store: ObjectStore, blocks: BlockStore | None = None) -> None:
        self._store = store
        self._blocks = blocks
        self._ids: BytesLru[str, list[bytes]] = BytesLru(KEPT_BYTES)
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="overwrites")

    def live(  # noqa: PLR0917  # private to the leaf: one caller
        self,
        shard: OpenShard,
        ref: ShardRef,
        overwrites: Sequence[Overwrites],
        expiry: Expiry | None,
        deadline: Deadline,
        stats: LeafStats,
    ) -> LiveRows | None:
        """Returns the rows of a shard that no later segment overwrites and that are not expired; None for all.

        Args:
            shard: opened. ref: says how far it holds the log.
            overwrites: of all pending segments. expiry: None where nothing can be expired.
            deadline: of the reads. stats: counts them.

        Raises:
            FormatError: when a file or the shard contradicts the format; of a file, with its key.
            NotFound, Unavailable, DeadlineExceeded: as the store says.

        Cost: for what this shard has not met yet one round for files that are not held, one for pages of its ids, and
            one for postings of the attribute that says when rows expire.
        """
        newer = {one.key: one for one in overwrites if one.sequence > ref.sequence}
        unknown = [newer[key] for key in shard.hidden.unknown(tuple(newer))]
        for group in groups(unknown, lambda one: one.bytes, GROUP_BYTES):
            shard.hidden.look_up(self._of(group, deadline, stats), shard.reader(stats, deadline))
        expired = None
        if expiry is not None and ref.shard_id in expiry.shards:
            reader = shard.reader(stats, deadline)
            expired = shard.expired.at(expiry.attribute, expiry.moment_us, shard.attributes, reader)
        return shard.hidden.live(tuple(newer), expired)

    def _of(self, files: Sequence[Overwrites], deadline: Deadline, stats: LeafStats) -> dict[str, list[bytes]]:
        found = {one.key: ids for one in files if (ids := self._ids.get(one.key)) is not None}
        missing = [one for one in files if one.key not in found]
        if not missing:
            return found
        calls = [partial(self._read, one, deadline) for one in missing]
        for one, (data, is_near) in zip(
            missing, in_time(self._pool, calls, doing="read overwritten ids", deadline=deadline), strict=True
        ):
            _count(stats, data, is_near=is_near)
            found[one.key] = self._decoded(one, data)
        return found

    def _read(self, file: Overwrites, deadline: Deadline) -> tuple[bytes, bool]:
        """Returns the bytes of a file, and whether they were near."""
        near = None if self._blocks is None else self._blocks.get(file.key, 0, file.bytes)
        if near is not None:
            return near, True
        return self._store.get_ranges(file.key, [ByteRange(0, file.bytes)], deadline=deadline)[0], False

    def _decoded(self, file: Overwrites, data: bytes) -> list[bytes]:
        try:
            ids = decode_overwrites(data)
        except FormatError as exc:
            raise FormatError(exc.message, kind=exc.kind, **{**exc.context, "key": file.key}) from exc
        if self._blocks is not None:  # once it is known to be right
            self._blocks.put(file.key, 0, data)
        self._ids.put(file.key, ids, sum(map(len, ids)) + ID_BYTES * len(ids))
        return ids


def _count(stats: LeafStats, data: bytes, *, is_near: bool) -> None:
    if is_near:
        stats.cache_reads += 1
        stats.cache_bytes += len(data)
    else:
        stats.object_reads += 1
        stats.bytes_read += len(data)
