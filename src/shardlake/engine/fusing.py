"""Several sources of one search in one shard: the candidates of each, their scores in all, and the two made one.

Every candidate gets its score in every source by random access, so that the best by fused score are right among all
candidates of all sources. An exact search has every row as a candidate. For `rrf` the router ranks: nothing is looked
up, and each source's own best come back with the scores that they have there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shardlake.contracts.shard import LeafSearch, LeafStats, MatchSource, VectorSource
from shardlake.engine.match import ShardTerms
from shardlake.engine.nearest import Nearest
from shardlake.engine.reading import Reader
from shardlake.engine.shaping import IdOrder, best_of_each
from shardlake.query.fusion import Ranked, comparable, fuser, threshold_top_k
from shardlake.query.rows import RowSet
from shardlake.types import Float64Array, IndexType, Int64Array

MATCHED_AT_LEAST = 256  # candidates that full text gives to a fusion that is not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Rows that may be hits.

    Attributes:
        rows: (n,) int64, each once. scores: (n,) float64, fused; for `rrf` 0.
        table: (sources, n) float64: what each scores in each source; NaN where it has nothing there.
    """

    rows: Int64Array
    scores: Float64Array
    table: Float64Array


class Fusing:
    """The sources of one search, vectors first, then full text."""

    def __init__(
        self, search: LeafSearch, nearest: Sequence[Nearest], terms: ShardTerms, reader: Reader, stats: LeafStats
    ) -> None:
        self._search = search
        self._nearest = nearest
        self._terms = terms
        self._reader = reader
        self._stats = stats
        self._sources: list[VectorSource | MatchSource] = [*search.vectors]
        if search.match is not None:
            self._sources.append(search.match)

    def candidates(self, passing: RowSet | None, order: IdOrder) -> Candidates:
        """Returns the candidates; where nothing but the score decides, only the k best and what ties with them."""
        found = [self._found(number, passing) for number in range(len(self._sources))]
        if self._search.fusion == "rrf":
            rows, table = _table([(ranked.rows, raw) for ranked, raw in found])
            best = best_of_each(rows, table, self._search.k, order)
            return Candidates(rows=rows[best], scores=np.zeros(len(best)), table=table[:, best])
        fuse = fuser(self._search.fusion, [source.weight for source in self._sources])
        everything = all(ranked.complete for ranked, _ in found)
        decides_more = self._search.rank or self._search.group_by or self._search.after
        if everything or decides_more:
            rows, table = _table([(ranked.rows, raw) for ranked, raw in found])
            if not everything:
                table = np.stack([self._scores(number, rows) for number in range(len(self._sources))])
            return Candidates(rows=rows, scores=fuse(self._comparable(table)), table=table)
        best_k = threshold_top_k(
            [ranked for ranked, _ in found],
            lambda number, rows: self._as_comparable(number, self._scores(number, rows)),
            fuse,
            self._search.k,
        )
        self._stats.rows_saved += best_k.rows_saved
        table = np.stack([self._scores(number, best_k.rows) for number in range(len(self._sources))])
        return Candidates(rows=best_k.rows, scores=best_k.scores, table=table)

    def _found(self, number: int, passing: RowSet | None) -> tuple[Ranked, Float64Array]:
        """Returns the candidates of a source, best first, and their scores as the source gives them."""
        source = self._sources[number]
        if isinstance(source, MatchSource):
            rows, scores = self._terms.search(source, self._reader, passing)
            wanted = max(MATCHED_AT_LEAST, self._search.k, *(vector.candidates for vector in self._search.vectors))
            keeps_all = len(rows) <= wanted or self._is_exact
            if not keeps_all:
                best = np.argpartition(scores, -wanted)[-wanted:]
                rows, scores = rows[best], scores[best]
        else:
            nearest = self._nearest[number]
            rows, scores, _ = nearest.search(source, self._search.k, passing, self._reader, self._stats)
            keeps_all = source.exact or nearest.space.lists.space.index is IndexType.FLAT
        ranked = np.argsort(-scores, kind="stable")
        raw = scores[ranked].astype(np.float64)
        return Ranked(rows=rows[ranked], scores=self._as_comparable(number, raw), complete=keeps_all), raw

    @property
    def _is_exact(self) -> bool:
        return all(source.exact for source in self._search.vectors)

    def _scores(self, number: int, rows: Int64Array) -> Float64Array:
        source = self._sources[number]
        if isinstance(source, MatchSource):
            scores = self._terms.score_rows(source, rows, self._reader).astype(np.float64)
            return np.where(scores > 0, scores, np.nan)
        return self._nearest[number].score(source, rows, self._reader)

    def _as_comparable(self, number: int, scores: Float64Array) -> Float64Array:
        source = self._sources[number]
        if isinstance(source, MatchSource):
            return np.nan_to_num(comparable(scores, None, source.bound))
        return np.nan_to_num(comparable(scores, self._nearest[number].space.lists.space.metric))

    def _comparable(self, table: Float64Array) -> Float64Array:
        return np.stack([self._as_comparable(number, row) for number, row in enumerate(table)])


def _table(found: Sequence[tuple[Int64Array, Float64Array]]) -> tuple[Int64Array, Float64Array]:
    """Returns the union of the sources' rows, ascending, and (sources, n) their scores, NaN where they have none."""
    rows = np.unique(np.concatenate([rows for rows, _ in found]))
    table = np.full((len(found), len(rows)), np.nan)
    for number, (members, scores) in enumerate(found):
        table[number, np.searchsorted(rows, members)] = scores
    return rows, table
