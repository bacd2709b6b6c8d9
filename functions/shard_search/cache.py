"""What a container keeps: opened shards within a bound of bytes, over blocks on its disk, over the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from functions.shard_search.hidden import OverwrittenIds
from shardlake.contracts.shard import Expiry, Held, LeafSearch, LeafStats, Overwrites, ShardRef
from shardlake.deadline import Deadline
from shardlake.engine.hidden import LiveRows
from shardlake.engine.reading import Ahead, NoBlocks, Reader
from shardlake.engine.shard import OpenShard, open_shard
from shardlake.engine.warming import Bounds, warm_up
from shardlake.errors import FormatError
from shardlake.format.container import Extent
from shardlake.format.shard_header import ShardHeader
from shardlake.limits import MAX_DIRECTORY_BYTES, MIB
from shardlake.store.base import ByteRange, ObjectStore
from shardlake.store.blocks import BlockStore

MAX_AHEAD_BYTES = 64 * MIB  # of lists that are read along with a tail: more than any probe, less than a container has
MAX_PENDING_BYTES = 32 * MIB  # of blocks that wait to be written down, in memory


class Told(NamedTuple):
    """What a caller says of a list: where it lies."""

    space: str
    number: int
    extent: Extent


def told_lists(searches: Iterable[LeafSearch]) -> list[Told]:
    """Returns where the lists of searches lie, as far as their caller knows; each once. Raises FormatError."""
    told = {
        (source.space, number): Told(source.space, number, Extent.of(extent))
        for search in searches
        for source in search.vectors
        if source.lists is not None and source.extents is not None
        for number, extent in zip(source.lists, source.extents, strict=False)
    }
    return list(told.values())


class ShardBlocks:
    """The blocks of one shard's object, of those that a block store holds."""

    def __init__(self, blocks: BlockStore, key: str) -> None:
        self._blocks = blocks
        self._key = key

    def get(self, offset: int, size: int) -> bytes | None:
        """Returns the bytes of a block, as they were put, or None."""
        return self._blocks.get(self._key, offset, size)

    def has(self, offset: int, size: int) -> bool:
        """Returns whether a block seems to be there."""
        return self._blocks.has(self._key, offset, size)

    def put(self, offset: int, data: bytes) -> None:
        """Takes a block that was read."""
        self._blocks.put(self._key, offset, data)


class ShardCache:
    """Opened shards by key, least recently used out first. Objects never change, so nothing is ever invalidated.

    Args:
        store: that has the shards.
        max_bytes: of opened shards in memory.
        blocks: what was read, kept near for the shards that memory has no room for, and for the next process.
    """

    def __init__(self, store: ObjectStore, *, max_bytes: int, blocks: BlockStore | None = None) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._blocks = blocks
        self._shards: OrderedDict[str, OpenShard] = OrderedDict()
        self._overwritten = OverwrittenIds(store, blocks)

    def open(self, ref: ShardRef, deadline: Deadline, stats: LeafStats, told: Sequence[Told] = ()) -> OpenShard:
        """Returns the shard; where it is not held, its tail is read, and beside it the lists whose place is told.

        Raises:
            FormatError: when its tail contradicts the format, or what was told. NotFound, Unavailable: as the store
                says.

        Cost: one round where it is not held; where its tail is at hand, one file.
        """
        opened = self._shards.get(ref.key)
        if opened is None:
            opened = self._open(ref, deadline, stats, told)
            self._shards[ref.key] = opened
        self._shards.move_to_end(ref.key)
        return opened

    def live(  # noqa: PLR0917  # private to the leaf: one caller
        self,
        opened: OpenShard,
        ref: ShardRef,
        overwrites: Sequence[Overwrites],
        expiry: Expiry | None,
        deadline: Deadline,
        stats: LeafStats,
    ) -> LiveRows | None:
        """Returns the rows of an opened shard that are not hidden: `OverwrittenIds.live`."""
        return self._overwritten.live(opened, ref, overwrites, expiry, deadline, stats)

    def warm_up(self, ref: ShardRef, deadline: Deadline, budget_bytes: int) -> Held:
        """Reads the rest of a shard into memory and onto the disk, as far as bounds, deadline and budget go.

        Raises:
            As `open`.
        """
        stats = LeafStats()
        opened = self.open(ref, deadline, stats)
        bounds = Bounds(max_bytes=budget_bytes, room=self._room, placed=self._write_down)
        return warm_up(opened, opened.reader(stats, deadline), stats, bounds)

    def _room(self) -> int:
        return self._max_bytes - sum(shard.resident_bytes for shard in self._shards.values())

    def _write_down(self) -> None:
        if self._blocks is not None:
            self._blocks.flush()

    def holds(self, key: str) -> bool:
        """Returns whether a shard is open."""
        return key in self._shards

    def forget(self, key: str) -> None:
        """Drops a shard: what of it was read may be broken."""
        self._shards.pop(key, None)

    def trim(self) -> None:
        """Drops shards until those held fit the bound; of the one used last only its items, whatever its size."""
        while self._shards and self._room() < 0:
            if len(self._shards) == 1:
                next(iter(self._shards.values())).forget_items()
                return
            self._shards.popitem(last=False)

    def settle(self) -> None:
        """Ends a request: lets go of what was read ahead and not wanted; writes blocks down only where many wait.

        An answer does not wait for the disk: the warm-up that follows a cold one writes them down.
        """
        for opened in self._shards.values():
            opened.ahead.clear()
        if self._blocks is not None and self._blocks.pending_bytes > MAX_PENDING_BYTES:
            self._blocks.flush()

    def _open(self, ref: ShardRef, deadline: Deadline, stats: LeafStats, told: Sequence[Told]) -> OpenShard:
        size = ref.bytes - ref.tail_offset
        if not 0 < size <= MAX_DIRECTORY_BYTES:
            raise FormatError("the shard map names a tail that no shard has", key=ref.key, tail_bytes=size)

        def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
            return self._store.get_ranges(ref.key, [ByteRange(a, b) for a, b in spans], deadline=deadline)

        blocks = NoBlocks() if self._blocks is None else ShardBlocks(self._blocks, ref.key)
        ahead: Ahead = {}
        tail = blocks.get(ref.tail_offset, size)
        if tail is None:
            wanted = _within(ref, told)
            # The tail has no checksum of its own here: its parts have, and it is kept once they agree.
            tail_extent = Extent(offset=ref.tail_offset, bytes=size, checksum=0)
            tail, *lists = Reader(read, deadline, stats, blocks).extents([tail_extent, *wanted])
            ahead = {(extent.offset, extent.bytes): data for extent, data in zip(wanted, lists, strict=True)}
            opened = open_shard(tail, ref.bytes, read, blocks, ahead)
            blocks.put(ref.tail_offset, tail)
        else:
            stats.cache_reads += 1
            stats.cache_bytes += size
            opened = open_shard(tail, ref.bytes, read, blocks)
        _check_told(opened.header, told)
        return opened


def _within(ref: ShardRef, told: Sequence[Told]) -> list[Extent]:
    """Returns the places told, or raises FormatError where they cannot be places of lists in that shard."""
    extents = [one.extent for one in told]
    if any(min(one.offset, one.bytes) < 0 or one.offset + one.bytes > ref.tail_offset for one in extents):
        raise FormatError("a list is said to lie outside its shard", key=ref.key)
    return extents if sum(extent.bytes for extent in extents) <= MAX_AHEAD_BYTES else []


def _check_told(header: ShardHeader, told: Sequence[Told]) -> None:
    """Raises FormatError where the shard's own tables say otherwise than the caller: they are what is believed."""
    for space, number, extent in told:
        known = header.spaces.get(space)
        if known is None or not 0 <= number < known.lists or header.list_extent(space, number) != extent:
            raise FormatError("a list lies elsewhere than its caller was told", space=space, list=number)
