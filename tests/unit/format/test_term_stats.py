"""The statistics of a version's texts: written, looked up in one round, damaged, lying."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from shardlake.contracts.shard import MatchSource
from shardlake.core import bm25
from shardlake.errors import ErrorKind, FormatError, InvalidInput, ShardlakeError
from shardlake.format import term_stats
from shardlake.format.container import ContainerWriter, Extent
from shardlake.format.term_stats import TERM_KIND, StatisticsWriter, TermStatistics, TextTotals
from shardlake.format.terms import term_key
from shardlake.query.match import ParsedClause
from tests.unit.format.lies import (
    HOSTILE,
    _changed,
    _paths,
    directory_of,
    lying_directories,
    what_breaks,
    with_directory,
)

TOTALS = (TextTotals(name="plot", docs=10, tokens=50), TextTotals(name="title", docs=4, tokens=4))
TERMS = {term_key(0, "boot"): 3, term_key(0, "red"): 10, term_key(1, "boot"): 1, term_key(1, "東"): 2}


def clause(attribute: str, terms: str, *phrases: str) -> ParsedClause:
    """Returns a clause of words that spaces part."""
    return ParsedClause(
        attribute=attribute, terms=tuple(terms.split()), phrases=tuple(tuple(phrase.split()) for phrase in phrases)
    )


ASKED = (clause("plot", "boot absent red"), clause("title", "東", "東"))


def write(totals: Sequence[TextTotals] = TOTALS, terms: dict[bytes, int] = TERMS) -> tuple[bytes, int]:
    """Returns a file and where its tail begins."""
    sink = io.BytesIO()
    writer = StatisticsWriter(ContainerWriter(sink, TERM_KIND))
    for key, df in terms.items():
        writer.add(key, df)
    tail, size = writer.finish(totals)
    assert size == len(sink.getvalue())
    return sink.getvalue(), tail


class File:
    """A file of statistics, opened; counts the rounds it is read in."""

    def __init__(self, data: bytes, tail: int) -> None:
        self.opened = TermStatistics(data[tail:], len(data))
        self.rounds = 0
        self._data = data

    def read(self, extents: Sequence[Extent]) -> list[bytes]:
        """Reads as the store's port does."""
        self.rounds += 1
        if any(extent.offset + extent.bytes > len(self._data) for extent in extents):
            raise FormatError("a range lies beyond the end of the object")
        return [self._data[extent.offset : extent.offset + extent.bytes] for extent in extents]

    def ask(self, parsed: Sequence[ParsedClause] = ASKED) -> MatchSource:
        """Returns what shards are asked."""
        return self.opened.clauses(parsed, self.read)


def test_a_match_gets_the_frequencies_of_the_collection_in_one_round() -> None:
    file = File(*write())

    found = file.ask()

    plot, title = found.clauses
    assert (plot.terms, plot.df, plot.docs, plot.mean_length) == (("boot", "red"), (3, 10), 10, 5.0)
    assert (title.terms, title.phrases, title.df, title.mean_length) == (("東",), (("東",),), (2,), 1.0)
    assert found.bound == pytest.approx(bm25.idf(10, 3) + bm25.idf(10, 10) + bm25.idf(4, 2))
    assert file.rounds == 1
    assert file.ask() == found
    assert file.rounds == 1, "the page is kept"


def test_what_no_text_has_matches_nothing_and_bounds_nothing() -> None:
    for parsed in ((), (clause("plot", "absent"),), (clause("plot", "boot absent", "boot absent"), ASKED[1])):
        found = File(*write()).ask(parsed)

        assert found.clauses == ()
        assert found.bound == 1.0


def test_an_attribute_without_words_in_this_version_asks_for_a_build() -> None:
    with pytest.raises(InvalidInput) as refused:
        File(*write()).ask((clause("year", "1960"),))

    assert refused.value.kind is ErrorKind.INVALID_MATCH
    assert refused.value.context["place"] == "match.year"


def test_a_collection_without_a_single_word_is_no_trouble() -> None:
    empty = [TextTotals(name="plot", docs=0, tokens=0)]

    assert File(*write(empty, {})).ask((clause("plot", "boot"),)).clauses == ()


def test_terms_of_another_analysis_are_not_searched_by_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(term_stats, "ANALYSIS_VERSION", 2)
    data, tail = write()
    monkeypatch.undo()

    with pytest.raises(FormatError) as refused:
        File(data, tail)
    assert refused.value.kind is ErrorKind.UNSUPPORTED_VERSION


def test_what_is_kept_of_many_terms_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {term_key(0, f"w{number:06d}"): 1 for number in range(50_000)}
    file = File(*write((TextTotals(name="plot", docs=60_000, tokens=60_000),), many))
    start = file.opened.resident_bytes
    monkeypatch.setattr(term_stats, "RESIDENT_BYTES", 100_000)
    for number in range(0, 50_000, 500):
        (found,) = file.ask((clause("plot", f"w{number:06d}"),)).clauses
        assert found.df == (1,)
        assert file.opened.resident_bytes < start + 200_000


def test_no_flipped_byte_of_statistics_goes_unnoticed_where_it_is_read() -> None:
    data, tail = write()
    expected = File(data, tail).ask()
    silent = []
    for at in range(len(data)):
        try:
            found = File(data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1 :], tail).ask()
            silent += [at] if found != expected else []
        except FormatError:
            pass

    assert silent == []


def test_statistics_with_a_lying_directory_are_a_format_error_or_statistics() -> None:
    data, tail = write()

    # Statistics that deny an attribute are told that the match asks for what they do not have.
    assert what_breaks(lambda lied: File(lied, tail).ask(), lying_directories(data), ShardlakeError) == []


def test_statistics_with_a_lying_meta_object_are_a_format_error_or_statistics() -> None:
    data, tail = write()

    def files() -> Iterator[tuple[str, bytes]]:
        truth: dict[str, Any] = directory_of(data)
        for path in _paths(truth["meta"]):
            for lie in HOSTILE:
                yield (
                    f"{path} = {lie!r}",
                    with_directory(data, _changed(truth, ("meta", *path), lambda _, lie=lie: lie)),
                )

    assert what_breaks(lambda lied: File(lied, tail).ask(), files(), ShardlakeError) == []
