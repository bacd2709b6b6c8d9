"""One posting, read: a set of rows, where it lies, and how several make the rows that satisfy a condition.

Nothing is believed before it is checked: every number of a table against the rows of the shard, every bitmap against
its checksum, its count and the rows that there are, every value of a bucket against the bucket's bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format.attributes import POSTING
from shardlake.format.container import Extent, expect, verify
from shardlake.format.paged_map import ReadExtents
from shardlake.format.shard_header import ShardHeader

_ROARING_CONTAINER_ROWS = 65_536
_ROARING_CONTAINER_BYTES = 8_192 + 16  # of one serialized, at most, with its share of the headers


class Posting(NamedTuple):
    """Where the bitmap of some rows lies, and how many they are; size 0: see `format/attributes.py`."""

    offset: int
    size: int
    checksum: int
    rows: int

    @classmethod
    def of(cls, numbers: Sequence[int], rows: int) -> Posting:
        """Returns the posting that a row of a table names. Raises FormatError when no shard of `rows` rows has it."""
        if len(numbers) != POSTING:
            raise FormatError("a posting has another number of fields than the format says")
        posting = cls(*numbers)
        containers = -(-rows // _ROARING_CONTAINER_ROWS)
        stored = 2 <= posting.rows < rows and posting.size <= containers * _ROARING_CONTAINER_BYTES + 16
        implied = posting.rows in {0, rows} or (posting.rows == 1 and posting.offset < rows)
        if not (stored if posting.size else implied):
            raise FormatError("a posting contradicts the rows of the shard", count=posting.rows, bytes=posting.size)
        return posting

    @property
    def extent(self) -> Extent | None:
        """Where its bytes lie; None when it needs none."""
        return Extent(offset=self.offset, bytes=self.size, checksum=self.checksum) if self.size else None

    def decode(self, data: bytes, rows: int) -> BitMap:
        """Returns the bitmap; `data` is empty where there is no extent. Raises FormatError."""
        if not self.size:
            return BitMap(range(rows)) if self.rows == rows else BitMap([self.offset][: self.rows])
        verify(data, self.checksum, "a posting")
        try:
            bitmap = BitMap.deserialize(data)
        except ValueError as exc:
            raise FormatError("a posting is no roaring bitmap") from exc
        if len(bitmap) != self.rows or bitmap.max() >= rows:
            raise FormatError("a posting has other rows than its table says")
        return bitmap


@dataclass(frozen=True, slots=True, kw_only=True)
class InBucket:
    """A bucket to be looked into: its rows, and where their values lie."""

    rows: Posting
    values: Extent
    bounds: npt.NDArray[Any]

    def decode(self, data: bytes) -> npt.NDArray[Any]:
        """Returns (n,) values or (n, 2) places by row. Raises FormatError."""
        verify(data, self.values.checksum, "values of a bucket")
        axes = len(self.bounds) // 2
        values = np.frombuffer(data, self.bounds.dtype).reshape(-1, axes)
        # Not a number lies within no bounds.
        if not ((self.bounds[:axes] <= values) & (values <= self.bounds[axes:])).all():
            raise FormatError("a bucket has values beyond its bounds")
        return values if axes > 1 else values[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How bitmaps make the rows of a condition: all of `plus`, without `minus`, and `also`, and some of `inside`."""

    plus: list[Posting] = field(default_factory=list)
    minus: list[Posting] = field(default_factory=list)
    also: list[Posting] = field(default_factory=list)
    inside: list[InBucket] = field(default_factory=list)

    @property
    def postings(self) -> list[Posting]:
        """Every bitmap that is needed."""
        return [*self.plus, *self.minus, *self.also, *(bucket.rows for bucket in self.inside)]

    @property
    def count(self) -> int:
        """How many rows there are at most."""
        added = sum(posting.rows for posting in (*self.plus, *self.also))
        return added - sum(posting.rows for posting in self.minus) + sum(bucket.rows.rows for bucket in self.inside)


class Tables:
    """The arrays of one attribute in the tail."""

    def __init__(self, header: ShardHeader, prefix: str) -> None:
        self.header = header
        self.prefix = prefix

    def array(self, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        """Returns an array of that type and shape. Raises FormatError."""
        found = self.header.arrays.get(f"{self.prefix}/{name}")
        if found is None:
            raise FormatError("an attribute lacks a part of its postings", block=f"{self.prefix}/{name}")
        return expect(f"{self.prefix}/{name}", found, dtype, shape)

    def postings(self, name: str, count: int | None) -> list[Posting]:
        """Returns a table of `count` postings, or of any number. Raises FormatError."""
        table = self.array(name, np.uint64, (count, POSTING))
        return [Posting.of(row, self.header.rows) for row in table.tolist()]


class AttributePostings:
    """The postings of one attribute. On its own: of a text, of which is known where there is one."""

    def __init__(self, present: Posting) -> None:
        self._present = present

    @property
    def resident_bytes(self) -> int:
        """What it holds beside the tail."""
        return 0

    def pages(self, word: str, operands: Sequence[Any]) -> list[Extent]:
        """Returns what has to be read before `recipe` is asked."""
        return [] if word == "exists" else self._pages(word, operands)

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        """Returns what settles a condition; `read` is asked for what `pages` named. Raises InvalidInput."""
        return Recipe(plus=[self._present]) if word == "exists" else self._recipe(word, operands, read)

    def _pages(self, word: str, operands: Sequence[Any]) -> list[Extent]:
        return []

    def _recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        raise InvalidInput(f"an attribute of that type is not asked for {word}", kind=ErrorKind.INVALID_FILTER)
