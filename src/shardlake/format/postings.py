"""The postings of a shard, read: which bitmaps settle a condition, and these. `format/attributes.py` writes them.

Nothing is believed before it is checked: every number of a table against the rows of the shard, every bitmap against
its checksum, its count and the rows that there are, every value of a bucket against the bucket's bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format.attributes import EXTENT_TABLES, POSTING, PREFIX
from shardlake.format.container import Extent, expect, verify
from shardlake.format.paged_map import PagedMap, ReadExtents
from shardlake.format.shard_header import ShardHeader
from shardlake.query.columns import NUMBERS, condition
from shardlake.query.postings import checkpoint_step, column_of_bucket, cover
from shardlake.types import AttributeSpec, AttributeType

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


class AttributePostings(Protocol):
    """The postings of one attribute."""

    def pages(self, word: str, operands: Sequence[Any]) -> list[Extent]:
        """Returns what has to be read before `recipe` is asked."""

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        """Returns what settles a condition; `read` is asked for what `pages` named."""

    @property
    def resident_bytes(self) -> int:
        """What it holds beside the tail."""


def read_postings(header: ShardHeader, name: str) -> AttributePostings | None:
    """Returns the postings of an attribute, None in a shard of format version 1. Raises FormatError."""
    prefix = f"{PREFIX}{name}"
    if f"{prefix}/present" not in header.arrays:
        return None
    spec = header.attributes[name]
    tables = _Tables(header, prefix)
    present = Posting.of(tables.array("present", np.uint64, (POSTING,)).tolist(), header.rows)
    if spec.type is AttributeType.TEXT:
        return _Presence(present)
    if spec.type is AttributeType.KEYWORD:
        return _keyword(tables, present)
    if spec.type is AttributeType.BOOL:
        return _Bools(present, tables.postings("table", 2))
    return _buckets(tables, present, spec)


def posting_extents(header: ShardHeader) -> Iterator[Extent]:
    """Yields where the postings lie that the tail names: all but those of values in pages."""
    for name, array in header.arrays.items():
        if name.startswith(PREFIX) and name.endswith(EXTENT_TABLES):
            for offset, size, checksum in array.reshape(-1, array.shape[-1])[:, :3].tolist():
                if size:
                    yield Extent.of((offset, size, checksum))


class _Tables:
    """The arrays of one attribute in the tail."""

    def __init__(self, header: ShardHeader, prefix: str) -> None:
        self.header = header
        self.prefix = prefix

    def array(self, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        found = self.header.arrays.get(f"{self.prefix}/{name}")
        if found is None:
            raise FormatError("an attribute lacks a part of its postings", block=f"{self.prefix}/{name}")
        return expect(f"{self.prefix}/{name}", found, dtype, shape)

    def postings(self, name: str, count: int | None) -> list[Posting]:
        table = self.array(name, np.uint64, (count, POSTING))
        return [Posting.of(row, self.header.rows) for row in table.tolist()]


class _Presence:
    """All that is known of a text."""

    def __init__(self, present: Posting) -> None:
        self._present = present

    @property
    def resident_bytes(self) -> int:
        return 0

    def pages(self, word: str, operands: Sequence[Any]) -> list[Extent]:
        return []

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        if word == "exists":
            return Recipe(plus=[self._present])
        raise InvalidInput(f"an attribute of that type is not asked for {word}", kind=ErrorKind.INVALID_FILTER)


class _Bools(_Presence):
    def __init__(self, present: Posting, table: list[Posting]) -> None:
        super().__init__(present)
        self._table = table

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        if word == "exists":
            return Recipe(plus=[self._present])
        passing = condition(word, column_of_bucket(np.array([0, 1], np.uint8)), operands)
        return Recipe(plus=[posting for posting, passes in zip(self._table, passing, strict=True) if passes])


# Keywords ---------------------------------------------------------------------------------------------


def _keyword(tables: _Tables, present: Posting) -> AttributePostings:
    if f"{tables.prefix}/keys" not in tables.header.arrays:
        values = PagedMap(tables.header.arrays, f"{tables.prefix}/values")
        count = len(values.pages_between(None, None))
        return _LargeKeyword(present, values, tables.postings("unions", count), tables.header.rows)
    text = tables.array("keys", np.uint8, (None,)).tobytes()
    offsets = tables.array("key_offsets", np.uint32, (None,)).tolist()
    if not offsets or offsets[0] != 0 or offsets[-1] != len(text) or any(a > b for a, b in pairwise(offsets)):
        raise FormatError("a dictionary contradicts its offsets", block=tables.prefix)
    keys = [text[a:b] for a, b in pairwise(offsets)]
    if any(a >= b for a, b in pairwise(keys)):
        raise FormatError("a dictionary is not in order", block=tables.prefix)
    return _SmallKeyword(present, keys, tables.postings("table", len(keys)))


def _span(word: str, operand: str) -> tuple[bytes | None, bytes | None]:
    """Returns low and high of the keys, low <= key < high, that satisfy an ordered condition or a prefix."""
    key = operand.encode()
    behind = key + b"\0"  # the least text that is greater
    if word == "prefix":
        # UTF-8 has no byte 255, so the last one always has a next.
        return key, (key[:-1] + bytes([key[-1] + 1]) if key else None)
    return {"gt": (behind, None), "gte": (key, None), "lt": (None, key), "lte": (None, behind)}[word]


def _keys_of(word: str, operands: Sequence[Any]) -> list[bytes] | None:
    """Returns the keys that a condition names, or None when it is of a span."""
    if word in {"eq", "in"}:
        return sorted({value.encode() for value in ([operands[0]] if word == "eq" else operands[0])})
    if word not in {"gt", "gte", "lt", "lte", "prefix"}:
        raise InvalidInput(f"a keyword is not asked for {word}", kind=ErrorKind.INVALID_FILTER)
    return None


class _SmallKeyword(_Presence):
    """A dictionary that came with the tail."""

    def __init__(self, present: Posting, keys: list[bytes], table: list[Posting]) -> None:
        super().__init__(present)
        self._keys = keys
        self._table = table

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        if word == "exists":
            return Recipe(plus=[self._present])
        keys = _keys_of(word, operands)
        if keys is None:
            low, high = _span(word, operands[0])
            first = 0 if low is None else bisect_left(self._keys, low)
            return Recipe(plus=self._table[first : len(self._keys) if high is None else bisect_left(self._keys, high)])
        places = [(bisect_left(self._keys, key), key) for key in keys]
        return Recipe(plus=[self._table[i] for i, key in places if i < len(self._keys) and self._keys[i] == key])


class _LargeKeyword(_Presence):
    """A dictionary in pages, of which a span reads the first and the last: those between have their rows together."""

    def __init__(self, present: Posting, values: PagedMap, unions: list[Posting], rows: int) -> None:
        super().__init__(present)
        self._values = values
        self._unions = unions
        self._rows = rows

    @property
    def resident_bytes(self) -> int:
        return self._values.resident_bytes

    def pages(self, word: str, operands: Sequence[Any]) -> list[Extent]:
        if word == "exists":
            return []
        keys = _keys_of(word, operands)
        if keys is not None:
            return self._values.missing(self._values.pages_of(keys))
        low, high = _span(word, operands[0])
        between = self._values.pages_between(low, high)
        return self._values.missing(page for page in between if self._is_cut(page, low, high))

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        if word == "exists":
            return Recipe(plus=[self._present])
        keys = _keys_of(word, operands)
        if keys is not None:
            found = [numbers for numbers in self._values.find(keys, read) if numbers is not None]
            return Recipe(plus=[Posting.of(numbers, self._rows) for numbers in found])
        low, high = _span(word, operands[0])
        plus: list[Posting] = []
        for page in self._values.pages_between(low, high):
            if not self._is_cut(page, low, high):
                plus.append(self._unions[page])
                continue
            first, behind = self._values.bounds(page)
            start = first if low is None else max(low, first)
            stop = high if behind is None else behind if high is None else min(high, behind)
            entries = self._values.between(start, stop, read) if stop is None or start < stop else ()
            plus.extend(Posting.of(numbers, self._rows) for _, numbers in entries)
        return Recipe(plus=plus)

    def _is_cut(self, page: int, low: bytes | None, high: bytes | None) -> bool:
        """Whether a page may have keys outside the span."""
        first, behind = self._values.bounds(page)
        return (low is not None and first < low) or (high is not None and (behind is None or behind > high))


# Numbers and places -----------------------------------------------------------------------------------


def _buckets(tables: _Tables, present: Posting, spec: AttributeSpec) -> AttributePostings:
    is_geo = spec.type is AttributeType.GEO
    axes = 2 if is_geo else 1
    bounds = tables.array("bounds", np.float64 if is_geo else NUMBERS[spec.type], (None, 2 * axes))
    table = tables.postings("table", len(bounds))
    values = [Extent.of(row) for row in tables.array("values", np.uint64, (len(bounds), 3)).tolist()]
    checkpoints = (
        [] if is_geo else tables.postings("checkpoints", max(0, len(bounds) - 1) // checkpoint_step(len(bounds)))
    )
    in_order = bool((bounds[:, :axes] <= bounds[:, axes:]).all()) and (
        is_geo or bool((bounds[:-1, 1] <= bounds[1:, 0]).all())
    )
    sizes = [8 * axes * posting.rows for posting in table] == [extent.bytes for extent in values]
    if not in_order or not sizes or sum(posting.rows for posting in table) != present.rows:
        raise FormatError("the buckets of an attribute contradict each other", block=tables.prefix)
    buckets = [InBucket(rows=p, values=v, bounds=b) for p, v, b in zip(table, values, bounds, strict=True)]
    return _Buckets(present, buckets, bounds, checkpoints, is_geo=is_geo)


class _Buckets(_Presence):
    def __init__(
        self,
        present: Posting,
        buckets: list[InBucket],
        bounds: npt.NDArray[Any],
        checkpoints: list[Posting],
        *,
        is_geo: bool,
    ) -> None:
        super().__init__(present)
        self._buckets = buckets
        self._bounds = bounds
        self._checkpoints = checkpoints
        self._words = {"near", "box"} if is_geo else {"eq", "in", "gt", "gte", "lt", "lte"}

    def recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        if word not in self._words:
            return super().recipe(word, operands, read)
        whole, partly = cover(word, operands, self._bounds)
        recipe = Recipe(inside=[self._buckets[number] for number in np.flatnonzero(partly)])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(np.int8))).tolist()
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            self._add_run(recipe, first, stop)
        return recipe

    def _add_run(self, recipe: Recipe, first: int, stop: int) -> None:
        """Adds the buckets first to stop: one by one, or as what is cumulated to `stop` without that to `first`."""
        plain = [bucket.rows for bucket in self._buckets[first:stop]]
        # What one run takes away must not be what another added: only one of a condition is cumulated.
        if not self._checkpoints or recipe.plus:
            recipe.also.extend(plain)
            return
        plus, minus = self._upto(stop, len(self._buckets))
        without, back = self._upto(first, stop)
        if _size([*plus, *minus, *without, *back]) >= _size(plain):
            recipe.also.extend(plain)
            return
        recipe.plus.extend(plus)
        recipe.minus.extend([*minus, *without])
        recipe.also.extend(back)

    def _upto(self, end: int, limit: int) -> tuple[list[Posting], list[Posting]]:
        """Returns the buckets before `end` as bitmaps to add and to take away, none of a bucket from `limit` on."""
        step = checkpoint_step(len(self._buckets))
        below = end // step * step
        above = min(below + step, len(self._buckets))
        up = [self._cumulated(below), *(bucket.rows for bucket in self._buckets[below:end])]
        down, beyond = self._cumulated(above), [bucket.rows for bucket in self._buckets[end:above]]
        return (up, []) if above > limit or _size(up) <= _size([down, *beyond]) else ([down], beyond)

    def _cumulated(self, stop: int) -> Posting:
        if stop == len(self._buckets):
            return self._present
        step = checkpoint_step(len(self._buckets))
        return self._checkpoints[stop // step - 1] if stop else Posting(0, 0, 0, 0)


def _size(postings: Sequence[Posting]) -> int:
    return sum(posting.size for posting in postings)
