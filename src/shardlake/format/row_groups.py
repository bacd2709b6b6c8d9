"""Rows of one list in groups that can be read alone.

A sealed part ends in a seal: the xxh3-64 of the bytes before it, seeded with where the part begins in the file. So it
is checked without a table that would have to be read first, and the part of another place is none of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.format.container import SEAL_BYTES, Extent, seal_of, verify_extent

# Rows scattered by a filter are read a group each: small ones cost their seal, an eighth of a percent of a row of 256
# dimensions; large ones read what nobody asked for.
GROUP_ROWS = 8
MAX_GROUP_ROWS = 4_096

Column = tuple[str, str, int]
"""What each row of a group has: name, dtype, and how many of them."""

Columns = dict[str, npt.NDArray[Any]]
"""(n, width) arrays by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroups:
    """Where the groups of one list lie: one behind another, each column after column, then its seal.

    Attributes:
        offset: of the first group in the file.
        rows: of the list.
        group_rows: of each group; the last one has the rest.
        columns: of each row.
    """

    offset: int
    rows: int
    group_rows: int
    columns: tuple[Column, ...]

    @property
    def row_bytes(self) -> int:
        """The size of one row, its share of the seal left out."""
        return sum(np.dtype(dtype).itemsize * width for _, dtype, width in self.columns)

    @property
    def group_bytes(self) -> int:
        """The size of every group but the last."""
        return self.group_rows * self.row_bytes + SEAL_BYTES

    @property
    def size_bytes(self) -> int:
        """The size of all groups."""
        return self.rows * self.row_bytes + SEAL_BYTES * -(-self.rows // self.group_rows)

    def members(self, group: int) -> slice:
        """Returns which rows of the list a group has."""
        return slice(group * self.group_rows, min(self.rows, (group + 1) * self.group_rows))

    def extent(self, group: int) -> Extent:
        """Returns where a group lies."""
        there = self.members(group)
        size = (there.stop - there.start) * self.row_bytes + SEAL_BYTES
        return Extent(offset=self.offset + group * self.group_bytes, bytes=size, is_sealed=True)

    def encode(self, columns: Columns) -> bytes:
        """Returns the bytes of all groups."""
        parts = []
        for first, count, size in self._runs():
            stored = np.zeros(count, self._type(size))
            for name, _, width in self.columns:
                stored[name] = columns[name][first : first + count * size].reshape(count, size, width)
            raw, begins = stored.view(np.uint8).data, self.offset + first // self.group_rows * self.group_bytes
            cuts = range(0, (count + 1) * stored.itemsize, stored.itemsize)
            stored["seal"] = [seal_of(raw[a : b - SEAL_BYTES], begins + a) for a, b in pairwise(cuts)]
            parts.append(stored.tobytes())
        return b"".join(parts)

    def decode(self, data: bytes | memoryview) -> Columns:
        """Returns the columns of all rows. Requires: the bytes were verified, and are as many as `size_bytes`."""
        found = {name: np.empty((self.rows, width), dtype) for name, dtype, width in self.columns}
        begins = 0
        for first, count, size in self._runs():
            stored = np.frombuffer(data, self._type(size), count, begins)
            begins += stored.nbytes
            for name, _, width in self.columns:
                found[name][first : first + count * size].reshape(count, size, width)[...] = stored[name]
        return found

    def decode_group(self, group: int, data: bytes) -> Columns:
        """Returns the columns of one group after its seal. Raises FormatError."""
        verify_extent(self.extent(group), data, "a group of rows")
        there = self.members(group)
        (stored,) = np.frombuffer(data, self._type(there.stop - there.start))
        return {name: stored[name] for name, _, _ in self.columns}

    def _runs(self) -> Sequence[tuple[int, int, int]]:
        """Returns runs of groups of one size: first row, number of groups, rows of each."""
        full, rest = divmod(self.rows, self.group_rows)
        runs = ((0, full, self.group_rows), (full * self.group_rows, 1, rest))
        return [(first, count, size) for first, count, size in runs if count * size]

    def _type(self, rows: int) -> np.dtype[np.void]:
        columns: list[Any] = [(name, dtype, (rows, width)) for name, dtype, width in self.columns]
        return np.dtype([*columns, ("seal", "<u8")])
