"""What spaces of an opened shard have in common: lists, and rows of them, are loaded when a search first wants them.

A list is loaded whole, codes and rows, or of some rows those groups alone that have them. What is loaded stays.

One file an index type beside this one: `coded_space` (ivf_pq, ivf_rabitq), `flat_space` (ivf_flat, flat) and
`binary_space` (binary_mih); `space_types` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import LeafStats
from shardlake.core.ivf_pq import nearest_centroids
from shardlake.core.vectors import coarse_scores, coarse_scores_of, nearest_lists
from shardlake.engine import row_reads
from shardlake.engine.reading import Reader, groups
from shardlake.engine.row_reads import Part
from shardlake.errors import FormatError
from shardlake.format.container import Extent
from shardlake.format.shard import ListBlock, ShardSpace, decode_exact, decode_list
from shardlake.format.shard_header import ShardHeader
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, Int64Array

LOADED_BYTES = 16 * 1024 * 1024  # of lists that are read at a time
EXACT_GROUP_BYTES = 32 * 1024 * 1024  # of full-precision vectors that an exact search holds at a time
HANDFUL = 24  # lists over which Python adds faster than numpy
NO_LIST = -1
NO_ROW = -1  # behind the last that a scan found

Scored = tuple[Int64Array, Float32Array]
"""(m,) row numbers and (m,) scores, in any order."""


class Probe(NamedTuple):
    """Lists to scan: (p,) int64 numbers within the shard, and (p,) float32 scores of their centroids."""

    lists: Int64Array
    scores: Float32Array


class ExactRows(NamedTuple):
    """Full-precision vectors that were read: of which part of which list, (n,) row numbers, (n, d) float32."""

    part: Part
    rows: Int64Array
    vectors: Float32Array


class LoadedLists:
    """What both kinds of space share: which lists there are, which are loaded, which rows they hold.

    Attributes:
        loaded: (lists,) bool: codes and all rows are in memory.
        scannable: (lists,) bool: its codes are. held: (rows,) bool: what a row is scored by is.
    """

    def __init__(self, header: ShardHeader, space: ShardSpace) -> None:
        self.header = header
        self.space = space
        stored: Float32Array | None = header.arrays.get(f"centroids/{space.name}")
        self._knows_all = stored is not None  # a file of version 1 has them in its tail
        # Those of the lists loaded so far, until a search wants to rank all lists.
        self.centroids = np.zeros((space.lists, space.dimension), np.float32) if stored is None else stored
        self.list_rows: Int64Array = header.arrays[f"list_rows/{space.name}"].astype(np.int64)
        self.rows_of_list: list[int] = self.list_rows.tolist()
        self.loaded = np.zeros(space.lists, bool)
        self.scannable = np.zeros(space.lists, bool)
        self.held = np.zeros(header.rows, bool)
        self.all_loaded = False
        self.resident_bytes = 0

    def rank_lists(self, query: Float32Array, count: int, reader: Reader) -> Probe:
        """Returns the `count` nearest lists of this shard, nearest first."""
        scores = self.scores(query, reader)
        numbers = nearest_lists(scores, count)
        return Probe(numbers, scores[numbers])

    def nearest(self, query: Float32Array, count: int, reader: Reader) -> Probe:
        """Returns the `count` nearest lists in any order, which is all that a scan needs."""
        scores = self.scores(query, reader)
        count = min(count, len(scores))
        return self.probe(query, scores.argpartition(-count)[-count:])

    def nearest_many(self, queries: Float32Array, count: int, reader: Reader) -> Int64Array:
        """Returns (n, count) int64: the `count` nearest lists of each query (n, d)."""
        self.read_centroids(reader)
        return nearest_centroids(queries, self.centroids, min(count, len(self.centroids)), self.space.metric)

    def probe(self, query: Float32Array, numbers: Int64Array) -> Probe:
        """Returns the lists of those numbers: (p,) of a query (d,), or (n, p) of n queries (n, d).

        Requires: they are loaded, or all centroids are.
        """
        return Probe(numbers, coarse_scores_of(query, self.centroids.take(numbers, axis=0), self.space.metric))

    def reaching(
        self, query: Float32Array, probe: Probe, rows: int, reader: Reader, of_list: Int64Array | None = None
    ) -> Probe:
        """Returns the probe, with the next nearest lists behind it where its lists hold fewer than `rows` rows.

        Args:
            query: (d,). probe: of it. reader: of the shard.
            of_list: (lists,) rows that count; None for all.
        """
        missing = rows - (self.rows_in(probe.lists) if of_list is None else int(of_list[probe.lists].sum()))
        if missing <= 0:
            return probe
        of_list = self.list_rows if of_list is None else of_list
        ranked = self.rank_lists(query, self.space.lists, reader).lists
        others = ranked[~np.isin(ranked, probe.lists)]
        enough = int(np.searchsorted(np.cumsum(of_list[others]), missing)) + 1
        return self.probe(query, np.concatenate([probe.lists, others[:enough]]))

    def centroids_wanted(self) -> list[Extent]:
        """Returns what `read_centroids` would read."""
        return [] if self._knows_all else [self.header.directory.block(f"centroids/{self.space.name}").extent]

    def read_centroids(self, reader: Reader) -> None:
        """Makes the centroids of all lists known. Cost: one read where they are not; loaded lists bring their own."""
        if not self._knows_all:
            name = f"centroids/{self.space.name}"
            self.centroids = reader.array(name, self.header.directory.block(name))
            self._knows_all = True

    def scores(self, query: Float32Array, reader: Reader) -> Float32Array:
        """Returns (lists,) float32: the coarse score of every list of this shard."""
        self.read_centroids(reader)
        return coarse_scores(query, self.centroids, self.space.metric)

    def rows_in(self, lists: Int64Array) -> int:
        """Returns how many rows lists have together; for a handful of lists Python adds faster than numpy."""
        if len(lists) > HANDFUL:
            return int(self.list_rows[lists].sum())
        rows = self.rows_of_list
        return sum([rows[number] for number in lists.tolist()])

    def has(self, lists: Int64Array) -> bool:
        """Returns whether all of those lists are loaded."""
        return self.all_loaded or bool(self.loaded[lists].all())

    def has_rows(self, rows: Int64Array) -> bool:
        """Returns whether all of those rows can be scored."""
        return self.all_loaded or bool(self.held[rows].all())

    def blocks(self, lists: Sequence[int], reader: Reader) -> Iterator[tuple[int, ListBlock]]:
        """Reads the lists that are not loaded yet; yields (number, block). Who takes one says `keep`.

        Cost: one round for each LOADED_BYTES; as much is held beside what is kept.
        """
        missing = [number for number in lists if not self.loaded[number]]
        wanted = [(number, self.header.list_extent(self.space.name, number)) for number in missing]
        for group in groups(wanted, lambda one: one[1].bytes, LOADED_BYTES):
            for (number, _), data in zip(group, reader.extents([extent for _, extent in group]), strict=True):
                yield number, self.decode(number, data)

    def decode(self, number: int, data: bytes) -> ListBlock:
        """Returns a list that was read whole. Raises FormatError."""
        extent = self.header.list_extent(self.space.name, number)
        block = decode_list(self.space, int(self.list_rows[number]), self.header.rows, extent, data)
        if self.space.code_bytes and block.head.centroid is None and not self._knows_all:
            raise FormatError("a list lacks its centroid", space=self.space.name, list=number)
        return block

    def keep_codes(self, number: int, size_bytes: int, centroid: Float32Array | None) -> None:
        """Counts a list as one that can be scanned. Requires: it was none."""
        if centroid is not None and not self._knows_all:
            self.centroids[number] = centroid
        self.scannable[number] = True
        self.resident_bytes += size_bytes

    def keep_rows(self, rows: npt.NDArray[np.integer[Any]], row_bytes: int) -> None:
        """Counts rows, each named once, as rows that can be scored; those held already cost nothing again."""
        self.resident_bytes += row_bytes * (len(rows) - int(np.count_nonzero(self.held[rows])))
        self.held[rows] = True

    def keep(self, number: int) -> None:
        """Counts a list as loaded: everything that a search needs of it is in memory."""
        self.loaded[number] = True
        self.all_loaded = bool(self.loaded.all())

    def exact(self, lists: Sequence[int], reader: Reader) -> Iterator[tuple[int, Float32Array]]:
        """Reads full-precision vectors of lists, in groups of bounded size; yields (number, vectors)."""
        wanted = [Part(number, self.header.exact_extent(self.space.name, number)) for number in lists]
        for part, vectors in self._exact(wanted, reader):
            yield part.number, vectors

    def exact_rows(self, rows: Int64Array | None, members: RowLists, reader: Reader) -> Iterator[ExactRows]:
        """Reads full-precision vectors of rows, and of others that are read along.

        Args:
            rows: (n,), all of which have a vector; None for all that have one.
            members: of the space. reader: of the shard.

        Cost: one round for each EXACT_GROUP_BYTES; groups of rows alone where they are few of their lists.
        """
        header, name = self.header, self.space.name
        whole = partial(header.exact_extent, name)
        if rows is None:
            wanted = [Part(number, whole(number)) for number in np.flatnonzero(self.list_rows).tolist()]
        else:
            groups_of = partial(header.exact_groups, name) if self.space.group_rows else None
            wanted = row_reads.parts(members.places(rows), whole, groups_of, reader)
        for part, vectors in self._exact(wanted, reader):
            yield ExactRows(part, members.rows(part.number)[part.members], vectors)

    def _exact(self, wanted: Sequence[Part], reader: Reader) -> Iterator[tuple[Part, Float32Array]]:
        for group in groups(wanted, lambda part: part.extent.bytes, EXACT_GROUP_BYTES):
            reader.check("score exactly")
            for part, data in row_reads.read(group, reader):
                if part.groups is None:
                    yield part, decode_exact(self.space, int(self.list_rows[part.number]), part.extent, data)
                else:
                    yield part, part.groups.decode_group(part.group, data)["vectors"]


class OpenSpace(Protocol):
    """What a shard asks of a space, whatever its index."""

    lists: LoadedLists

    @property
    def resident_bytes(self) -> int:
        """What it holds in memory, near enough to bound a cache by."""

    def load(self, lists: Sequence[int], reader: Reader) -> None:
        """Makes lists scannable and their rows scorable."""

    def load_rows(self, rows: Int64Array, members: RowLists, reader: Reader) -> None:
        """Makes rows scorable, all of which have a vector. Cost: one round, for those that are not held."""

    def scan(
        self, query: Float32Array, probe: Probe, candidates: int, passing: RowSet | None, reader: Reader
    ) -> Int64Array:
        """Returns the row numbers of the `candidates` nearest by code in the lists, which may be fewer.

        They need not be scorable afterwards: under a filter codes may have been read alone.
        """

    def scan_many(
        self,
        queries: Float32Array,
        lists: Int64Array,
        coarse: Float32Array,
        candidates: int,
        passing: RowSet | None = None,
    ) -> Int64Array:
        """Scans loaded lists for many queries; at once where the space has codes.

        Args:
            queries: (n, d). lists: (n, p), NO_LIST for none. coarse: (n, p) scores of their centroids.
            candidates: rows to return for each. passing: rows that may be returned, the same for all.

        Returns:
            (n, candidates) row numbers, NO_ROW where there are fewer.
        """

    def score_rows(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        """Returns (m,) scores of loaded rows, as good as this index refines them.

        Where the space has codes, also (n, m) for n queries (n, d) and their rows (n, m).
        """


class RowLists:
    """Which list of a space each row of the shard is in, and which rows each list has, in ascending order.

    Attributes:
        of_row: (rows,) int32 list numbers, NO_LIST where the row has no vector in the space.
        is_primary: whether rows are numbered by these lists: then list after list, each from `starts` to the next.
        starts: (lists + 1,) int64: where each list begins among the rows ordered by list.
    """

    def __init__(self, of_row: npt.NDArray[np.int32], lists: int, *, is_primary: bool = False) -> None:
        self.of_row = of_row
        self.is_primary = is_primary
        # The rows of the primary space are in order as they are: nothing to sort, and nothing to keep.
        self._order = np.empty(0, np.int64) if is_primary else np.argsort(of_row, kind="stable")
        if is_primary:
            counts = np.bincount(of_row[of_row >= 0], minlength=lists)
            self.starts: Int64Array = np.concatenate([[0], np.cumsum(counts)])
        else:
            self.starts = np.searchsorted(of_row[self._order], np.arange(lists + 1))

    @classmethod
    def of_primary(cls, header: ShardHeader, space: str) -> RowLists:
        """Returns those of the space by which rows are numbered: the rows of a list are consecutive."""
        counts = header.arrays[f"list_rows/{space}"].astype(np.int64)
        of_row = np.full(header.rows, NO_LIST, np.int32)
        listed = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        of_row[: len(listed)] = listed
        return cls(of_row, len(counts), is_primary=True)

    def rows(self, number: int) -> Int64Array:
        """Returns the rows of a list, ascending: the order of its blocks."""
        start, stop = self.starts[number : number + 2].tolist()
        return np.arange(start, stop) if self.is_primary else self._order[start:stop]

    def places(self, rows: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Returns the list of each row, and which row of that list it is.

        Args:
            rows: all of which have a vector.

        Cost: a pass over all rows of the shard, where the space is not the primary one.
        """
        lists = self.of_row[rows].astype(np.int64)
        if self.is_primary:
            return lists, rows - self.starts[lists]
        place = np.empty(len(self.of_row), np.int64)
        place[self._order] = np.arange(len(self._order))
        return lists, place[rows] - self.starts[lists]

    def all_rows(self) -> tuple[Int64Array, Int64Array]:
        """Returns the rows that have a vector, and the lists they are in, both ascending."""
        lists = np.flatnonzero(np.diff(self.starts))
        return (np.arange(self.starts[-1]) if self.is_primary else np.flatnonzero(self.of_row >= 0)), lists


def count_scan(stats: LeafStats, lists: LoadedLists, probed: Int64Array) -> None:
    """Adds what scanning lists cost to the counters."""
    stats.lists_probed += len(probed)
    stats.codes_scanned += lists.rows_in(probed)
