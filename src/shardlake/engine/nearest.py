"""The nearest rows of one space of one shard: which lists are read, and whether they are scanned or scored by row.

A filter decides the way. Few rows pass: exactly those are scored. More pass: the lists in which any of them lie and
hits are likely, as the calibrated curve wants it at that selectivity; their rows are scored one by one while they are
few among the codes of their lists, else the codes are scanned with a selector. Lists in which nothing passes are not
read.

Where rows of the shard are hidden, but few of them, a search without a filter stays what it is: its scan returns some
more candidates, so that as many are left when the hidden are dropped. Depth and way are those of the whole shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from shardlake.contracts.shard import LeafStats, VectorSource
from shardlake.core.calibration import band_for
from shardlake.core.covering import covering
from shardlake.core.vectors import CACHED_ROWS, score_exact
from shardlake.engine.hidden import LiveRows, hides_few
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import NO_ROW, OpenSpace, Probe, RowLists, count_scan
from shardlake.format.container import Extent
from shardlake.query.rows import RowSet
from shardlake.types import Depth, Float32Array, Float64Array, IndexType, Int64Array

FEW_ROWS = 256  # passing rows that are scored before anything is weighed
WIDENING = 4  # passing rows looked at for each candidate wanted, at least
# In codes scanned under a selector (6.5 ns): of scoring a row by its refine row (92 ns, less 9 that one which passes
# costs a scan), of a candidate (kept by the scan, then refined: 250 ns) and of a scan (15 µs); 1,350 queries under nine
# filters, 200,000 × 256, one thread of an Intel Xeon, 2026-11-25.
ROW_COST, CANDIDATE_COST, SCAN_COST = 13, 38, 2_300

# Candidates for hidden rows: some, and twice as many as there would be if these lay anywhere.
ROOM, ROOM_SHARE = 16, 2

MembersOf = Callable[[Reader], RowLists]


class Found(NamedTuple):
    """(m,) int64 row numbers and (m,) float32 scores, in any order, and how they were found."""

    rows: Int64Array
    scores: Float32Array
    strategy: str


class FoundTogether(NamedTuple):
    """What several searches found by one scan.

    Attributes:
        sources: which of them these are, by number. stats: of each.
        rows: (n, m) int64. scores: (n, m) float32.
    """

    sources: list[int]
    rows: Int64Array
    scores: Float32Array
    stats: list[LeafStats]


class PassingLists:
    """The rows that pass, by list: made once a filter and space.

    Attributes:
        counts: (lists,) int64: rows of each list that pass. lists: (m,) int64, those that have any, and
        rows_of: (m,) int64, how many each of these has.
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
        self.rows_of: Int64Array = self.counts[self.lists]

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
        counts = self.counts.take(lists)
        places = (self._starts.take(lists) - np.cumsum(counts) + counts).repeat(counts)
        places += np.arange(len(places))
        found: Int64Array = self._rows.take(places)
        return found


class Nearest:
    """Searches of one space. Not safe for two threads at once."""

    def __init__(self, space: OpenSpace, members: MembersOf) -> None:
        self.space = space
        self._members = members
        self._rows = max(1, int(space.lists.list_rows.sum()))
        self._passing: WeakKeyDictionary[RowSet, PassingLists] = WeakKeyDictionary()

    def search(self, source: VectorSource, k: int, passing: RowSet | None, reader: Reader, stats: LeafStats) -> Found:
        """Returns the rows that may be among the k nearest, scored; all rows where the search is exact.

        Args:
            source: what is looked for.
            k: hits wanted.
            passing: rows that may be returned; None or all for no filter, the live ones where others are hidden.
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
            return self._scan(source, self._asked(source, k, None, reader), None, k, reader, stats)
        if isinstance(passing, LiveRows) and passing.are_most:
            return self._scan_live(source, k, passing, reader, stats)
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

    def _asked(self, source: VectorSource, k: int, live: LiveRows | None, reader: Reader) -> Probe:
        lists = self.space.lists
        if source.lists is None:
            probe = lists.nearest(source.query, source.nprobe, reader)
        else:
            if not lists.all_loaded:  # a list brings its centroid: no others are read for those told
                self.space.load(source.lists, reader)
            probe = lists.probe(source.query, np.asarray(source.lists, np.int64))
        rows = max(k, source.depth)
        if live is None or lists.rows_in(probe.lists) - live.hidden >= rows:
            return lists.reaching(source.query, probe, rows, reader)
        return lists.reaching(source.query, probe, rows, reader, self._by_list(live, reader).counts)

    def _scan(  # noqa: PLR0917  # private: two callers
        self, source: VectorSource, probe: Probe, passing: RowSet | None, k: int, reader: Reader, stats: LeafStats
    ) -> Found:
        if not len(probe.lists):
            return _nothing("scan")
        wanted = max(source.candidates, k)
        rows = self.space.scan(source.query, probe, wanted, passing, reader)
        if len(rows) < wanted:
            rows = self._with_the_dropped(rows, probe, wanted, passing, reader)
        count_scan(stats, self.space.lists, probe.lists)
        return self._refined(source, rows, "scan", reader, stats)

    def _scan_live(self, source: VectorSource, k: int, live: LiveRows, reader: Reader, stats: LeafStats) -> Found:
        """Returns what a scan finds without the hidden rows: a second one, where the room for them was short."""
        lists = self.space.lists
        probe = self._asked(source, k, live, reader)
        wanted = max(source.candidates, k)
        if not lists.has(probe.lists):  # whole, as without hidden rows: nearly all of their rows may be candidates
            self.space.load(probe.lists.tolist(), reader)
        if lists.rows_in(probe.lists) >= wanted:
            found = self.space.scan(source.query, probe, wanted + _room(wanted, live), None, reader)
            rows = found[live.mask[found]][:wanted]
            if len(rows) == wanted:
                count_scan(stats, lists, probe.lists)
                return self._refined(source, rows, "scan", reader, stats)
            stats.codes_scanned += lists.rows_in(probe.lists)
        return self._scan(source, probe, live, k, reader, stats)

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
        self, sources: Sequence[VectorSource], k: int, live: LiveRows | None, reader: Reader
    ) -> FoundTogether:
        """Returns what `search` would find for the sources without a filter, by one scan of all.

        Left out are sources whose lists have fewer rows than are wanted, which take more than a scan; but the lists
        are read for all of them, in one round.

        Args:
            sources: of equal nprobe, candidates and number of lists, none exact, of a space that is scanned.
            k: hits wanted by each.
            live: rows that may be returned, most of all; None for all.
            reader: of the shard.
        """
        lists = self.space.lists
        queries = np.array([source.query for source in sources], np.float32)
        if sources[0].lists is None:
            numbers = lists.nearest_many(queries, sources[0].nprobe, reader)
        else:
            numbers = np.array([source.lists for source in sources], np.int64)
        if not lists.has(numbers):
            self.space.load(np.unique(numbers).tolist(), reader)
        codes = lists.list_rows[numbers].sum(axis=1)
        wanted = max(sources[0].candidates, k)
        hidden = 0 if live is None else live.hidden  # at most so many of them are among the rows of some lists
        least = [source.depth + hidden if source.depth > wanted else wanted for source in sources]
        which = np.flatnonzero(codes >= least)
        queries, numbers = queries[which], numbers[which]
        coarse = np.empty(numbers.shape, np.float32)
        for part in _cached_parts(numbers):
            coarse[part] = lists.probe(queries[part], numbers[part]).scores
        rows = self.space.scan_many(queries, numbers, coarse, wanted + _room(wanted, live))
        rows = rows if live is None else _first_live(rows, live, wanted)
        is_whole = rows[:, -1] >= 0  # fast scan may have dropped some: `_with_the_dropped`
        which, queries, rows = which[is_whole], queries[is_whole], rows[is_whole]
        scores = np.empty(rows.shape, np.float32)
        for part in _cached_parts(rows):
            reader.check("refine")
            scores[part] = self.space.score_rows(queries[part], rows[part])
        stats = [
            LeafStats(lists_probed=numbers.shape[1], codes_scanned=scanned, rows_refined=wanted)
            for scanned in codes[which].tolist()
        ]
        return FoundTogether(which.tolist(), rows, scores, stats)

    # Under a filter -------------------------------------------------------------------------------

    def _filtered(self, source: VectorSource, k: int, passing: RowSet, reader: Reader, stats: LeafStats) -> Found:
        lists = self.space.lists
        by_list = self._by_list(passing, reader)
        if by_list.total <= max(FEW_ROWS, k):
            return self._all(source, passing, reader, stats)
        probe = self._widened(source, k, by_list, reader)
        rows_there = int(by_list.counts[probe.lists].sum())
        codes_there = lists.rows_in(probe.lists)
        if rows_there * ROW_COST > codes_there + source.candidates * CANDIDATE_COST + SCAN_COST:
            return self._scan(source, probe, passing, k, reader, stats)
        stats.lists_probed += len(probe.lists)
        return self._refined(source, by_list.rows(probe.lists), "rows-of-lists", reader, stats)

    def _widened(self, source: VectorSource, k: int, by_list: PassingLists, reader: Reader) -> Probe:
        """Returns lists that hold passing rows: those that the curve wants, and more until k hits have rows enough."""
        lists = self.space.lists
        numbers = by_list.lists
        scores = lists.scores(source.query, reader)
        if len(numbers) < len(scores):
            scores = scores[numbers]
        rows_wanted = WIDENING * max(k, source.depth, source.candidates if not source.widening else 0)
        depth = band_for(source.widening, by_list.total / self._rows)
        if depth is None:  # without a curve: as many passing rows as an unfiltered probe would look at
            rows_wanted = max(rows_wanted, int(source.nprobe * lists.list_rows.mean()))
        # In most searches the lists that the curve wants have rows enough, and their order does not matter.
        chosen = _at_depth(depth, scores, by_list.rows_of)
        if by_list.rows_of[chosen].sum() >= rows_wanted:
            return Probe(numbers[chosen], scores[chosen])
        ranked = np.argsort(-scores, kind="stable")
        reached = np.cumsum(by_list.rows_of[ranked])
        enough = max(int(np.searchsorted(reached, rows_wanted)) + 1, len(chosen))
        return Probe(numbers[ranked[:enough]], scores[ranked[:enough]])

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
        if passing is None or hides_few(passing):
            wanted, (_, lists) = None, members.all_rows()
        else:
            wanted, lists = self._by_list(passing, reader).all_rows()
        all_rows, all_scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for part in self.space.lists.exact_rows(wanted, members, reader):
            keep = slice(None) if passing is None else passing.mask[part.rows]  # the rest is not looked at
            all_rows.append(part.rows[keep])
            all_scores.append(score_exact(source.query, part.vectors[keep], self.space.lists.space.metric))
        stats.lists_probed += len(lists)
        found = Found(np.concatenate(all_rows), np.concatenate(all_scores), "exact")
        stats.rows_refined += len(found.rows)
        return found


def _cached_parts(table: Int64Array) -> Iterator[slice]:
    """Yields the parts of a table of vectors' numbers, one row of it at least, whose vectors fit the cache together."""
    step = max(1, CACHED_ROWS // max(1, table.shape[1]))
    for start in range(0, len(table), step):
        yield slice(start, start + step)


def _room(wanted: int, live: LiveRows | None) -> int:
    """Returns how many candidates more a scan returns for the hidden rows among them: the same for all its queries."""
    return 0 if live is None else ROOM + ROOM_SHARE * wanted * live.hidden // len(live.mask)


def _first_live(rows: Int64Array, live: LiveRows, wanted: int) -> Int64Array:
    """Returns (n, wanted) the first live ones of each row of a table, in their order; NO_ROW where there are fewer."""
    keep = live.mask[rows]  # what is NO_ROW stands behind all others, and stays what it is
    first = np.argsort(~keep, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(np.where(keep, rows, NO_ROW), first, axis=1)


def _nothing(strategy: str) -> Found:
    return Found(np.empty(0, np.int64), np.empty(0, np.float32), strategy)


def _at_depth(depth: Depth | None, scores: Float32Array, rows: Int64Array) -> Int64Array:
    """Returns the positions of the lists that are wanted, of scores (m,) and with rows (m,) that pass, in any order."""
    if depth is None:
        return np.empty(0, np.int64)
    if depth.missed:
        return covering(scores, rows, depth.softness, depth.missed)
    if depth.lists >= len(scores):
        return np.arange(len(scores))
    return scores.argpartition(-depth.lists)[-depth.lists :]
