"""An opened shard and how one search of it runs: filter, search its sources, fuse, shape, top k, items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import LeafAnswer, LeafHit, LeafSearch, LeafStats
from shardlake.core.topk import best_of_each, best_rows
from shardlake.deadline import Deadline
from shardlake.engine.attributes import ShardAttributes
from shardlake.engine.binary_space import Buckets, NearestBuckets
from shardlake.engine.fusing import Candidates, Fusing
from shardlake.engine.hidden import ExpiredRows, HiddenRows, LiveRows
from shardlake.engine.items import ShardItems
from shardlake.engine.match import ShardTerms
from shardlake.engine.nearest import Found, FoundTogether, Nearest
from shardlake.engine.reading import Ahead, Blocks, Reader, ReadRanges
from shardlake.engine.shaping import Shaped, columns_of, facet_parts, shape
from shardlake.engine.space_types import CODED, open_space
from shardlake.engine.spaces import OpenSpace, RowLists
from shardlake.errors import ErrorKind, NotFound
from shardlake.format.container import Extent, parse_tail
from shardlake.format.shard import SHARD_KIND
from shardlake.format.shard_header import ShardHeader, decode_row_lists, read_header
from shardlake.limits import MAX_K
from shardlake.query.columns import Column
from shardlake.query.groups import Group
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, Float64Array, IndexType, Int64Array


def open_shard(
    tail: bytes, file_bytes: int, read: ReadRanges, blocks: Blocks | None = None, ahead: Ahead | None = None
) -> OpenShard:
    """Opens a shard from its tail. Raises FormatError.

    Args:
        tail: the bytes from the tail's offset to the end of the file.
        file_bytes: the size of the whole file.
        read: reads the rest of it.
        blocks: of it that were read before.
        ahead: what was read along with the tail; checked, like everything, where it is decoded.
    """
    directory = parse_tail(tail, file_bytes, SHARD_KIND)
    return OpenShard(read_header(directory, tail, file_bytes - len(tail)), read, blocks, ahead)


_NOTHING = Found(np.empty(0, np.int64), np.empty(0, np.float32), "")


def _without_nan(scores: list[float]) -> tuple[float | None, ...]:
    return tuple(None if score != score else score for score in scores)  # NaN alone differs from itself


def _is_bare(search: LeafSearch) -> bool:
    """Whether nothing but the score decides which hits there are, and nothing is counted."""
    shaped = search.rank is not None or search.group_by is not None or search.after is not None
    return not shaped and not search.facets


def _is_plain(search: LeafSearch) -> bool:
    """Whether a search is a scan of one space without a filter: many of them can be scanned together."""
    is_scan = len(search.vectors) == 1 and not search.vectors[0].exact
    return is_scan and search.filter is None and search.match is None and search.ids is None


def _kind(search: LeafSearch) -> tuple[object, ...]:
    """Returns what plain searches must have in common to be searched together: what they look for, and show."""
    source = search.vectors[0]
    lists = None if source.lists is None else len(source.lists)
    shown = _is_bare(search), search.attributes, search.include_vectors
    return source.space, search.k, source.nprobe, source.candidates, lists, shown


class OpenShard:
    """A shard and what of it has been read so far. Not safe for two threads at once."""

    def __init__(
        self, header: ShardHeader, read: ReadRanges, blocks: Blocks | None = None, ahead: Ahead | None = None
    ) -> None:
        self.header = header
        self.ahead: Ahead = {} if ahead is None else ahead
        self._read = read
        self._blocks = blocks
        self._spaces: dict[str, OpenSpace] = {}
        self._nearest: dict[str, Nearest] = {}
        self.attributes = ShardAttributes(header)
        self._row_lists: dict[str, RowLists] = {}
        self._items = ShardItems(header)
        self._terms = ShardTerms(header)
        self.hidden = HiddenRows(self._items, header.rows)
        self.expired = ExpiredRows()
        self._other_bytes = 0

    @property
    def resident_bytes(self) -> int:
        """What this shard holds in memory, near enough to bound a cache by."""
        spaces = sum(space.resident_bytes for space in self._spaces.values())
        spaces += sum(n.buckets.resident_bytes for n in self._nearest.values() if isinstance(n, NearestBuckets))
        parts = (self._items, self._terms, self.attributes, self.hidden, self.expired)
        return sum(part.resident_bytes for part in parts) + self._other_bytes + spaces

    def forget_items(self) -> None:
        """Drops the items read so far, which grow with every search; the rest is bounded by the number of rows."""
        self._items.forget()

    def reader(self, stats: LeafStats, deadline: Deadline | None = None) -> Reader:
        """Returns a reader of this shard that counts into `stats`."""
        return Reader(self._read, deadline, stats, self._blocks, self.ahead)

    def space(self, name: str) -> OpenSpace:
        """Returns the space that has the vectors of a space of the shard: itself, or its source. Raises NotFound."""
        return self.nearest(name).space

    def nearest(self, name: str) -> Nearest:
        """Returns the searches of a space of the shard or raises NotFound."""
        found = self._nearest.get(name)
        if found is None:
            spec = self.header.spaces.get(name)
            if spec is None:
                raise NotFound(f"the shard has no space {name}", kind=ErrorKind.UNKNOWN_SPACE)
            stored = self.header.spaces[spec.source or name]
            if stored.name not in self._spaces:
                self._spaces[stored.name] = open_space(self.header, stored)
            opened = self._spaces[stored.name]

            def members(reader: Reader) -> RowLists:
                return self._lists_of(stored.name, reader)

            if spec.index is IndexType.BINARY_MIH:
                found = NearestBuckets(opened, members, Buckets(self.header, spec))
            else:
                found = Nearest(opened, members)
            self._nearest[name] = found
        return found

    def search_together(
        self,
        searches: Sequence[LeafSearch],
        stats: LeafStats,
        deadline: Deadline | None = None,
        live: LiveRows | None = None,
    ) -> dict[int, LeafAnswer]:
        """Returns, by number, what `search` answers to searches of one kind, found by one scan of all.

        Searches that are not scanned, or of which there is but one of a kind, are left out. Raises as `search`.

        Args:
            searches: what is asked.
            stats: counts what is read for all of them; the rest is in each answer's own.
            deadline: of the reads.
            live: the rows that may be found; None for all.
        """
        if live is not None and not live.are_most:
            return {}
        kinds: dict[tuple[object, ...], list[int]] = {}
        for number, search in enumerate(searches):
            if _is_plain(search) and self._is_scanned(search.vectors[0].space):
                kinds.setdefault(_kind(search), []).append(number)
        reader = self.reader(stats, deadline)
        answers: dict[int, LeafAnswer] = {}
        for numbers in kinds.values():
            if len(numbers) > 1:
                found = self._answer_together([searches[number] for number in numbers], live, reader)
                answers.update((numbers[which], answer) for which, answer in found)
        return answers

    def _answer_together(
        self, alike: Sequence[LeafSearch], live: LiveRows | None, reader: Reader
    ) -> Iterator[tuple[int, LeafAnswer]]:
        """Yields number and answer of each of the searches, of one kind, that can be scanned with the others."""
        sources, k = [search.vectors[0] for search in alike], alike[0].k
        found = self.nearest(sources[0].space).scan_together(sources, k, live, reader)
        if not _is_bare(alike[0]):
            for which, rows, scores, stats in zip(*found, strict=True):
                yield which, self._answer(alike[which], Found(rows, scores, "scan"), "scan", live, reader, stats)
            return
        rows, scores = self._best_of_each(found, k, reader)
        step = max(1, MAX_K // k)  # searches whose hits are brought in one round: no more than one search may want
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            hits = self._hits(alike[0], rows[part].ravel(), scores[part].ravel(), reader)
            for number, (which, stats) in enumerate(zip(found.sources[part], found.stats[part], strict=True)):
                yield which, LeafAnswer(hits=hits[number * k : (number + 1) * k], stats=stats, strategy="scan")

    def _is_scanned(self, space: str) -> bool:
        spec = self.header.spaces.get(space)
        return spec is not None and spec.index in CODED and spec.lists > 0

    def search(
        self,
        search: LeafSearch,
        deadline: Deadline | None = None,
        stats: LeafStats | None = None,
        live: LiveRows | None = None,
    ) -> LeafAnswer:
        """Runs one search.

        Args:
            search: what is asked.
            deadline: of the reads.
            stats: counts into, and is the answer's.
            live: the rows that may be found and counted; None for all.

        Raises:
            FormatError: when bytes read contradict the format. DeadlineExceeded: when no time is left.
            Whatever the reads raise.
        """
        stats = stats or LeafStats()
        reader = self.reader(stats, deadline)
        if search.ids is not None:
            rows = np.asarray(self._items.find(search.ids, reader), np.int64)
            rows = rows if live is None else rows[live.mask[rows]]
            return LeafAnswer(
                hits=self._hits(search, rows, np.zeros(len(rows)), reader), stats=stats, strategy="lookup"
            )
        passing = self._passing(search, live, reader)
        if search.filter is not None and passing is not None:
            stats.rows_passing = passing.count
        if passing is not None and not passing.count:
            # The facets of nothing are counted as well: they say which values there are none of.
            return self._answer(search, _NOTHING, "none-pass", passing.rows, reader, stats)
        if len(search.vectors) + (search.match is not None) > 1:
            fusing = Fusing(search, [self.nearest(s.space) for s in search.vectors], self._terms, reader, stats)
            found = fusing.candidates(passing, self._items.order(reader))
            return self._answer(search, found, "fused", self._all_of(passing), reader, stats)
        if search.match is not None:
            rows, scores = self._terms.search(search.match, reader, passing)
            return self._answer(search, Found(rows, scores, "match"), "match", rows, reader, stats)
        if not search.vectors:
            return self._without_sources(search, passing, reader, stats)
        (source,) = search.vectors
        near = self.nearest(source.space).search(source, search.k, passing, reader, stats)
        return self._answer(search, near, near.strategy, passing, reader, stats)

    def _without_sources(
        self, search: LeafSearch, passing: RowSet | None, reader: Reader, stats: LeafStats
    ) -> LeafAnswer:
        rows = self._all_of(passing)
        if search.rank is not None or search.group_by is not None:
            return self._answer(search, Found(rows, np.zeros(len(rows), np.float32), ""), "all", rows, reader, stats)
        after = None if search.after is None else search.after[1]
        first = np.asarray(self._items.in_order(rows, after, search.k, reader), np.int64)
        return LeafAnswer(
            hits=self._hits(search, first, np.zeros(len(first)), reader),
            facets=facet_parts(search.facets, self._columns_of(search, reader), rows) if search.facets else (),
            stats=stats,
            strategy="by-id",
        )

    def _answer(  # noqa: PLR0917  # private: the end of every way
        self,
        search: LeafSearch,
        found: Found | Candidates,
        strategy: str,
        counted: Int64Array | RowSet | None,
        reader: Reader,
        stats: LeafStats,
    ) -> LeafAnswer:
        """Returns the answer: shaped, and with the facets of the rows `counted`."""
        if _is_bare(search) and isinstance(found, Found):
            rows, scores = self._best(found.rows, found.scores, search.k, reader)
            return LeafAnswer(hits=self._hits(search, rows, scores, reader), stats=stats, strategy=strategy)
        columns = self._columns_of(search, reader)
        order = self._items.order(reader)
        if search.fusion == "rrf" and isinstance(found, Candidates):  # the router ranks
            shaped = Shaped(rows=found.rows, scores=found.scores, positions=np.arange(len(found.rows)))
        else:
            shaped = shape(search, found.rows, found.scores, columns, order)
        table = found.table[:, shaped.positions] if isinstance(found, Candidates) else None
        if table is None and search.rank is not None and (search.vectors or search.match):
            # The expression has taken the place of the source's own score, which is still shown.
            table = found.scores[None, shaped.positions].astype(np.float64)
        rows = counted if isinstance(counted, np.ndarray) else self._all_of(counted)
        return LeafAnswer(
            hits=self._hits(search, shaped.rows, shaped.scores, reader, table=table, groups=shaped.groups),
            facets=facet_parts(search.facets, columns, rows) if search.facets else (),
            stats=stats,
            strategy=strategy,
        )

    # Which rows pass ------------------------------------------------------------------------------

    def _passing(self, search: LeafSearch, live: LiveRows | None, reader: Reader) -> RowSet | None:
        if search.filter is None:
            return live
        found = self.attributes.passing(search.filter, reader, partial(self._wanted, search))
        return found if live is None else live.among(found)

    def _wanted(self, search: LeafSearch, most: int) -> list[Extent]:
        """Returns what vector sources will read once the filter is answered, where `most` rows pass at most."""
        if not most:
            return []
        wanted = [extent for s in search.vectors for extent in self.nearest(s.space).wanted(s, search.k, most)]
        stored = {self.space(source.space).lists.space.name for source in search.vectors} - self._row_lists.keys()
        blocks = self.header.directory.blocks
        wanted += [blocks[name].extent for one in stored if (name := f"row_lists/{one}") in blocks]
        return wanted

    def _all_of(self, passing: RowSet | None) -> Int64Array:
        return np.arange(self.header.rows) if passing is None else passing.rows

    def _columns_of(self, search: LeafSearch, reader: Reader) -> dict[str, Column]:
        return {name: self.attributes.column(name, reader) for name in columns_of(search)}

    def _array(self, name: str, reader: Reader) -> npt.NDArray[np.generic]:
        return reader.array(name, self.header.directory.block(name))

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

    def _best(self, rows: Int64Array, scores: Float32Array, k: int, reader: Reader) -> tuple[Int64Array, Float32Array]:
        """Returns the k best rows, best first, ties by id."""
        if not len(rows):
            return rows, scores
        best = best_rows(scores, k)
        kept = scores.take(best)
        if len(set(kept.tolist())) < len(kept):  # only equal scores have an order to settle, and a place to fight for
            ranks = self._items.ranks(reader)[rows[best]]
            order = np.lexsort((ranks, -kept))[:k]
            best, kept = best[order], kept[order]
        return rows.take(best), kept

    def _best_of_each(self, found: FoundTogether, k: int, reader: Reader) -> tuple[Int64Array, Float32Array]:
        """Returns (n, k) the rows of each search that `_best` returns, and their scores."""
        positions, tied = best_of_each(found.scores, k)
        rows = np.take_along_axis(found.rows, positions, axis=1)
        scores = np.take_along_axis(found.scores, positions, axis=1)
        for number in np.flatnonzero(tied).tolist():
            rows[number], scores[number] = self._best(found.rows[number], found.scores[number], k, reader)
        return rows, scores

    def _hits(  # private
        self,
        search: LeafSearch,
        rows: Int64Array,
        scores: npt.NDArray[np.floating[Any]],
        reader: Reader,
        *,
        table: Float64Array | None = None,
        groups: Sequence[Group] = (),
    ) -> tuple[LeafHit, ...]:
        if not len(rows):
            return ()
        numbers: list[int] = rows.tolist()
        ids, payloads = zip(*self._items.entries(numbers, reader), strict=True)
        if not search.attributes:
            payloads = (b"",) * len(ids)
        if not (search.include_vectors or table is not None or groups):
            return tuple(map(LeafHit, ids, scores.tolist(), payloads))
        vectors: Sequence[dict[str, Float32Array] | None] = [None] * len(ids)
        if search.include_vectors:
            vectors = self._vectors_of(search.include_vectors, numbers, reader)
        parts = [()] * len(ids) if table is None else [_without_nan(column) for column in table.T.tolist()]
        return tuple(map(LeafHit, ids, scores.tolist(), payloads, vectors, parts, groups or [None] * len(ids)))

    def _vectors_of(self, spaces: Sequence[str], rows: list[int], reader: Reader) -> list[dict[str, Float32Array]]:
        vectors: list[dict[str, Float32Array]] = [{} for _ in rows]
        for space in spaces:
            found = self._vectors(space, rows, reader)
            for carried, row in zip(vectors, rows, strict=True):
                if row in found:
                    carried[space] = found[row]
        return vectors

    def _vectors(self, space: str, rows: list[int], reader: Reader) -> dict[int, Float32Array]:
        members = self._lists_of(self.space(space).lists.space.name, reader)
        wanted = np.array([row for row in rows if members.of_row[row] >= 0], np.int64)
        asked, found = set(rows), dict[int, Float32Array]()
        for _, read, vectors in self.space(space).lists.exact_rows(wanted, members, reader):
            found.update((row, vector) for row, vector in zip(read.tolist(), vectors, strict=True) if row in asked)
        return found
