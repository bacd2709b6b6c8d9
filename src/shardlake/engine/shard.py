"""An opened shard and how one search of it runs: filter, search its sources, fuse, shape, top k, items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import LeafAnswer, LeafHit, LeafSearch, LeafStats
from shardlake.core.topk import best_rows
from shardlake.deadline import Deadline
from shardlake.engine.attributes import ShardAttributes
from shardlake.engine.items import ShardItems
from shardlake.engine.nearest import Nearest
from shardlake.engine.reading import Reader, ReadRanges
from shardlake.engine.spaces import FlatSpace, IvfPqSpace, OpenSpace, RowLists
from shardlake.errors import ErrorKind, NotFound
from shardlake.format.container import Extent, decode_block, parse_tail
from shardlake.format.shard import SHARD_KIND
from shardlake.format.shard_header import ShardHeader, decode_row_lists, read_header
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, IndexType, Int64Array


def open_shard(tail: bytes, file_bytes: int, read: ReadRanges) -> OpenShard:
    """Opens a shard from its tail: the bytes from the tail's offset to the end of the file. Raises FormatError."""
    directory = parse_tail(tail, file_bytes, SHARD_KIND)
    return OpenShard(read_header(directory, tail, file_bytes - len(tail)), read)


def _by_score_then_id(hit: tuple[float, tuple[str, bytes], int]) -> tuple[float, str]:
    return -hit[0], hit[1][0]


class OpenShard:
    """A shard and what of it has been read so far. Not safe for two threads at once."""

    def __init__(self, header: ShardHeader, read: ReadRanges) -> None:
        self.header = header
        self._read = read
        self._nearest: dict[str, Nearest] = {}
        self.attributes = ShardAttributes(header)
        self._row_lists: dict[str, RowLists] = {}
        self._items = ShardItems(header)
        self._other_bytes = 0

    @property
    def resident_bytes(self) -> int:
        """What this shard holds in memory, near enough to bound a cache by."""
        spaces = sum(nearest.space.lists.resident_bytes for nearest in self._nearest.values())
        return self._items.resident_bytes + self.attributes.resident_bytes + self._other_bytes + spaces

    def forget_items(self) -> None:
        """Drops the items read so far, which grow with every search; the rest is bounded by the number of rows."""
        self._items.forget()

    def reader(self, stats: LeafStats, deadline: Deadline | None = None) -> Reader:
        """Returns a reader of this shard that counts into `stats`."""
        return Reader(self._read, deadline, stats)

    def space(self, name: str) -> OpenSpace:
        """Returns a space of the shard or raises NotFound."""
        return self.nearest(name).space

    def nearest(self, name: str) -> Nearest:
        """Returns the searches of a space of the shard or raises NotFound."""
        found = self._nearest.get(name)
        if found is None:
            spec = self.header.spaces.get(name)
            if spec is None:
                raise NotFound(f"the shard has no space {name}", kind=ErrorKind.UNKNOWN_SPACE)
            opened = (FlatSpace if spec.index is IndexType.FLAT else IvfPqSpace)(self.header, spec)
            found = Nearest(opened, lambda reader: self._lists_of(name, reader))
            self._nearest[name] = found
        return found

    def search(self, search: LeafSearch, deadline: Deadline | None = None) -> LeafAnswer:
        """Runs one search.

        Raises:
            FormatError: when bytes read contradict the format. DeadlineExceeded: when no time is left.
            Whatever the reads raise.
        """
        stats = LeafStats()
        reader = self.reader(stats, deadline)
        if search.ids is not None:
            hits = self._hits_of(search, self._items.find(search.ids, reader), reader)
            return LeafAnswer(hits=hits, stats=stats, strategy="lookup")
        passing = self._passing(search, reader)
        if passing is not None:
            stats.rows_passing = passing.count
            if not passing.count:
                return LeafAnswer(stats=stats, strategy="none-pass")
        if not search.vectors:
            return self._by_id(search, passing, reader, stats)
        (source,) = search.vectors
        found = self.nearest(source.space).search(source, search.k, passing, reader, stats)
        hits = self._best(search, found.rows, found.scores, reader)
        return LeafAnswer(hits=hits, stats=stats, strategy=found.strategy)

    # Which rows pass ------------------------------------------------------------------------------

    def _passing(self, search: LeafSearch, reader: Reader) -> RowSet | None:
        if search.filter is None:
            return None
        return self.attributes.passing(search.filter, reader)

    def _array(self, name: str, reader: Reader) -> npt.NDArray[np.generic]:
        block = self.header.directory.block(name)
        extent = Extent(offset=block.offset, bytes=block.bytes, checksum=block.checksum)
        return decode_block(name, block, reader.extents([extent])[0])

    def _lists_of(self, space: str, reader: Reader) -> RowLists:
        if space not in self._row_lists:
            stored = f"row_lists/{space}"
            if stored in self.header.directory.blocks:
                of_row = decode_row_lists(self.header, space, self._array(stored, reader))
                self._row_lists[space] = RowLists(of_row, self.header.spaces[space].lists)
            else:
                self._row_lists[space] = RowLists.of_primary(self.header, space)
            self._other_bytes += 12 * self.header.rows
        return self._row_lists[space]

    # Which items those are ------------------------------------------------------------------------

    def _best(self, search: LeafSearch, rows: Int64Array, scores: Float32Array, reader: Reader) -> tuple[LeafHit, ...]:
        if not len(rows):
            return ()
        best = best_rows(scores, search.k)
        numbers, kept = rows[best].tolist(), scores[best].tolist()
        entries = self._items.entries(numbers, reader)
        if len(set(kept)) < len(kept):  # only equal scores have an order to settle, and a place to fight for
            ranked = sorted(zip(kept, entries, numbers, strict=True), key=_by_score_then_id)[: search.k]
            kept, entries, numbers = map(list, zip(*ranked, strict=True))
        return self._as_hits(search, kept, entries, numbers, reader)

    def _as_hits(
        self, search: LeafSearch, scores: list[float], entries: list[tuple[str, bytes]], rows: list[int], reader: Reader
    ) -> tuple[LeafHit, ...]:
        if not entries:
            return ()
        ids, payloads = zip(*entries, strict=True)
        if not search.attributes:
            payloads = (b"",) * len(ids)
        if not search.include_vectors:
            return tuple(map(LeafHit, ids, scores, payloads))
        vectors: list[dict[str, Float32Array]] = [{} for _ in rows]
        for space in search.include_vectors:
            found = self._vectors(space, rows, reader)
            for carried, row in zip(vectors, rows, strict=True):
                if row in found:
                    carried[space] = found[row]
        return tuple(map(LeafHit, ids, scores, payloads, vectors))

    def _hits_of(self, search: LeafSearch, rows: list[int], reader: Reader) -> tuple[LeafHit, ...]:
        return self._as_hits(search, [0.0] * len(rows), self._items.entries(rows, reader), rows, reader)

    def _by_id(self, search: LeafSearch, passing: RowSet | None, reader: Reader, stats: LeafStats) -> LeafAnswer:
        rows = np.arange(self.header.rows) if passing is None else passing.rows
        after = None if search.after is None else search.after[1]
        first = self._items.in_order(rows, after, search.k, reader)
        return LeafAnswer(hits=self._hits_of(search, first, reader), stats=stats, strategy="by-id")

    def _vectors(self, space: str, rows: list[int], reader: Reader) -> dict[int, Float32Array]:
        members = self._lists_of(space, reader)
        found: dict[int, Float32Array] = {}
        wanted = sorted({int(members.of_row[row]) for row in rows} - {-1})
        for number, vectors in self.space(space).lists.exact(wanted, reader):
            position = {int(row): i for i, row in enumerate(members.rows(number))}
            found.update({row: vectors[position[row]] for row in rows if row in position})
        return found
