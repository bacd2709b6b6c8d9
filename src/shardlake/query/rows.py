"""A set of rows of one shard: what a filter lets through, in the forms that its readers want.

Made once, read often: a filter's answer is kept as long as its shard, since neither ever changes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from shardlake.types import BoolArray, ByteArray, Int64Array

FEW_SHARE = 0.25  # of a shard's rows hidden, up to which a search is one of all rows that leaves some out


class RowSet:
    """Rows that pass.

    Attributes:
        mask: (n,) bool, by row number; never written to after this.
    """

    def __init__(self, mask: BoolArray) -> None:
        self.mask = mask

    @cached_property
    def count(self) -> int:
        """How many rows pass."""
        return int(np.count_nonzero(self.mask))

    @property
    def is_all(self) -> bool:
        """Whether every row passes, so that nothing needs to be filtered."""
        return self.count == len(self.mask)

    @cached_property
    def rows(self) -> Int64Array:
        """(count,) int64 row numbers, ascending."""
        return np.flatnonzero(self.mask)

    @cached_property
    def bitmap(self) -> ByteArray:
        """(⌈n / 8⌉,) uint8, little bit first: what faiss's IDSelectorBitmap reads."""
        return np.packbits(self.mask, bitorder="little")

    @property
    def nbytes(self) -> int:
        """What it may come to hold in memory."""
        return len(self.mask) + len(self.mask) // 8 + 8 * self.count
