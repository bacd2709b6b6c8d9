"""The nearest rows of one space of one shard: which lists are read, and whether they are scanned or scored by row.

A filter decides the way. Few rows pass: exactly those are scored. More pass: the nearest lists in which any of them
lie, as many as the calibrated curve wants at that selectivity; their rows are scored one by one while they are few
among the codes of their lists, else the codes are scanned with a selector. Lists in which nothing passes are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from shardlake.contracts.shard import LeafStats, VectorSource
from shardlake.core.calibration import CODE_COST, REFINE_COST
from shardlake.core.vectors import score_exact
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import NO_LIST, OpenSpace, Probe, RowLists, count_scan
from shardlake.format.container import Extent
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, Float64Array, IndexType, Int64Array

FEW_ROWS = 256  # passing rows that are scored before anything is weighed
WIDENING = 4  # passing rows looked at for each candidate wanted, at least

MembersOf = Callable[[Reader], RowLists]


class Found(NamedTuple):
    """(m,) int64 row numbers and (m,) float32 scores, in any order, and how they were found."""

    rows: Int64Array
    scores: Float32Array
    strategy: str


class PassingLists:
    """The rows that pass, by list: made once a filter and space.

    Attributes:
        counts: (lists,) int64: rows of each list that pass. lists: (m,) int64, those that have any.
    """

    def __init__(self, passing: RowSet, members: RowLists, lists: int) -> None:
        self._rows = passing.rows
        if members.is_primary:  # ascending rows are ordered by list
            self._starts = np.searchsorted(self._rows, members.starts)
        else:
            lists_of_rows = members.of_row[self._rows]
            by_list = np.argsort(lists_of_rows, kind="stable")
            self._rows = self._rows[by_list]
            self._starts = np.searchsorted(lists_of_rows[by_list], np.arange(lists + 1))
        self.counts = np.diff(self._starts)
        self.lists = np.flatnonzero(self.counts)

    @property
    def total(self) -> int:
        """How many rows pass and have a vector."""
        return int(self._starts[-1] - self._starts[0])

    def all_rows(self) -> tuple[Int64Array, Int64Array]:
        """Returns all rows, and the lists they are in."""
        return self._rows[self._starts[0] : self._starts[-1]], self.lists

    def rows(self, lists: Int64Array) -> Int64Array:
        """Returns the rows of those lists."""
        # One gather instead of a slice a list: a filter that is thin leaves a few rows in each of many lists.
        counts = self.counts[lists]
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        found: Int64Array = self._rows[np.repeat(self._starts[lists] - ends + counts, counts) + np.arange(total)]
        return found


class Nearest:
    """Searches of one space. Not safe for two threads at once."""

    def __init__(self, space: OpenSpace, members: MembersOf) -> None:
        self.space = space
        self._members = members
        self._passing: WeakKeyDictionary[RowSet, PassingLists] = WeakKeyDictionary()

    def search(self, source: VectorSource, k: int, passing: RowSet | None, reader: Reader, stats: LeafStats) -> Found:
        """Returns the rows that may be among the k nearest, scored; all rows where the search is exact.

        Args:
            source: what is looked for.
            k: hits wanted.
            passing: rows that may be returned; None or all for no filter.
            reader: of the shard. stats: counts into.
        """
        if passing is not None and passing.is_all:
            passing = None
        is_flat = self.space.lists.space.index is IndexType.FLAT
        if source.exact and not is_flat:
            return self._exact(source, passing, reader, stats)
        if is_flat:
            return self._all(source, passing, reader, stats)
        if passing is None:
            return self._scan(source, self._asked(source, k, reader), None, k, reader, stats)
        return self._filtered(source, k, passing, reader, stats)

    def wanted(self, source: VectorSource, k: int, most: int) -> list[Extent]:
        """Returns what a search will read once its filter is answered, where `most` rows pass at most."""
        lists = self.space.lists
        ranks_lists = not source.exact and lists.space.index is not IndexType.FLAT and most > max(FEW_ROWS, k)
        return lists.centroids_wanted() if ranks_lists else []

    def score(self, source: VectorSource, rows: Int64Array, reader: Reader) -> Float64Array:
        """Returns (n,) float64: what each of those rows scores, NaN where it has no vector in the space.

        Cost: one round for the rows that are not held.
        """
        there = self._members(reader).of_row[rows] >= 0
        scores = np.full(len(rows), np.nan)
        scores[there] = self._scored(source, rows[there], reader)
        return scores

    # Without a filter -----------------------------------------------------------------------------

    def _asked(self, source: VectorSource, k: int, reader: Reader) -> Probe:
        lists = self.space.lists
        k = max(k, source.depth)
        if source.lists is None:
            return lists.reaching(source.query, lists.nearest(source.query, source.nprobe, reader), k, reader)
        if not lists.all_loaded:  # a list brings its centroid: no others are read for those told
            self.space.load(source.lists, reader)
        return lists.reaching(source.query, lists.probe(source.query, np.asarray(source.lists, np.int64)), k, reader)

    def _scan(  # noqa: PLR0917  # private: two callers
        self, source: VectorSource, probe: Probe, passing: RowSet | None, k: int, reader: Reader, stats: LeafStats
    ) -> Found:
        if not len(probe.lists):
            return _nothing("scan")
        wanted = max(source.candidates, k)
        rows = self.space.scan(source.query, probe, wanted, passing, reader)
        return self._after_scan(source, probe, rows, wanted, passing, reader, stats)

    def _after_scan(  # noqa: PLR0917  # private: two callers
        self,
        source: VectorSource,
        probe: Probe,
        rows: Int64Array,
        wanted: int,
        passing: RowSet | None,
        reader: Reader,
        stats: LeafStats,
    ) -> Found:
        if len(rows) < wanted:
            rows = self._with_the_dropped(rows, probe, wanted, passing, reader)
        count_scan(stats, self.space.lists, probe.lists)
        return self._refined(source, rows, "scan", reader, stats)

    def _refined(
        self, source: VectorSource, rows: Int64Array, strategy: str, reader: Reader, stats: LeafStats
    ) -> Found:
        stats.rows_refined += len(rows)
        reader.check("refine")
        return Found(rows, self._scored(source, rows, reader), strategy)

    def _scored(self, source: VectorSource, rows: Int64Array, reader: Reader) -> Float32Array:
        """Returns the scores of rows that have a vector, loaded where they are not held."""
        if not self.space.lists.has_rows(rows):
            self.space.load_rows(rows, self._members(reader), reader)
        return self.space.score_rows(source.query, rows)

    def _with_the_dropped(
        self, rows: Int64Array, probe: Probe, wanted: int, passing: RowSet | None, reader: Reader
    ) -> Int64Array:
        """Returns the rows found, or all that could be where some are missing.

        Fast scan rounds scores to 16 bits and keeps what is better than the worst of them, so rows that come out as the
        very worst (of a far list whose rows are all alike) are never returned, though nothing better fills their place.
        """
        if len(rows) >= min(wanted, int(self.space.lists.list_rows[probe.lists].sum())):
            return rows
        members = self._members(reader)
        there = np.concatenate([members.rows(number) for number in probe.lists.tolist()])
        there = there if passing is None else there[passing.mask[there]]
        return there if len(rows) < min(wanted, len(there)) else rows

    def scan_together(
        self, sources: Sequence[VectorSource], k: int, reader: Reader, stats: Sequence[LeafStats]
    ) -> list[Found]:
        """Returns what `search` would find for each source, by one scan of all: for searches without a filter.

        Args:
            sources: of equal nprobe, candidates and number of lists, none exact, of a space that is scanned.
            k: hits wanted by each.
            reader: of the shard. stats: of each search.
        """
        lists = self.space.lists
        if not lists.space.lists:
            return [_nothing("scan") for _ in sources]
        queries = np.stack([source.query for source in sources])
        numbers, scores = self._probes(sources, queries, k, reader)
        lists_probed = np.unique(numbers[numbers >= 0])
        if not lists.has(lists_probed):
            self.space.load(lists_probed.tolist(), reader)
        wanted = max(sources[0].candidates, k)
        table = self.space.scan_many(queries, numbers, scores, wanted)
        return [
            self._after_scan(source, Probe(*probe), rows[rows >= 0], wanted, None, reader, counts)
            for source, probe, rows, counts in zip(sources, _cut(numbers, scores), table, stats, strict=True)
        ]

    def _probes(
        self, sources: Sequence[VectorSource], queries: Float32Array, k: int, reader: Reader
    ) -> tuple[Int64Array, Float32Array]:
        """Returns (n, p) lists, NO_LIST behind those of a query that has fewer, and the scores of their centroids."""
        lists = self.space.lists
        if sources[0].lists is None:
            numbers, scores = lists.nearest_many(queries, sources[0].nprobe, reader)
            deepest = max(k, *(source.depth for source in sources))
            if (lists.list_rows[numbers].sum(axis=1) >= deepest).all():
                return numbers, scores
        elif not lists.all_loaded:  # those of all in one round
            told = {number for source in sources for number in source.lists or ()}
            self.space.load(sorted(told), reader)
        probes = [self._asked(source, k, reader) for source in sources]
        width = max(len(probe.lists) for probe in probes)
        numbers = np.full((len(probes), width), NO_LIST, np.int64)
        scores = np.zeros((len(probes), width), np.float32)
        for position, probe in enumerate(probes):
            numbers[position, : len(probe.lists)], scores[position, : len(probe.lists)] = probe
        return numbers, scores

    # Under a filter -------------------------------------------------------------------------------

    def _filtered(self, source: VectorSource, k: int, passing: RowSet, reader: Reader, stats: LeafStats) -> Found:
        lists = self.space.lists
        by_list = self._by_list(passing, reader)
        if by_list.total <= max(FEW_ROWS, k):
            return self._all(source, passing, reader, stats)
        probe = self._widened(source, k, by_list, reader)
        rows_there = int(by_list.counts[probe.lists].sum())
        codes_there = lists.rows_in(probe.lists)
        if rows_there * REFINE_COST > codes_there * CODE_COST + source.candidates * REFINE_COST:
            return self._scan(source, probe, passing, k, reader, stats)
        stats.lists_probed += len(probe.lists)
        return self._refined(source, by_list.rows(probe.lists), "rows-of-lists", reader, stats)

    def _widened(self, source: VectorSource, k: int, by_list: PassingLists, reader: Reader) -> Probe:
        """Returns the nearest lists that hold passing rows: as many as the curve wants, and enough rows for k hits."""
        lists = self.space.lists
        all_scores = lists.scores(source.query, reader)
        numbers = by_list.lists
        scores = all_scores[numbers]
        rows_wanted = WIDENING * max(k, source.depth, source.candidates if not source.widening else 0)
        lists_wanted = _lists_at(source.widening, by_list.total / max(1, int(lists.list_rows.sum())))
        if lists_wanted is None:  # without a curve: as many passing rows as an unfiltered probe would look at
            rows_wanted = max(rows_wanted, int(source.nprobe * lists.list_rows.mean()))
        if lists_wanted is not None and lists_wanted < len(numbers):
            # In most searches the lists that the curve wants have rows enough, and their order does not matter.
            nearest = scores.argpartition(-lists_wanted)[-lists_wanted:]
            if by_list.counts[numbers[nearest]].sum() >= rows_wanted:
                return Probe(numbers[nearest], scores[nearest])
        ranked = np.argsort(-scores, kind="stable")
        numbers, scores = numbers[ranked], scores[ranked]
        reached = np.cumsum(by_list.counts[numbers])
        enough = max(int(np.searchsorted(reached, rows_wanted)) + 1, lists_wanted or 0)
        return Probe(numbers[:enough], scores[:enough])

    def _by_list(self, passing: RowSet, reader: Reader) -> PassingLists:
        found = self._passing.get(passing)
        if found is None:
            found = PassingLists(passing, self._members(reader), self.space.lists.space.lists)
            self._passing[passing] = found
        return found

    # Every row ------------------------------------------------------------------------------------

    def _all(self, source: VectorSource, passing: RowSet | None, reader: Reader, stats: LeafStats) -> Found:
        if passing is None:
            rows, lists = self._members(reader).all_rows()
        else:
            rows, lists = self._by_list(passing, reader).all_rows()
        stats.lists_probed += len(lists)
        return self._refined(source, rows, "rows", reader, stats)

    def _exact(self, source: VectorSource, passing: RowSet | None, reader: Reader, stats: LeafStats) -> Found:
        members = self._members(reader)
        rows, lists = members.all_rows() if passing is None else self._by_list(passing, reader).all_rows()
        wanted = None if passing is None else rows
        all_rows, all_scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for part in self.space.lists.exact_rows(wanted, members, reader):
            keep = slice(None) if passing is None else passing.mask[part.rows]  # the rest is not looked at
            all_rows.append(part.rows[keep])
            all_scores.append(score_exact(source.query, part.vectors[keep], self.space.lists.space.metric))
        stats.lists_probed += len(lists)
        found = Found(np.concatenate(all_rows), np.concatenate(all_scores), "exact")
        stats.rows_refined += len(found.rows)
        return found


def _cut(numbers: Int64Array, scores: Float32Array) -> Iterator[tuple[Int64Array, Float32Array]]:
    has_all = numbers.min() > NO_LIST
    for row, of_row in zip(numbers, scores, strict=True):
        yield (row, of_row) if has_all else (row[row >= 0], of_row[row >= 0])


def _nothing(strategy: str) -> Found:
    return Found(np.empty(0, np.int64), np.empty(0, np.float32), strategy)


def _lists_at(widening: tuple[tuple[float, int], ...], share: float) -> int | None:
    """Returns how many lists the curve wants at a selectivity: those of the next thinner band that was measured."""
    if not widening:
        return None
    thinner = [lists for selectivity, lists in widening if selectivity <= share]
    return thinner[-1] if thinner else widening[0][1]
