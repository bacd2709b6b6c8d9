"""The items of one opened shard: by row, by id, and in the order of their ids."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shardlake.engine.reading import Reader
from shardlake.errors import ErrorKind, FormatError
from shardlake.format.container import expect
from shardlake.format.paged_map import PagedMap
from shardlake.format.shard import IDS, ItemChunk, decode_items
from shardlake.format.shard_header import ShardHeader, items_first_rows
from shardlake.types import Int64Array

ANSWERED_BYTES = 8 * 1024 * 1024  # of items that are kept cut out of their chunks; all are dropped when there are more
ENTRY_BYTES = 200  # of one of them, beside its id and payload
WHOLE_ROWS = 16_384  # of a shard whose map of ids is held whole once a good part of it is looked up: a segment's
WHOLE_SHARE = 4  # a good part: one in so many
NO_ROW = -1
CHUNKS_BYTES = 16 * 1024 * 1024  # of chunks that are kept for the items beside those answered; the oldest go first


class ShardItems:
    """What a shard holds of its items; what was read stays until `forget`."""

    def __init__(self, header: ShardHeader) -> None:
        self._header = header
        self._first_rows = items_first_rows(header)
        self._chunks: dict[int, ItemChunk] = {}
        self._answered: dict[int, tuple[str, bytes]] = {}  # the same items are answered again and again
        self._ids = PagedMap(header.arrays, IDS) if f"{IDS}/pages" in header.arrays else None
        self._row_of: dict[bytes, int] = {}
        self._row_of_bytes = 0
        self._ranks: npt.NDArray[np.uint32] | None = None
        self._chunk_bytes = self._answered_bytes = 0

    @property
    def resident_bytes(self) -> int:
        """What is held in memory."""
        ranks = 0 if self._ranks is None else self._ranks.nbytes
        ids = self._row_of_bytes + (self._ids.resident_bytes if self._ids else 0)
        return self._chunk_bytes + self._answered_bytes + ranks + ids

    def forget(self) -> None:
        """Drops the items read so far, which grow with every search; the rest is bounded by the number of rows."""
        self._chunks.clear()
        self._answered.clear()
        self._chunk_bytes = self._answered_bytes = 0

    def entries(self, rows: list[int], reader: Reader) -> list[tuple[str, bytes]]:
        """Returns id and payload of each row. Cost: one round for the chunks that are not held."""
        answered = self._answered
        try:
            return [answered[row] for row in rows]
        except KeyError:
            missing = sorted(set(rows) - answered.keys())
            found = dict(zip(missing, self._cut(missing, reader), strict=True))
            entries = [found[row] if row in found else answered[row] for row in rows]
            self._keep(found)
            return entries

    def _keep(self, found: dict[int, tuple[str, bytes]]) -> None:
        size = sum(len(item_id) + len(payload) + ENTRY_BYTES for item_id, payload in found.values())
        if self._answered_bytes + size > ANSWERED_BYTES:
            self._answered.clear()
            self._answered_bytes = 0
        if size <= ANSWERED_BYTES:
            self._answered.update(found)
            self._answered_bytes += size
        self._trim()

    def _trim(self) -> None:
        while self._chunk_bytes > CHUNKS_BYTES and len(self._chunks) > 1:
            oldest = next(iter(self._chunks))
            self._chunk_bytes -= len(self._chunks.pop(oldest).data)

    def _cut(self, rows: list[int], reader: Reader) -> list[tuple[str, bytes]]:
        first_rows, chunks = self._first_rows, self._chunks
        numbers = [bisect_right(first_rows, row) - 1 for row in rows]
        missing = set(numbers) - chunks.keys()
        if missing:
            self._load(sorted(missing), reader)
        return [chunks[number].entry(row - first_rows[number]) for number, row in zip(numbers, rows, strict=True)]

    def order(self, reader: Reader) -> IdsInOrder:
        """Returns the order of the ids, to be read where it is asked for."""
        return IdsInOrder(self, reader)

    def first_behind(self, item_id: str, reader: Reader) -> int:
        """Returns how many ids are at most `item_id`, whether the shard has it or not. Cost: one page of ids."""
        return self._map().position(item_id.encode(), reader.extents)

    def in_order(self, rows: Int64Array, after: str | None, count: int, reader: Reader) -> list[int]:
        """Returns the first `count` of `rows` in the order of their ids, of those behind the id `after`.

        Cost: one column of ranks, once; where `after` is given, one page of ids.
        """
        ranks = self.ranks(reader)[rows]
        if after is not None:
            behind = ranks >= self.first_behind(after, reader)
            rows, ranks = rows[behind], ranks[behind]
        if count < len(rows):
            first = np.argpartition(ranks, count - 1)[:count]
            rows, ranks = rows[first], ranks[first]
        ordered: list[int] = rows[np.argsort(ranks, kind="stable")].tolist()
        return ordered

    def find(self, ids: tuple[str, ...], reader: Reader) -> list[int]:
        """Returns the rows of those ids that the shard has, in the order asked. Cost: one read an id at most."""
        rows: list[int] = self.rows_of([text.encode() for text in ids], reader).tolist()
        return [row for row in rows if row != NO_ROW]

    def rows_of(self, ids: Sequence[bytes], reader: Reader) -> Int64Array:
        """Returns (n,) the row of each id, NO_ROW where the shard has none. Cost: one round, one read a page."""
        entries = self._map().entries
        if not self._row_of and entries <= WHOLE_ROWS and len(ids) * WHOLE_SHARE >= entries:
            whole = {key: values[0] for key, values in self._map().between(None, None, reader.extents)}
            self._row_of = whole
            self._row_of_bytes = sum(len(key) + ENTRY_BYTES for key in whole)
        if self._row_of:
            get = self._row_of.get
            found = [get(one, NO_ROW) for one in ids]
        else:
            values = self._map().find(ids, reader.extents)
            found = [NO_ROW if one is None else one[0] for one in values]
        rows = np.asarray(found, np.int64)
        if (rows >= self._header.rows).any():
            raise FormatError("an id names a row that the shard does not have", block=IDS)
        return rows

    def ranks(self, reader: Reader) -> npt.NDArray[np.uint32]:
        """Returns (rows,) the place of each row's id among all ids. Cost: one column, once."""
        if self._ranks is None:
            array = reader.array("id_rank", self._header.directory.block("id_rank"))
            self._ranks = expect("id_rank", array, np.uint32, (self._header.rows,))
        return self._ranks

    def _map(self) -> PagedMap:
        if self._ids is None:
            raise FormatError(
                "the shard was built by an older release, which wrote no map of ids: build again",
                kind=ErrorKind.UNSUPPORTED_VERSION,
            )
        return self._ids

    def _load(self, numbers: list[int], reader: Reader) -> None:
        extents = [self._header.item_extent(number) for number in numbers]
        for number, extent, data in zip(numbers, extents, reader.extents(extents), strict=True):
            count = self._first_rows[number + 1] - self._first_rows[number]
            self._chunks[number] = decode_items(count, extent, data)
            self._chunk_bytes += len(data)


class IdsInOrder:
    """The order of a shard's ids for one search (`engine.shaping.IdOrder`)."""

    def __init__(self, items: ShardItems, reader: Reader) -> None:
        self._items = items
        self._reader = reader

    def ranks(self, rows: Int64Array) -> npt.NDArray[np.uint32]:
        """Returns (n,) the place of each row in the order of ids."""
        return self._items.ranks(self._reader)[rows]

    def first_behind(self, item_id: str) -> int:
        """Returns the first place that lies behind an id, whether the shard has that id or not."""
        return self._items.first_behind(item_id, self._reader)
