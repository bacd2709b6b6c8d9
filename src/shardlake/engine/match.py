"""The `match` of a search in one shard: which rows have its terms and phrases, and what they score.

A cold match reads two rounds: pages of the dictionary, then postings (and, for phrases, positions) of all its terms.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import MatchSource
from shardlake.core import bm25
from shardlake.core.phrases import Occurrences, phrase_rows
from shardlake.engine.reading import Reader
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.format.shard_header import ShardHeader
from shardlake.format.terms import Place, Postings, TermIndex, decode_positions, term_key, text_ordinals
from shardlake.query.rows import RowSet
from shardlake.types import BoolArray, Float32Array, Int64Array

CACHE_BYTES = 48 * 1024 * 1024  # of decoded postings and positions, and as much again of one search
DICTIONARY_BYTES = 16 * 1024 * 1024  # of pages that stay
SPARSE = 16  # a union of so many times fewer rows than the shard has is sorted, not counted through all rows
_NO_ROWS = np.empty(0, np.int64)

Matched = tuple[Int64Array, Float32Array]
"""Rows, ascending, and their scores."""


@dataclass(frozen=True, slots=True)
class _Term:
    """One term of a match: where it is found in the shard, and what it weighs. No postings: no row has it."""

    postings: Postings | None
    positions: Int64Array | None
    weight: float
    mean_length: float

    def scores(self, at: slice | Int64Array | BoolArray) -> npt.NDArray[np.float64]:
        """Returns what some of its rows score, by their places in the postings."""
        assert self.postings is not None
        found = self.postings
        return bm25.scores(found.frequencies[at], found.lengths[at], self.weight, self.mean_length)

    def occurrences(self) -> Occurrences:
        """Returns the term as a part of a phrase."""
        if self.postings is None:
            return Occurrences(_NO_ROWS, _NO_ROWS, _NO_ROWS)
        return Occurrences(self.postings.rows, self.postings.frequencies, self.positions)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A match whose terms were read."""

    terms: list[_Term]
    phrases: list[list[Occurrences]]


class ShardTerms:
    """The terms of an opened shard; what was decoded stays, within bounds. Not safe for two threads at once."""

    def __init__(self, header: ShardHeader) -> None:
        self._rows = header.rows
        self._ordinals = text_ordinals(header.attributes.values())
        self._index = TermIndex(header) if TermIndex.is_in(header) else None
        self._kept: OrderedDict[tuple[str, Place], Postings | Int64Array] = OrderedDict()
        self._kept_bytes = 0
        self._last: tuple[MatchSource, _Loaded] | None = None

    @property
    def resident_bytes(self) -> int:
        """What is held in memory."""
        return self._kept_bytes + (0 if self._index is None else self._index.resident_bytes)

    def search(self, match: MatchSource, reader: Reader, passing: RowSet | None) -> Matched:
        """Returns all rows that match and pass, ascending, with their scores.

        Args:
            match: analysed, with the frequencies of the whole collection.
            passing: what the filter lets through; None is every row.

        Raises:
            InvalidInput: invalid-match, when the shard has no terms of an attribute.
            FormatError: when bytes read contradict the format.

        Cost: two rounds at most; then a few passes over the postings of the terms.
        """
        loaded = self._load(match, reader)
        if not loaded.phrases:
            return self._union(loaded.terms, passing)
        rows = _candidates(loaded.phrases[0], passing)
        for phrase in loaded.phrases:
            rows = phrase_rows(phrase, rows, self._rows)
        return rows, _scores_of(loaded.terms, rows).astype(np.float32)

    def score_rows(self, match: MatchSource, rows: Int64Array, reader: Reader) -> Float32Array:
        """Returns (n,) float32: what each of those rows scores, 0 where it does not match. Raises as `search` does."""
        loaded = self._load(match, reader)
        scores = _scores_of(loaded.terms, rows)
        for phrase in loaded.phrases:
            scores[~np.isin(rows, phrase_rows(phrase, np.unique(rows), self._rows))] = 0
        return scores.astype(np.float32)

    def _union(self, terms: Sequence[_Term], passing: RowSet | None) -> Matched:
        parts = []
        for term in terms:
            if term.postings is not None:
                keep = slice(None) if passing is None else passing.mask[term.postings.rows]
                parts.append((term.postings.rows[keep].astype(np.int64), term.scores(keep)))
        if not parts:
            return _NO_ROWS, np.empty(0, np.float32)
        if len(parts) == 1:
            return parts[0][0], parts[0][1].astype(np.float32)
        rows, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        # Both ways add term by term, so that a row scores the same to the last bit in a shard of any size.
        if len(rows) * SPARSE < self._rows:
            rows, places = np.unique(rows, return_inverse=True)
            return rows, np.bincount(places, weights=scores).astype(np.float32)
        sums = np.bincount(rows, weights=scores)
        rows = np.flatnonzero(sums > 0)  # of bools: ten times as fast as of floats
        return rows, sums[rows].astype(np.float32)

    # Reading --------------------------------------------------------------------------------------

    def _load(self, match: MatchSource, reader: Reader) -> _Loaded:
        # A fused search asks for the scores of rows again and again; it holds the match, so the identity is its own.
        if self._last is None or self._last[0] is not match:
            self._last = match, self._read_terms(match, reader)
        return self._last[1]

    def _read_terms(self, match: MatchSource, reader: Reader) -> _Loaded:
        places = self._find(match, reader)
        with_positions = {
            place
            for number, clause in enumerate(match.clauses)
            for phrase in clause.phrases
            if len(phrase) > 1
            for term in phrase
            if (place := places[number, term]) is not None
        }
        self._read({place for place in places.values() if place is not None}, with_positions, reader)
        loaded = _Loaded([], [])
        for number, clause in enumerate(match.clauses):
            of_term = {
                term: self._term(places[number, term], bm25.idf(clause.docs, df), clause.mean_length)
                for term, df in zip(clause.terms, clause.df, strict=True)
            }
            loaded.terms.extend(of_term.values())
            loaded.phrases.extend([of_term[term].occurrences() for term in phrase] for phrase in clause.phrases)
        self._forget()
        return loaded

    def _find(self, match: MatchSource, reader: Reader) -> dict[tuple[int, str], Place | None]:
        for clause in match.clauses:
            if self._index is None or clause.attribute not in self._ordinals:
                raise InvalidInput(
                    f"the shard has no words of the attribute {clause.attribute}: build the collection again",
                    kind=ErrorKind.INVALID_MATCH,
                    place=f"match.{clause.attribute}",
                )
        if self._index is None:
            return {}
        names = [(number, term) for number, clause in enumerate(match.clauses) for term in clause.terms]
        keys = [term_key(self._ordinals[match.clauses[number].attribute], term) for number, term in names]
        return dict(zip(names, self._index.find(keys, reader.extents), strict=True))

    def _read(self, postings: set[Place], positions: set[Place], reader: Reader) -> None:
        """Reads what is not kept of the groups that hold those terms, in one round."""
        index = self._index
        if index is None:
            return
        missing = sorted({place.group for place in postings if ("postings", place) not in self._kept})
        behind = sorted({place.group for place in positions if ("positions", place) not in self._kept})
        extents = [*map(index.postings_extent, missing), *map(index.positions_extent, behind)]
        blocks = [index.check(extent, data) for extent, data in zip(extents, reader.extents(extents), strict=True)]
        of_postings = dict(zip(missing, blocks, strict=False))
        of_positions = dict(zip(behind, blocks[len(missing) :], strict=True))
        for place in postings:
            if ("postings", place) not in self._kept:
                self._keep("postings", place, index.decode(of_postings[place.group], place.offset))
        for place in positions:
            if ("positions", place) not in self._kept:
                found = self._kept["postings", place]
                assert isinstance(found, Postings)
                self._keep("positions", place, decode_positions(found, of_positions[place.group]))

    def _term(self, place: Place | None, weight: float, mean_length: float) -> _Term:
        if place is None:
            return _Term(None, None, weight, mean_length)
        postings, positions = self._use("postings", place), self._use("positions", place)
        assert isinstance(postings, Postings)
        assert not isinstance(positions, Postings)
        return _Term(postings, positions, weight, mean_length)

    # What is kept ---------------------------------------------------------------------------------

    def _keep(self, kind: str, place: Place, value: Postings | Int64Array) -> None:
        self._kept[kind, place] = value
        self._kept_bytes += value.nbytes

    def _use(self, kind: str, place: Place) -> Postings | Int64Array | None:
        value = self._kept.get((kind, place))
        if value is not None:
            self._kept.move_to_end((kind, place))
        return value

    def _forget(self) -> None:
        while self._kept_bytes > CACHE_BYTES:
            _, value = self._kept.popitem(last=False)
            self._kept_bytes -= value.nbytes
        if self._index is not None and self._index.resident_bytes > DICTIONARY_BYTES:
            self._index.forget()


def _places(postings: Postings, rows: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Returns the place of each row in the postings, and whether it is there at all."""
    wanted = rows.astype(postings.rows.dtype)  # else numpy would make a wider copy of all the postings
    places = np.minimum(np.searchsorted(postings.rows, wanted), len(postings.rows) - 1)
    return places, postings.rows[places] == wanted


def _scores_of(terms: Sequence[_Term], rows: Int64Array) -> npt.NDArray[np.float64]:
    sums = np.zeros(len(rows))
    for term in terms:
        if term.postings is not None:
            places, there = _places(term.postings, rows)
            sums[there] += term.scores(places[there])
    return sums


def _candidates(phrase: Sequence[Occurrences], passing: RowSet | None) -> Int64Array:
    """Returns the rows of a phrase's rarest term, of those that pass."""
    rows = min((term.rows for term in phrase), key=len).astype(np.int64)
    return rows if passing is None else rows[passing.mask[rows]]
