"""Which rows of a shard are hidden: those whose ids a pending segment of a later sequence overwrites, and the expired.

Files never change, so what was found in one holds for good; when one more file comes, its ids alone are looked up. What
has expired is found anew at each moment that is asked for, from the postings of one attribute, which stay at hand. It
is no part of a filter: the answers to filters are kept as if there were no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from shardlake.engine.attributes import ShardAttributes
from shardlake.engine.items import NO_ROW, ShardItems
from shardlake.engine.reading import Reader
from shardlake.query.rows import FEW_SHARE, RowSet
from shardlake.types import BoolArray

KEPT_BYTES = 8 * 1024 * 1024  # of rows of files that the last search did not name: another snapshot's, or an old one's

Rows = npt.NDArray[np.uint32]


class LiveRows(RowSet):
    """The rows of a shard that are not hidden, where some are; for a search without a filter, the rows that pass.

    Attributes:
        hidden: how many rows are not among them, at least one.
        are_most: whether a search does best to go as if nothing were hidden, and to leave out what is.
    """

    def __init__(self, mask: BoolArray) -> None:
        super().__init__(mask)
        self.hidden = len(mask) - self.count
        self.are_most = self.hidden <= FEW_SHARE * len(mask)
        self._among: WeakKeyDictionary[RowSet, RowSet | None] = WeakKeyDictionary()

    def among(self, passing: RowSet) -> RowSet:
        """Returns the live ones of the rows that pass a filter: the same as long as the filter's answer is kept.

        Cost: a pass over the rows, once a filter.
        """
        if passing not in self._among:
            mask = passing.mask & self.mask
            # None for itself: a value that holds its key would keep both for ever.
            is_whole = int(np.count_nonzero(mask)) == passing.count
            self._among[passing] = None if is_whole else RowSet(mask)
        return self._among[passing] or passing

    @property
    def resident_bytes(self) -> int:
        """What they may come to hold in memory, with the filters' answers without the hidden."""
        return self.nbytes + sum(found.nbytes for found in self._among.values() if found is not None)


def hides_few(passing: RowSet | None) -> bool:
    """Returns whether a search does best to go as one without a filter: all rows pass, or all but a few hidden ones."""
    return passing is None or (isinstance(passing, LiveRows) and passing.are_most)


class HiddenRows:
    """What is known of the hidden rows of one shard. Not safe for two threads at once."""

    def __init__(self, items: ShardItems, rows: int) -> None:
        self._items = items
        self._rows = rows
        self._hidden_by: dict[str, Rows] = {}
        self._last: tuple[tuple[str, ...], RowSet | None, LiveRows | None] = ((), None, None)

    @property
    def resident_bytes(self) -> int:
        """What is held in memory."""
        live = self._last[2]
        return self._kept_bytes() + (0 if live is None else live.resident_bytes)

    def unknown(self, files: Sequence[str]) -> list[str]:
        """Returns those of the files, by key, whose ids were not looked up yet."""
        return [key for key in files if key not in self._hidden_by]

    def look_up(self, ids: Mapping[str, Sequence[bytes]], reader: Reader) -> None:
        """Finds the rows that files overwrite.

        Args:
            ids: of each file, by its key. reader: of the shard.

        Raises:
            FormatError: when bytes read contradict the format. Whatever the reads raise.

        Cost: one round, for those pages of the shard's ids that were not read yet.
        """
        found = self._items.rows_of([one for of_file in ids.values() for one in of_file], reader)
        ends = np.cumsum([len(of_file) for of_file in ids.values()], dtype=np.int64)
        for key, rows in zip(ids, np.split(found, ends[:-1]), strict=True):
            self._hidden_by[key] = rows[rows != NO_ROW].astype(np.uint32)

    def live(self, files: tuple[str, ...], expired: RowSet | None = None) -> LiveRows | None:
        """Returns the rows that none of the files overwrites and that are not expired, None where that is all of them.

        Args:
            files: by key. expired: of the shard, the same object as long as it has the same rows; None for none.

        Requires: all files were looked up. Cost: a pass over the rows where files came or went, or rows have expired;
            else nothing.
        """
        if files != self._last[0] or expired is not self._last[1]:
            mask = np.ones(self._rows, bool) if expired is None else ~expired.mask
            for key in files:
                mask[self._hidden_by[key]] = False
            self._last = files, expired, self._same_or_new(mask)
            self._trim(files)
        return self._last[2]

    def _same_or_new(self, mask: BoolArray) -> LiveRows | None:
        """Returns the last set where the same is hidden: what was made of it for filters and lists stays with it."""
        last = self._last[2]
        if last is not None and np.array_equal(last.mask, mask):
            return last
        return None if mask.all() else LiveRows(mask)

    def _trim(self, files: tuple[str, ...]) -> None:
        if self._kept_bytes() > KEPT_BYTES:
            self._hidden_by = {key: self._hidden_by[key] for key in files}

    def _kept_bytes(self) -> int:
        return sum(rows.nbytes + len(key) for key, rows in self._hidden_by.items())


class ExpiredRows:
    """Which rows of one shard are expired, at the moment last asked for. Not safe for two threads at once."""

    def __init__(self) -> None:
        self._last: tuple[tuple[str, int] | None, RowSet | None] = (None, None)

    @property
    def resident_bytes(self) -> int:
        """What is held in memory."""
        return 0 if self._last[1] is None else self._last[1].nbytes

    def at(self, attribute: str, moment_us: int, attributes: ShardAttributes, reader: Reader) -> RowSet | None:
        """Returns the rows whose value is at or before a moment; None where there are none.

        The same object is returned as long as the rows are the same: what was made of it stays with it.

        Args:
            attribute: of type datetime. moment_us: microseconds since 1970-01-01 UTC.
            attributes, reader: of the shard.

        Raises:
            FormatError: when bytes read contradict the format. Whatever the reads raise.

        Cost: nothing where the moment is that of the last call; else a pass over the rows. At most one round, for
            bitmaps and values that no moment before has needed.
        """
        asked = attribute, moment_us
        if asked != self._last[0]:
            found = attributes.matching(["lte", attribute, moment_us], reader)
            self._last = asked, self._same_or_new(found)
        return self._last[1]

    def _same_or_new(self, found: RowSet) -> RowSet | None:
        last = self._last[1]
        if last is not None and np.array_equal(last.mask, found.mask):
            return last
        return found if found.count else None
