"""The terms of a shard in bytes: read in two rounds, damaged, lying, and of an older format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shardlake.contracts.shard import MatchSource
from shardlake.engine import match as engine
from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format import terms as format_terms
from shardlake.format.container import Container
from shardlake.format.packed import varint
from shardlake.format.terms import GROUP_BYTES, MAP, decode_positions
from shardlake.limits import MAX_TOKENS_PER_TEXT
from shardlake.query.match import parse
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec
from tests import match_oracle as oracle
from tests.unit.format.lies import FEW, array_lies, directory_of, lying_directories, what_breaks

SPECS = (
    AttributeSpec(name="plot", type=AttributeType.TEXT),
    AttributeSpec(name="title", type=AttributeType.TEXT, language="none"),
)
SCHEMA = CollectionSchema(spaces=(SpaceSpec(name="v", dimension=2),), attributes=SPECS)
ITEMS = [
    {"plot": "red leather boots and red laces", "title": "boots"},
    {"plot": "a boot that leaks"},
    {"title": "the red boots of the king"},
    {},
    {"plot": "", "title": "東京 red"},
]
RAW = {"plot": 'leather boots "red lace"', "title": "red king 東"}
EACH = ({"plot": "leather boots a that"}, {"title": "red king 東 the of"}, RAW, {"title": '"the red boots"'})


def sources(items: oracle.Texts = ITEMS) -> list[MatchSource]:
    """Returns matches that together read every byte which any match reads."""
    corpus = oracle.Corpus(SPECS, items)
    return [corpus.source(parse(raw, SCHEMA)) for raw in EACH]


def everything(data: bytes, tail: int, rows: int = len(ITEMS)) -> list[Any]:
    """Returns what all matches find in a file, as plain values. Raises what they raise."""
    file = oracle.opened(SPECS, rows, data, tail)
    found = [file.terms.search(match, file.reader, None) for match in sources()]
    return [(rows.tolist(), np.round(scores, 5).tolist()) for rows, scores in found]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """The bytes of a file of terms, and where its tail begins."""
    return oracle.write(SPECS, ITEMS, tmp_path_factory.mktemp("terms"))


def test_the_matches_of_this_suite_find_what_the_oracle_finds(file: tuple[bytes, int]) -> None:
    corpus = oracle.Corpus(SPECS, ITEMS)

    assert [rows for rows, _ in everything(*file)] == [sorted(corpus.scores(match)) for match in sources()]


def test_no_flipped_byte_of_terms_goes_unnoticed_where_it_is_read(file: tuple[bytes, int]) -> None:
    data, tail = file
    expected = everything(data, tail)
    silent = []
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1 :]
        try:
            if everything(damaged, tail) != expected:
                silent.append(at)
        except FormatError:
            pass

    assert silent == []


def test_terms_with_a_lying_directory_are_a_format_error_or_terms(file: tuple[bytes, int]) -> None:
    data, tail = file

    assert what_breaks(lambda lied: everything(lied, tail), lying_directories(data, FEW)) == []


@pytest.mark.parametrize("liar", ["terms/keys", "terms/key_offsets", "terms/pages", "terms/shape", "term_groups"])
def test_terms_with_a_lying_table_are_a_format_error_or_terms(
    file: tuple[bytes, int], liar: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    truth = Container(file[0], oracle.KIND).array(liar)
    add_array = oracle.ContainerWriter.add_array

    def files() -> Iterator[tuple[str, tuple[bytes, int]]]:
        for lie, array in array_lies(truth):
            monkeypatch.setattr(
                oracle.ContainerWriter,
                "add_array",
                lambda self, name, value, array=array: add_array(self, name, array if name == liar else value),
            )
            yield lie, oracle.write(SPECS, ITEMS, tmp_path)

    assert what_breaks(lambda lied: everything(*lied), files()) == []


def test_fewer_rows_than_the_terms_name_are_a_format_error(file: tuple[bytes, int]) -> None:
    with pytest.raises(FormatError):
        everything(*file, rows=len(ITEMS) - 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        varint(0),
        varint(6) + b"\0" * 20,
        varint(2**32 - 1),
        varint(5) + varint(0) + b"\0\6",  # gaps of 32 bits, and none there
        varint(2) + varint(0) + varint(2**32 - 1) + b"\0" + b"\0\0" * 2,  # rows far behind the last
        varint(1) + varint(0) + b"\0\0" + varint(3) + b"\0" + varint(2) + b"\0",  # four times in three words
        varint(1) + varint(0) + b"\0\0" + b"\0\0" + varint(MAX_TOKENS_PER_TEXT) + b"\0",  # a text too long
        varint(1) + varint(0) + b"\0\0" + b"\0\7" + b"\0\0",  # a form that is none
        varint(1) + varint(0) + b"\0\x0e" + b"\0\0" + b"\0\0",  # escapes behind 32 bits
    ],
)
def test_postings_that_cannot_be_are_a_format_error(file: tuple[bytes, int], data: bytes) -> None:
    index = oracle.opened(SPECS, len(ITEMS), *file).terms._index
    assert index is not None

    with pytest.raises(FormatError):
        index.decode(data, 0)


def test_positions_that_cannot_be_are_a_format_error() -> None:
    once = np.array([1], np.int32)
    often = np.array([30_000] * 1_000, np.int32)
    postings = format_terms.Postings(rows=once, frequencies=once, lengths=once, positions_at=0)
    many = format_terms.Postings(rows=often, frequencies=often, lengths=often, positions_at=0)

    assert decode_positions(postings, b"\0\0").tolist() == [0]
    for lie in (b"", b"\1\0", b"\0\7"):
        with pytest.raises(FormatError):
            decode_positions(postings, lie)
    with pytest.raises(FormatError, match="more positions"):
        decode_positions(many, b"\0\0")


def test_a_cold_match_of_several_attributes_and_phrases_reads_two_rounds(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(9_000)]
    items = [{"plot": " ".join(words[at : at + 300]), "title": words[at]} for at in range(0, 9_000, 3)]
    data, tail = oracle.write(SPECS, items, tmp_path)
    file = oracle.opened(SPECS, len(items), data, tail)
    corpus = oracle.Corpus(SPECS, items)
    match = corpus.source(parse({"plot": 'w5 w5000 w8999 "w1000 w1001"', "title": "w3 w999"}, SCHEMA))

    rows, scores = file.terms.search(match, file.reader, None)

    assert len(file.rounds) == 2
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == pytest.approx(corpus.scores(match), rel=1e-6)
    # Warm: not one more.
    file.terms.search(match, file.reader, None)
    file.terms.score_rows(match, rows, file.reader)
    assert len(file.rounds) == 2


def test_groups_are_small_but_for_a_term_that_is_not(tmp_path: Path) -> None:
    items = [{"plot": f"common w{row % 50} {'x ' * (row % 7)}"} for row in range(60_000)]
    data, _ = oracle.write(SPECS, items, tmp_path)
    groups = Container(data, oracle.KIND).array("term_groups")

    assert len(groups) > 3
    assert sum(int(size) > GROUP_BYTES + 32 for size in groups[:, 1]) <= 2  # common, and x


def test_what_is_kept_is_bounded_and_what_was_dropped_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{"plot": " ".join(f"w{(row * k) % 97}" for k in range(1, 9))} for row in range(500)]
    data, tail = oracle.write(SPECS, items, tmp_path)
    file = oracle.opened(SPECS, len(items), data, tail)
    corpus = oracle.Corpus(SPECS, items)
    monkeypatch.setattr(engine, "CACHE_BYTES", 2_000)
    monkeypatch.setattr(engine, "DICTIONARY_BYTES", 10)
    for number in [*range(97), *range(97)]:
        match = corpus.source(parse({"plot": f'"w{number} w{(2 * number) % 97}" w3'}, SCHEMA))
        rows, _ = file.terms.search(match, file.reader, None)

        assert rows.tolist() == sorted(corpus.scores(match))
        assert file.terms.resident_bytes <= 2_000


def test_a_shard_without_terms_says_that_it_must_be_built_again(file: tuple[bytes, int]) -> None:
    assert f"{MAP}/keys" in directory_of(file[0])["blocks"]
    container_only = oracle.ContainerWriter
    sink = oracle.io.BytesIO()
    container_only(sink, oracle.KIND).finish({})
    old = oracle.opened(SPECS, len(ITEMS), sink.getvalue(), 0)

    with pytest.raises(InvalidInput) as refused:
        old.terms.search(sources()[0], old.reader, None)
    assert refused.value.kind is ErrorKind.INVALID_MATCH
    assert old.terms.search(MatchSource(clauses=()), old.reader, None)[0].tolist() == []
    assert old.terms.score_rows(MatchSource(clauses=()), np.arange(3), old.reader).tolist() == [0, 0, 0]
