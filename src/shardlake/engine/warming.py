"""A warm-up: the rest of a shard is read before anybody waits for it, what searches want most first.

Lists go into memory while there is room, everything else to the blocks at hand. Full-precision vectors come last: only
exact searches read them, and they are the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shardlake.contracts.shard import Held, LeafStats
from shardlake.engine.reading import Reader, groups, read_bytes
from shardlake.engine.shard import OpenShard
from shardlake.errors import DeadlineExceeded
from shardlake.format.container import Extent
from shardlake.format.postings import posting_extents
from shardlake.format.terms import group_extents
from shardlake.limits import MIB

GROUP_BYTES = 64 * MIB  # read at a time: eight streams of the largest reads; held in memory until it is placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a warm-up may use.

    Attributes:
        max_bytes: read from the store.
        room: returns how many bytes of memory are left for lists.
        placed: is called after each group, so that blocks read may be written down and their memory is free again.
    """

    max_bytes: int
    room: Callable[[], int]
    placed: Callable[[], None]


def warm_up(shard: OpenShard, reader: Reader, stats: LeafStats, bounds: Bounds) -> Held:
    """Reads what is not at hand yet, until that is all or a bound is met.

    Args:
        shard: that is warmed.
        reader: of the shard, under the deadline that ends the warm-up. stats: what it counts into.
        bounds: of bytes and memory.

    Raises:
        FormatError: when what is read contradicts the format. Whatever the reads raise, but for the deadline.
    """
    names = [space.name for space in shard.header.spaces.values() if space.source is None]
    try:
        complete = all(_warm_lists(shard, name, reader, stats, bounds) for name in names)
        complete = complete and _warm_rest(shard, reader, stats, bounds)
    except DeadlineExceeded:
        complete = False
    lists = [shard.space(name).lists for name in names]
    return Held(
        lists=sum(int(one.loaded.sum()) for one in lists),
        of_lists=sum(len(one.loaded) for one in lists),
        bytes_read=stats.bytes_read,
        complete=complete,
    )


def _warm_lists(shard: OpenShard, name: str, reader: Reader, stats: LeafStats, bounds: Bounds) -> bool:
    """Returns whether all lists of a space are at hand now."""
    space = shard.space(name)
    missing = [number for number in range(space.lists.space.lists) if not space.lists.loaded[number]]
    for numbers in groups(missing, lambda number: _size(_of_list(shard, name, number)), GROUP_BYTES):
        reader.check("warm up")
        extents = [extent for number in numbers for extent in _of_list(shard, name, number)]
        lacking, fits = reader.lacking(extents), _size(extents) <= bounds.room()
        if stats.bytes_read + read_bytes(lacking) > bounds.max_bytes or not (fits or reader.keeps):
            return False
        if fits:
            space.load(numbers, reader)
        else:
            reader.extents(lacking)
        bounds.placed()
    return True


def _warm_rest(shard: OpenShard, reader: Reader, stats: LeafStats, bounds: Bounds) -> bool:
    """Returns whether everything but the lists is at hand now; where nothing is kept there is nothing to do."""
    for group in groups(reader.lacking(_rest(shard)) if reader.keeps else [], lambda extent: extent.bytes, GROUP_BYTES):
        reader.check("warm up")
        if stats.bytes_read + read_bytes(group) > bounds.max_bytes:
            return False
        reader.extents(group)
        bounds.placed()
    return True


def _of_list(shard: OpenShard, name: str, number: int) -> list[Extent]:
    block = shard.header.list_extent(name, number)
    # A space without codes is searched by its full-precision vectors.
    return [block] if shard.header.spaces[name].code_bytes else [block, shard.header.exact_extent(name, number)]


def _rest(shard: OpenShard) -> Iterator[Extent]:
    header = shard.header
    yield from posting_extents(header)
    for name, block in header.directory.blocks.items():
        if name not in header.arrays:
            yield block.extent
    for name, array in header.arrays.items():
        if name.endswith("/pages") or name.startswith("buckets/"):  # of a sorted map, of a hash
            yield from (Extent.of(row) for row in array[:, :3].tolist())
    yield from group_extents(header)
    yield from (header.item_extent(number) for number in range(len(header.arrays["items"])))
    for space in header.spaces.values():
        if space.code_bytes and space.source is None:
            yield from (header.exact_extent(space.name, number) for number in range(space.lists))


def _size(extents: Sequence[Extent]) -> int:
    return sum(extent.bytes for extent in extents)
