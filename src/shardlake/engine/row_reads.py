"""Which parts of lists are read for some rows: groups of them, or the whole list where that is hardly more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from shardlake.engine import reading
from shardlake.engine.reading import Reader
from shardlake.format.container import Extent
from shardlake.format.row_groups import RowGroups
from shardlake.types import Int64Array

WHOLE_AT = 1.5  # a whole list is read where it is at most so much more: then its codes are there, too


class Part(NamedTuple):
    """A part of a list to read: one group of its rows, or all of it where there are no `groups`."""

    number: int
    extent: Extent
    groups: RowGroups | None = None
    group: int = 0

    @property
    def members(self) -> slice:
        """Which rows of the list it has."""
        return slice(None) if self.groups is None else self.groups.members(self.group)


Places = tuple[Int64Array, Int64Array]
"""(m,) numbers of lists, and (m,) which row of its list each is."""


def parts(
    places: Places,
    whole: Callable[[int], Extent],
    groups_of: Callable[[int], RowGroups] | None,
    reader: Reader,
) -> list[Part]:
    """Returns what to read so that rows are there.

    Args:
        places: of the rows.
        whole: returns where a list lies. groups_of: returns its groups; None where lists are read whole.
        reader: that knows what is at hand.

    Raises:
        FormatError: when a list is not as large as its groups.
    """
    found: list[Part] = []
    for number, members in _by_list(places):
        block = whole(number)
        groups = None if groups_of is None or reader.is_at_hand(block) else groups_of(number)
        few = None if groups is None else _few_groups(groups, members, block.bytes)
        if groups is None or few is None:
            found.append(Part(number, block))
        else:
            found.extend(Part(number, groups.extent(group), groups, group) for group in few)
    return found


def read(wanted: list[Part], reader: Reader) -> Iterator[tuple[Part, bytes]]:
    """Reads parts, in one round; yields each with its bytes."""
    extents = [part.extent for part in wanted]
    yield from zip(wanted, reader.extents(extents), strict=True)


def _by_list(places: Places) -> Iterator[tuple[int, Int64Array]]:
    numbers, members = places
    if not len(numbers):
        return
    order = np.argsort(numbers, kind="stable")
    numbers, members = numbers[order], members[order]
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    yield from zip(numbers[first].tolist(), np.split(members, first[1:]), strict=True)


def _few_groups(groups: RowGroups, members: Int64Array, whole_bytes: int) -> list[int] | None:
    """Returns the groups of some rows of a list, or None where reading the list whole is hardly more."""
    wanted = np.unique(members // groups.group_rows)
    between = (np.diff(wanted) - 1) * groups.group_bytes
    read_bytes = len(wanted) * groups.group_bytes + int(between[between <= reading.COALESCE_GAP_BYTES].sum())
    return None if read_bytes * WHOLE_AT >= whole_bytes else wanted.tolist()
