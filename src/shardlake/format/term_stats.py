"""What a version's texts have in common: how many there are, how long, and how many have each term.

A container of kind TERM, written by the build and named in the manifest. One sorted map `terms` for all text
attributes, with the keys of `format/terms.py`; value = texts of the collection that have the term. The router looks
terms up in it, so that every shard scores by the frequencies of the whole collection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardlake.contracts.shard import MatchClause, MatchSource
from shardlake.core import bm25
from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format.container import ContainerWriter, decode_block, parse_tail
from shardlake.format.paged_map import PagedMap, ReadExtents
from shardlake.format.terms import MAP, MapWriter, term_key
from shardlake.limits import MAX_ATTRIBUTES
from shardlake.query.match import ParsedClause
from shardlake.query.text import ANALYSIS_VERSION

TERM_KIND = b"TERM"
RESIDENT_BYTES = 16 * 1024 * 1024  # of pages that stay
UNKNOWN_LENGTH = 16.0  # words of a text, on average, where nothing is known of them: a title, a caption


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTotals:
    """The texts of one attribute: how many have a word, and how many words they have."""

    name: str
    docs: int
    tokens: int

    @property
    def mean_length(self) -> float:
        """Words of a text, on average; 1 where there is no text."""
        return self.tokens / self.docs if self.docs else 1.0


class StatisticsWriter:
    """Writes the file; terms come in the order of their keys."""

    def __init__(self, writer: ContainerWriter) -> None:
        self._writer = writer
        self._map = MapWriter(writer, width=1)

    def add(self, key: bytes, df: int) -> None:
        """Writes how many texts have a term."""
        self._map.add(key, (df,))

    def finish(self, totals: Sequence[TextTotals]) -> tuple[int, int]:
        """Writes the tail; returns (where it begins, the size of the file)."""
        self._map.flush()
        self._writer.append(b"")
        offset = self._writer.offset
        self._map.add_to_tail(MAP)
        described = [{"name": each.name, "docs": each.docs, "tokens": each.tokens} for each in totals]
        return offset, self._writer.finish({"analysis": ANALYSIS_VERSION, "attributes": described})


class TermStatistics:
    """The opened statistics of a version; pages read so far stay, within bounds.

    Args:
        tail: the bytes from the tail's offset, which the manifest names, to the end of the file.
        file_bytes: the size of the file.

    Raises:
        FormatError: when the bytes contradict the format, or another analysis than this release's made the terms.
    """

    def __init__(self, tail: bytes, file_bytes: int) -> None:
        directory = parse_tail(tail, file_bytes, TERM_KIND)
        begin = file_bytes - len(tail)
        self._totals = _totals(directory.meta)
        self._ordinals = {name: number for number, name in enumerate(self._totals)}
        self._arrays = {
            name: decode_block(name, block, tail[block.offset - begin :][: block.bytes])
            for name, block in directory.blocks.items()
            if block.offset >= begin
        }
        self._map = PagedMap(self._arrays, MAP)

    @property
    def resident_bytes(self) -> int:
        """What is held in memory."""
        return self._map.resident_bytes + sum(array.nbytes for array in self._arrays.values())

    def clauses(self, parsed: Sequence[ParsedClause], read: ReadExtents, *, has_pending: bool = False) -> MatchSource:
        """Returns the match as shards are asked it: with the collection's frequencies, and a bound on all scores.

        A term that no text has is left out; with a phrase that has such a term nothing can match: no clause is left.
        Where there are texts that came later (`has_pending`), such a term counts as one that a single text has.

        Raises:
            InvalidInput: invalid-match, when the version has no words of an attribute.
            FormatError: when bytes read contradict the format.

        Cost: one round at most, a read a page of the dictionary that was not read before.
        """
        for clause in parsed:
            if clause.attribute not in self._totals:
                raise InvalidInput(
                    f"this version has no words of the attribute {clause.attribute}: build the collection again",
                    kind=ErrorKind.INVALID_MATCH,
                    place=f"match.{clause.attribute}",
                )
        names = [(clause.attribute, term) for clause in parsed for term in clause.terms]
        found = self._map.find([term_key(self._ordinals[name], term) for name, term in names], read)
        unknown = 1 if has_pending else 0
        df = {name: unknown if values is None else values[0] for name, values in zip(names, found, strict=True)}
        if self._map.resident_bytes > RESIDENT_BYTES:
            self._map = PagedMap(self._arrays, MAP)
        is_hopeless = any(not df[c.attribute, term] for c in parsed for phrase in c.phrases for term in phrase)
        clauses = () if is_hopeless else tuple(self._clause(clause, df) for clause in parsed)
        clauses = tuple(clause for clause in clauses if clause.terms)
        bound = sum(bm25.idf(clause.docs, each) for clause in clauses for each in clause.df)
        return MatchSource(clauses=clauses, bound=bound or 1.0)

    def _clause(self, clause: ParsedClause, df: Mapping[tuple[str, str], int]) -> MatchClause:
        totals = self._totals[clause.attribute]
        terms = tuple(term for term in clause.terms if df[clause.attribute, term])
        frequencies = tuple(df[clause.attribute, term] for term in terms)
        if frequencies and max(frequencies) > max(1, totals.docs):
            raise FormatError("more texts have a term than there are", attribute=clause.attribute)
        return MatchClause(
            attribute=clause.attribute,
            terms=terms,
            phrases=clause.phrases,
            docs=max((totals.docs, *frequencies)),
            mean_length=totals.mean_length,
            df=frequencies,
        )


def unbuilt_clauses(parsed: Sequence[ParsedClause], docs: int) -> MatchSource:
    """Returns the match of a collection that was never built: nothing is known of its words, and each weighs alike.

    Args:
        parsed: the match.
        docs: texts there are, at most.
    """
    clauses = tuple(
        MatchClause(
            attribute=clause.attribute,
            terms=clause.terms,
            phrases=clause.phrases,
            docs=max(docs, 1),
            mean_length=UNKNOWN_LENGTH,
            df=(1,) * len(clause.terms),
        )
        for clause in parsed
        if clause.terms
    )
    return MatchSource(clauses=clauses, bound=sum(bm25.idf(c.docs, each) for c in clauses for each in c.df) or 1.0)


def _totals(meta: Mapping[str, Any]) -> dict[str, TextTotals]:
    try:
        if meta["analysis"] != ANALYSIS_VERSION:
            raise FormatError(
                "the terms of this version were made by another analysis: build the collection again",
                kind=ErrorKind.UNSUPPORTED_VERSION,
                analysis=meta["analysis"],
            )
        totals = [TextTotals(**raw) for raw in meta["attributes"]]
        named = {each.name: each for each in totals}
    except (KeyError, TypeError) as exc:
        raise FormatError("the statistics of terms are not what the format says") from exc
    numbers = [number for each in totals for number in (each.docs, each.tokens)]
    are_numbers = all(type(number) is int and number >= 0 for number in numbers)
    if len(named) > MAX_ATTRIBUTES or len(named) < len(totals) or not are_numbers:
        raise FormatError("the statistics of terms contradict themselves")
    if any(each.docs > each.tokens for each in totals):
        raise FormatError("the statistics of terms contradict themselves")
    return named
