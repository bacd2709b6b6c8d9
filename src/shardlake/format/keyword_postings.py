"""The postings of a keyword: a dictionary in the tail, or one in pages."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format.container import Extent
from shardlake.format.paged_map import PagedMap, ReadExtents
from shardlake.format.posting import AttributePostings, Posting, Recipe, Tables


def keyword_postings(tables: Tables, present: Posting) -> AttributePostings:
    """Returns the postings of a keyword from its tables. Raises FormatError."""
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


class _SmallKeyword(AttributePostings):
    """A dictionary that came with the tail."""

    def __init__(self, present: Posting, keys: list[bytes], table: list[Posting]) -> None:
        super().__init__(present)
        self._keys = keys
        self._table = table

    def _recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        keys = _keys_of(word, operands)
        if keys is None:
            low, high = _span(word, operands[0])
            first = 0 if low is None else bisect_left(self._keys, low)
            return Recipe(plus=self._table[first : len(self._keys) if high is None else bisect_left(self._keys, high)])
        places = [(bisect_left(self._keys, key), key) for key in keys]
        return Recipe(plus=[self._table[i] for i, key in places if i < len(self._keys) and self._keys[i] == key])


class _LargeKeyword(AttributePostings):
    """A dictionary in pages, of which a span reads the first and the last: those between have their rows together."""

    def __init__(self, present: Posting, values: PagedMap, unions: list[Posting], rows: int) -> None:
        super().__init__(present)
        self._values = values
        self._unions = unions
        self._rows = rows

    @property
    def resident_bytes(self) -> int:
        """The pages read so far."""
        return self._values.resident_bytes

    def _pages(self, word: str, operands: Sequence[Any]) -> list[Extent]:
        keys = _keys_of(word, operands)
        if keys is not None:
            return self._values.missing(self._values.pages_of(keys))
        low, high = _span(word, operands[0])
        between = self._values.pages_between(low, high)
        return self._values.missing(page for page in between if self._is_cut(page, low, high))

    def _recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
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
