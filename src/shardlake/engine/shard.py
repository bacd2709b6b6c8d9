"""An opened shard and how one search of it runs: filter, choose, load, scan, refine, top k, items."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import LeafAnswer, LeafHit, LeafSearch, LeafStats
from shardlake.core.topk import best_rows
from shardlake.core.vectors import score_exact
from shardlake.deadline import Deadline
from shardlake.engine.binary_space import BinarySpace
from shardlake.engine.reading import Reader, ReadRanges
from shardlake.engine.space_types import open_space
from shardlake.engine.spaces import OpenSpace, Probe, RowLists, Scored, count_scan
from shardlake.errors import ErrorKind, InvalidInput, NotFound
from shardlake.format.columns import column_blocks, decode_column
from shardlake.format.container import Extent, decode_block, expect, parse_tail
from shardlake.format.shard import SHARD_KIND, ItemChunk, ShardSpace, decode_items
from shardlake.format.shard_header import ShardHeader, decode_row_lists, items_first_rows, read_header
from shardlake.query.columns import Column, evaluate
from shardlake.query.filter import attributes_of
from shardlake.types import BoolArray, IndexType, Int64Array

FEW_ROWS = 4_096  # passing rows that are cheaper to score one by one than to find by scanning
WIDENING = 4  # passing rows looked at for each candidate wanted, at least


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
        self._spaces: dict[str, OpenSpace] = {}
        self._binary: dict[str, BinarySpace] = {}
        self._columns: dict[str, Column] = {}
        self._row_lists: dict[str, RowLists] = {}
        self._first_rows = items_first_rows(header)
        self._chunks: dict[int, ItemChunk] = {}
        self._item_bytes = 0
        self._other_bytes = 0

    @property
    def resident_bytes(self) -> int:
        """What this shard holds in memory, near enough to bound a cache by."""
        spaces = sum(space.resident_bytes for space in self._spaces.values())
        buckets = sum(space.resident_bytes for space in self._binary.values())
        return self._item_bytes + self._other_bytes + spaces + buckets

    def forget_items(self) -> None:
        """Drops the items read so far, which grow with every search; the rest is bounded by the number of rows."""
        self._chunks.clear()
        self._item_bytes = 0

    def reader(self, stats: LeafStats, deadline: Deadline | None = None) -> Reader:
        """Returns a reader of this shard that counts into `stats`."""
        return Reader(self._read, deadline, stats)

    def space(self, name: str) -> OpenSpace:
        """Returns the space that has a space's vectors: itself, or its source. Raises NotFound."""
        spec = self._spec(name)
        stored = spec.source or name
        if stored not in self._spaces:
            self._spaces[stored] = open_space(self.header, self.header.spaces[stored])
        return self._spaces[stored]

    def binary(self, name: str) -> BinarySpace | None:
        """Returns the hash buckets of a binary_mih space, None for a space of another type. Raises NotFound."""
        spec = self._spec(name)
        if spec.index is not IndexType.BINARY_MIH:
            return None
        if name not in self._binary:
            self._binary[name] = BinarySpace(self.header, spec, self.space(name))
        return self._binary[name]

    def _spec(self, name: str) -> ShardSpace:
        spec = self.header.spaces.get(name)
        if spec is None:
            raise NotFound(f"the shard has no space {name}", kind=ErrorKind.UNKNOWN_SPACE)
        return spec

    def search(self, search: LeafSearch, deadline: Deadline | None = None) -> LeafAnswer:
        """Runs one search.

        Raises:
            FormatError: when bytes read contradict the format. DeadlineExceeded: when no time is left.
            Whatever the reads raise.
        """
        stats = LeafStats()
        reader = self.reader(stats, deadline)
        passing = self._passing(search, reader)
        if passing is not None:
            stats.rows_passing = int(np.count_nonzero(passing))
            if not stats.rows_passing:
                return LeafAnswer(stats=stats, strategy="none-pass")
        if search.query is None:
            return self._by_id(search, passing, reader, stats)
        strategy, (rows, scores) = self._scored(search, passing, reader, stats)
        hits = self._hits(search, rows, scores, reader)
        return LeafAnswer(hits=hits, stats=stats, strategy=strategy)

    # Which rows pass ------------------------------------------------------------------------------

    def _passing(self, search: LeafSearch, reader: Reader) -> BoolArray | None:
        if search.filter is None:
            return None
        names = attributes_of(search.filter)
        for name in names - self._columns.keys():
            self._columns[name] = self._column(name, reader)
        return evaluate(search.filter, self._columns, self.header.rows)

    def _column(self, name: str, reader: Reader) -> Column:
        if name not in self.header.attributes:
            raise InvalidInput(f"the shard has no attribute {name}", kind=ErrorKind.INVALID_FILTER)
        arrays = {block: self._array(block, reader) for block in column_blocks(self.header, name)}
        self._other_bytes += sum(array.nbytes for array in arrays.values())
        return decode_column(self.header, name, arrays)

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

    # Which rows are nearest -----------------------------------------------------------------------

    def _scored(
        self, search: LeafSearch, passing: BoolArray | None, reader: Reader, stats: LeafStats
    ) -> tuple[str, Scored]:
        assert search.space is not None
        assert search.query is not None
        space = self.space(search.space)
        is_flat = space.lists.space.index is IndexType.FLAT
        if search.exact and not is_flat:
            return "exact", self._exact(search, space, passing, reader, stats)
        if is_flat or (passing is not None and stats.rows_passing <= FEW_ROWS):
            return "rows", self._by_rows(search, space, passing, reader, stats)
        if (buckets := self.binary(search.space)) is not None:
            members = self._lists_of(space.lists.space.name, reader)
            depth = search.nprobe, search.candidates, search.k
            return "buckets", buckets.search(search.query, *depth, passing, members, reader, stats)
        return "scan", self._by_scan(search, space, passing, reader, stats)

    def _by_scan(
        self, search: LeafSearch, space: OpenSpace, passing: BoolArray | None, reader: Reader, stats: LeafStats
    ) -> Scored:
        assert search.query is not None
        probe = self._lists_to_probe(search, space, passing, reader)
        if not len(probe.lists):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        wanted = max(search.candidates, search.k)
        rows = space.scan(search.query, probe, wanted, passing, reader)
        if len(rows) < wanted:
            rows = self._with_the_dropped(rows, space, probe, wanted, passing, reader)
        count_scan(stats, space.lists, probe.lists)
        stats.rows_refined += len(rows)
        reader.check("refine")
        return rows, space.score_rows(search.query, rows)

    def _with_the_dropped(  # noqa: PLR0917  # private: one caller
        self, rows: Int64Array, space: OpenSpace, probe: Probe, wanted: int, passing: BoolArray | None, reader: Reader
    ) -> Int64Array:
        """Returns the rows found, or all that could be where some are missing.

        Fast scan rounds scores to 16 bits and keeps what is better than the worst of them, so rows that come out as the
        very worst (of a far list whose rows are all alike) are never returned, though nothing better fills their place.
        """
        if len(rows) >= min(wanted, int(space.lists.list_rows[probe.lists].sum())):
            return rows
        members = self._lists_of(space.lists.space.name, reader)
        there = np.concatenate([members.rows(number) for number in probe.lists.tolist()])
        there = there if passing is None else there[passing[there]]
        return there if len(rows) < min(wanted, len(there)) else rows

    def _lists_to_probe(self, search: LeafSearch, space: OpenSpace, passing: BoolArray | None, reader: Reader) -> Probe:
        assert search.query is not None
        if passing is None:
            asked = (
                space.lists.nearest(search.query, search.nprobe)
                if search.lists is None
                else space.lists.probe(search.query, np.asarray(search.lists, np.int64))
            )
            return space.lists.reaching(search.query, asked, search.k)
        # The thinner the filter, the more lists: as many passing rows as an unfiltered probe would look at.
        lists = self._lists_of(space.lists.space.name, reader)
        counts = lists.passing_per_list(passing, space.lists.space.lists)
        ranked = space.lists.rank_lists(search.query, space.lists.space.lists)
        has_any = counts[ranked.lists] > 0
        ranked = Probe(ranked.lists[has_any], ranked.scores[has_any])
        wanted = max(search.nprobe * float(space.lists.list_rows.mean()), WIDENING * max(search.candidates, search.k))
        enough = int(np.searchsorted(np.cumsum(counts[ranked.lists]), wanted)) + 1
        return Probe(ranked.lists[:enough], ranked.scores[:enough])

    def _by_rows(
        self, search: LeafSearch, space: OpenSpace, passing: BoolArray | None, reader: Reader, stats: LeafStats
    ) -> Scored:
        assert search.query is not None
        rows, lists = self._lists_of(space.lists.space.name, reader).of(passing)
        space.load(lists.tolist(), reader)
        reader.check("score")
        stats.lists_probed += len(lists)
        stats.rows_refined += len(rows)
        return rows, space.score_rows(search.query, rows)

    def _exact(
        self, search: LeafSearch, space: OpenSpace, passing: BoolArray | None, reader: Reader, stats: LeafStats
    ) -> Scored:
        assert search.query is not None
        members = self._lists_of(space.lists.space.name, reader)
        _, lists = members.of(passing)
        best, best_scores = np.empty(0, np.int64), np.empty(0, np.float32)
        for number, vectors in space.lists.exact(lists.tolist(), reader):
            rows = members.rows(number)
            keep = slice(None) if passing is None else passing[rows]
            scores = score_exact(search.query, vectors[keep], space.lists.space.metric)
            stats.rows_refined += len(scores)
            all_rows, all_scores = np.concatenate([best, rows[keep]]), np.concatenate([best_scores, scores])
            chosen = best_rows(all_scores, search.k)
            best, best_scores = all_rows[chosen], all_scores[chosen]
        stats.lists_probed += len(lists)
        return best, best_scores

    # Which items those are ------------------------------------------------------------------------

    def _hits(
        self, search: LeafSearch, rows: Int64Array, scores: npt.NDArray[np.float32], reader: Reader
    ) -> tuple[LeafHit, ...]:
        if not len(rows):
            return ()
        best = best_rows(scores, search.k)
        numbers, kept = rows[best].tolist(), scores[best].tolist()
        entries = self._items(numbers, reader)
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
        if not search.vectors or search.space is None:
            return tuple(map(LeafHit, ids, scores, payloads))
        vectors = self._vectors(search.space, rows, reader)
        return tuple(map(LeafHit, ids, scores, payloads, [vectors.get(row) for row in rows]))

    def _by_id(self, search: LeafSearch, passing: BoolArray | None, reader: Reader, stats: LeafStats) -> LeafAnswer:
        ranks = expect("id_rank", self._array("id_rank", reader), np.uint32, (self.header.rows,))
        rows = np.arange(self.header.rows) if passing is None else np.flatnonzero(passing)
        first = rows[np.argsort(ranks[rows], kind="stable")[: search.k]].tolist()
        entries = self._items(first, reader)
        hits = self._as_hits(search, [0.0] * len(first), entries, first, reader)
        return LeafAnswer(hits=hits, stats=stats, strategy="by-id")

    def _items(self, rows: list[int], reader: Reader) -> list[tuple[str, bytes]]:
        numbers = [bisect_right(self._first_rows, row) - 1 for row in rows]
        missing = set(numbers) - self._chunks.keys()
        if missing:
            self._load_chunks(sorted(missing), reader)
        first_rows, chunks = self._first_rows, self._chunks
        return [chunks[number].entry(row - first_rows[number]) for number, row in zip(numbers, rows, strict=True)]

    def _load_chunks(self, numbers: list[int], reader: Reader) -> None:
        extents = [self.header.item_extent(number) for number in numbers]
        for number, extent, data in zip(numbers, extents, reader.extents(extents), strict=True):
            count = self._first_rows[number + 1] - self._first_rows[number]
            self._chunks[number] = decode_items(count, extent, data)
            self._item_bytes += len(data)

    def _vectors(self, space: str, rows: list[int], reader: Reader) -> dict[int, npt.NDArray[np.float32]]:
        members = self._lists_of(self.space(space).lists.space.name, reader)
        found: dict[int, npt.NDArray[np.float32]] = {}
        wanted = sorted({int(members.of_row[row]) for row in rows} - {-1})
        for number, vectors in self.space(space).lists.exact(wanted, reader):
            position = {int(row): i for i, row in enumerate(members.rows(number))}
            found.update({row: vectors[position[row]] for row in rows if row in position})
        return found
