"""A sorted map in a container, from bytes to a few unsigned numbers, read page by page.

Term → postings, value → bitmap, id → row: all are this map. Its pages are anonymous blocks of about PAGE_BYTES; the
index (the first key of each page, and where it lies) goes into the tail, so that one lookup is one ranged read.

Blocks of the index: `{name}/keys` the first keys concatenated, `{name}/key_offsets` u4 (pages + 1),
`{name}/pages` u8 (pages × 4): offset, bytes, xxh3-64, entries before the page; `{name}/shape` u4: width, entries.
A page: key offsets u4 (n + 1), padded to 8 bytes; values u8 (n × width); the keys concatenated.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.core.runs import runs
from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, Extent, expect, verify

PAGE_BYTES = 16 * 1024

Values = tuple[int, ...]
ReadExtents = Callable[[Sequence[Extent]], list[bytes]]
"""Reads extents of the file, in one round; returns the bytes of each in the order asked."""


@dataclass(slots=True)
class PagedMapIndex:
    """The index of pages that were written, until the tail takes it."""

    width: int
    first_keys: list[bytes] = field(default_factory=list)
    pages: list[tuple[int, int, int, int]] = field(default_factory=list)
    entries: int = 0

    def add_to(self, writer: ContainerWriter, name: str) -> None:
        """Writes the index as named blocks: call it in the tail."""
        offsets = np.cumsum([0, *map(len, self.first_keys)]).astype(np.uint32)
        writer.add_bytes(f"{name}/keys", b"".join(self.first_keys))
        writer.add_array(f"{name}/key_offsets", offsets)
        writer.add_array(f"{name}/pages", np.asarray(self.pages, np.uint64).reshape(-1, 4))
        writer.add_array(f"{name}/shape", np.asarray([self.width, self.entries], np.uint32))


def write_pages(
    writer: ContainerWriter,
    keys: Sequence[bytes],
    values: npt.NDArray[np.integer[Any]],
    *,
    page_bytes: int = PAGE_BYTES,
) -> PagedMapIndex:
    """Writes the pages of a map.

    Args:
        writer: of the container; the pages go where it stands.
        keys: n distinct keys in ascending order of their bytes.
        values: (n, width) of unsigned numbers, by key.
        page_bytes: of a page, about: what one lookup reads. The index grows as pages shrink.

    Returns:
        The index, to be added in the tail.
    """
    table = np.ascontiguousarray(values, "<u8")
    index = PagedMapIndex(width=table.shape[1], entries=len(keys))
    sizes = np.fromiter(map(len, keys), np.int64, len(keys)) + 4 + 8 * table.shape[1]
    for start, stop in runs(sizes, page_bytes):
        extent = writer.append(_encode_page(keys[start:stop], table[start:stop]))
        index.first_keys.append(keys[start])
        index.pages.append((*extent, start))
    return index


def _encode_page(keys: Sequence[bytes], values: npt.NDArray[np.uint64]) -> bytes:
    offsets = np.cumsum([0, *map(len, keys)]).astype("<u4").tobytes()
    return b"".join([offsets, b"\0" * (-len(offsets) % 8), values.tobytes(), *keys])


@dataclass(frozen=True, slots=True)
class _Page:
    keys: list[bytes]
    values: npt.NDArray[np.uint64]

    def get(self, key: bytes) -> Values | None:
        position = bisect_left(self.keys, key)
        if position == len(self.keys) or self.keys[position] != key:
            return None
        return tuple(self.values[position].tolist())


class PagedMap:
    """A map of an opened container; the pages read so far stay, decoded.

    Args:
        arrays: the decoded blocks of the tail.
        name: of the map.

    Raises:
        FormatError: when the index contradicts itself.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], name: str) -> None:
        self._name = name
        try:
            shape = expect(name, arrays[f"{name}/shape"], np.uint32, (2,))
            self._table = expect(name, arrays[f"{name}/pages"], np.uint64, (None, 4))
            offsets = expect(name, arrays[f"{name}/key_offsets"], np.uint32, (len(self._table) + 1,)).tolist()
            text = expect(name, arrays[f"{name}/keys"], np.uint8, (None,)).tobytes()
        except KeyError as exc:
            raise FormatError("a map lacks a block of its index", map=name) from exc
        self._width, self.entries = (int(number) for number in shape)
        if offsets[0] != 0 or offsets[-1] != len(text) or any(a > b for a, b in pairwise(offsets)) or not self._width:
            raise FormatError("the index of a map contradicts itself", map=name)
        self._first_keys = [text[a:b] for a, b in pairwise(offsets)]
        firsts = [*self._table[:, 3].tolist(), self.entries]
        in_order = all(a < b for a, b in pairwise(self._first_keys)) and all(a < b for a, b in pairwise(firsts))
        if not in_order or (self.entries and firsts[0] != 0):
            raise FormatError("the index of a map is not in order", map=name)
        self._firsts: list[int] = firsts
        self._pages: dict[int, _Page] = {}
        self.resident_bytes = 0

    def find(self, keys: Sequence[bytes], read: ReadExtents) -> list[Values | None]:
        """Returns the numbers of each key, None where the map has none. Cost: one round, one read a page."""
        places = [bisect_right(self._first_keys, key) - 1 for key in keys]
        self._load({place for place in places if place >= 0}, read)
        return [self._pages[place].get(key) if place >= 0 else None for place, key in zip(places, keys, strict=True)]

    def pages_of(self, keys: Sequence[bytes]) -> set[int]:
        """Returns the numbers of the pages that `find` would look into."""
        return {place for key in keys if (place := bisect_right(self._first_keys, key) - 1) >= 0}

    def pages_between(self, low: bytes | None, high: bytes | None) -> range:
        """Returns the numbers of the pages that may have keys with low <= key < high."""
        first = max(0, bisect_right(self._first_keys, low) - 1) if low is not None else 0
        return range(first, bisect_left(self._first_keys, high) if high is not None else len(self._first_keys))

    def bounds(self, page: int) -> tuple[bytes, bytes | None]:
        """Returns the first key of a page and of the page behind it, None where that is the end."""
        return self._first_keys[page], self._first_keys[page + 1] if page + 1 < len(self._first_keys) else None

    def missing(self, pages: Iterable[int]) -> list[Extent]:
        """Returns where those of the pages lie that were not read yet, so that several maps are read in one round."""
        return [Extent.of(self._table[number, :3].tolist()) for number in sorted(set(pages) - self._pages.keys())]

    def position(self, key: bytes, read: ReadExtents) -> int:
        """Returns how many keys are at most `key`. Cost: one read."""
        place = bisect_right(self._first_keys, key) - 1
        if place < 0:
            return 0
        self._load({place}, read)
        return self._firsts[place] + bisect_right(self._pages[place].keys, key)

    def between(self, low: bytes | None, high: bytes | None, read: ReadExtents) -> Iterator[tuple[bytes, Values]]:
        """Yields the entries with low <= key < high, ascending; None is no bound. Cost: one round, all their pages."""
        numbers = self.pages_between(low, high)
        self._load(set(numbers), read)
        for number in numbers:
            page = self._pages[number]
            start = bisect_left(page.keys, low) if low is not None else 0
            stop = bisect_left(page.keys, high) if high is not None else len(page.keys)
            for key, row in zip(page.keys[start:stop], page.values[start:stop].tolist(), strict=True):
                yield key, tuple(row)

    def _load(self, numbers: set[int], read: ReadExtents) -> None:
        missing = sorted(numbers - self._pages.keys())
        extents = self.missing(missing)
        if not extents:
            return
        for number, extent, data in zip(missing, extents, read(extents), strict=True):
            self._pages[number] = self._decode(number, extent, data)
            self.resident_bytes += 3 * len(data)

    def _decode(self, number: int, extent: Extent, data: bytes) -> _Page:
        verify(data, extent.checksum, f"a page of {self._name}")
        count = self._firsts[number + 1] - self._firsts[number]
        head = 4 * (count + 1) + (-4 * (count + 1)) % 8
        body = head + 8 * count * self._width
        offsets = np.frombuffer(data[: 4 * (count + 1)], "<u4").tolist() if len(data) >= body else [1]
        if offsets[0] != 0 or offsets[-1] != len(data) - body or any(a > b for a, b in pairwise(offsets)):
            raise FormatError("a page of a map contradicts its offsets", map=self._name)
        keys = [data[body + a : body + b] for a, b in pairwise(offsets)]
        values = np.frombuffer(data[head:body], "<u8").reshape(count, self._width)
        if keys[0] != self._first_keys[number] or any(a >= b for a, b in pairwise(keys)):
            raise FormatError("a page of a map is not in order", map=self._name)
        return _Page(keys, values)
