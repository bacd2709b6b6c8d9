"""What a filter costs to answer from postings: which bytes, in how many rounds, and what is never read twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shardlake.engine.attributes import ShardAttributes, canonical
from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format.shard_header import ShardHeader
from shardlake.query.columns import Column, GeoColumn, KeywordColumn, NumberColumn, PresenceColumn, evaluate
from shardlake.query.filter import Node, attributes_of
from shardlake.query.rows import RowSet
from shardlake.types import AttributeSpec, AttributeType, BoolArray
from tests.attribute_file import AttributeFile, of_columns

ROWS = 50_000
GAPS = 128 * 1024  # what a read may bring beside what was asked for
T = AttributeType
SPECS = (
    AttributeSpec(name="colour", type=T.KEYWORD),
    AttributeSpec(name="sku", type=T.KEYWORD),
    AttributeSpec(name="tags", type=T.KEYWORD, multi=True),
    AttributeSpec(name="price", type=T.FLOAT),
    AttributeSpec(name="stars", type=T.INT),
    AttributeSpec(name="sale", type=T.BOOL),
    AttributeSpec(name="when", type=T.DATETIME),
    AttributeSpec(name="place", type=T.GEO),
    AttributeSpec(name="text", type=T.TEXT),
)


def _columns(rows: int, seed: int = 0) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    there = np.ones(rows, bool)
    some = rng.random(rows) < 0.9
    counts = rng.integers(0, 3, rows)
    tags = KeywordColumn(
        dictionary=[f"t{i:03d}" for i in range(200)],
        codes=np.concatenate([rng.choice(200, count, replace=False) for count in counts]).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
    )
    return {
        "colour": KeywordColumn(
            dictionary=[f"c{i:02d}" for i in range(20)], codes=rng.integers(-1, 20, rows).astype(np.int32), offsets=None
        ),
        "sku": KeywordColumn(
            dictionary=[f"sku-{i:09d}" for i in range(rows)], codes=rng.permutation(rows).astype(np.int32), offsets=None
        ),
        "tags": tags,
        "price": NumberColumn(values=rng.random(rows), present=there),
        "stars": NumberColumn(values=rng.integers(0, 6, rows), present=some),
        "sale": NumberColumn(values=(rng.random(rows) < 0.3).astype(np.uint8), present=some),
        "when": NumberColumn(values=rng.integers(0, 2**50, rows), present=there),
        "place": GeoColumn(latitudes=rng.uniform(-90, 90, rows), longitudes=rng.uniform(-180, 180, rows), present=some),
        "text": PresenceColumn(present=some),
    }


COLUMNS = _columns(ROWS)


@pytest.fixture(scope="module")
def written() -> AttributeFile:
    """50,000 rows of every type."""
    return of_columns(SPECS, COLUMNS, ROWS)


@pytest.fixture
def file(written: AttributeFile) -> AttributeFile:
    """The same, opened anew."""
    return AttributeFile(written.data, written.tail_offset, written.specs, written.rows)


# A row's bit is 1/8 byte in a dense bitmap, 2 bytes in a sparse one; one bucket has 1/49 of the rows, 8 bytes a value.
FILTERS: list[tuple[str, Node, int, int]] = [
    ("a value of a small keyword", ["eq", "colour", "c07"], 1, 8_000),
    ("several values", ["in", "colour", ["c01", "c02"]], 1, 16_000),
    ("a value that there is not", ["eq", "colour", "none"], 0, 0),
    ("a value of a large keyword", ["eq", "sku", "sku-000000123"], 1, 70_000),
    ("a prefix of a large keyword", ["prefix", "sku", "sku-00001"], 2, 210_000),
    ("a span of a large keyword", ["gte", "sku", "sku-000010000"], 2, 250_000),
    ("one of several values", ["eq", "tags", "t003"], 1, 2_500),
    ("all of two values", ["all_of", "tags", ["t003", "t004"]], 1, 5_000),
    ("a range of floats", ["lt", "price", 0.3333], 1, 3 * 8_000 + 12_000 + GAPS),
    ("a range of moments", ["gte", "when", 2**49], 1, 3 * 8_000 + 12_000 + GAPS),
    ("a float", ["eq", "price", 0.5], 1, 12_000 + GAPS),
    ("one of few numbers", ["eq", "stars", 3], 1, 9_000),
    ("most of few numbers", ["gt", "stars", 0], 1, 17_000 + GAPS),
    ("true", ["eq", "sale", True], 1, 9_000),
    ("where there is one", ["exists", "text"], 1, 9_000),
    ("a negation", ["not", ["eq", "sale", True]], 1, 9_000),
    ("a circle", ["near", "place", 50.0, 10.0, 300_000.0], 1, 4 * 20_000 + GAPS),
    ("an area", ["box", "place", -10.0, 170.0, 10.0, -170.0], 1, 10 * 20_000 + GAPS),
    ("all together", ["and", ["eq", "colour", "c07"], ["lt", "price", 0.5], ["eq", "sale", True]], 1, 60_000 + GAPS),
    ("what a part rules out", ["and", ["eq", "colour", "none"], ["lt", "price", 0.5]], 0, 0),
]


@pytest.mark.parametrize(("node", "rounds", "max_bytes"), [row[1:] for row in FILTERS], ids=[row[0] for row in FILTERS])
def test_a_filter_reads_the_postings_it_needs_and_no_column(
    file: AttributeFile, node: Node, rounds: int, max_bytes: int
) -> None:
    found = file.passing(node)

    assert np.array_equal(found, evaluate(node, COLUMNS, ROWS))
    assert len([spans for spans in file.rounds if spans]) <= rounds
    assert file.bytes_read <= max_bytes
    asked = [file.header().directory.block(name) for name in file.header().directory.blocks]
    columns = [block for block in asked if block.offset < file.tail_offset and block.bytes > 2 * GAPS]
    whole = [b for b in columns for r in file.rounds for x, y in r if x <= b.offset and b.offset + b.bytes <= y]
    assert whole == []


def test_the_same_filter_in_another_order_reads_nothing(file: AttributeFile) -> None:
    first = file.attributes.passing(["or", ["in", "colour", ["c01", "c02"]], ["lt", "price", 0.5]], file.reader())
    rounds = len(file.rounds)
    again = file.attributes.passing(["or", ["lt", "price", 0.5], ["in", "colour", ["c02", "c01"]]], file.reader())

    assert again is first
    assert len(file.rounds) == rounds


def test_a_filter_that_shares_conditions_with_another_reads_what_is_new(file: AttributeFile) -> None:
    file.passing(["and", ["eq", "colour", "c01"], ["lt", "price", 0.5]])
    before = file.bytes_read
    file.passing(["and", ["eq", "colour", "c02"], ["lt", "price", 0.5]])

    assert 0 < file.bytes_read - before <= 8_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["in", "a", [1, 2]], ["in", "a", [2]]),
        (["not", ["eq", "a", 1]], ["eq", "a", 1]),
        (["and", ["eq", "a", 1], ["eq", "b", 1]], ["or", ["eq", "a", 1], ["eq", "b", 1]]),
        (["eq", "a", 1], ["eq", "a", True]),
        (["eq", "a", 2**53], ["eq", "a", 2**53 + 1]),
        (["box", "a", 1.0, 2.0, 3.0, 4.0], ["box", "a", 3.0, 2.0, 1.0, 4.0]),
    ],
)
def test_filters_that_mean_different_things_have_different_texts(one: Node, other: Node) -> None:
    assert canonical(one) != canonical(other)


def test_what_is_kept_is_bounded(file: AttributeFile) -> None:
    for number in range(0, ROWS, 97):
        file.passing(["gte", "price", number / ROWS])
        assert file.attributes.resident_bytes <= 64 * 1024 * 1024


def test_a_filter_of_no_attribute_reads_nothing(file: AttributeFile) -> None:
    assert file.passing(["all"]).all()
    assert not file.passing(["not", ["all"]]).any()
    assert file.rounds == []


def test_an_attribute_that_the_shard_does_not_have_is_named(file: AttributeFile) -> None:
    with pytest.raises(InvalidInput, match="nope") as caught:
        file.passing(["eq", "nope", 1])

    assert caught.value.kind is ErrorKind.INVALID_FILTER
    with pytest.raises(InvalidInput, match="nope"):
        file.column("nope")


@pytest.mark.parametrize(
    "node",
    [
        ["eq", "text", "a"],
        ["near", "price", 0.0, 0.0, 1.0],
        ["gt", "place", 1.0],
        ["near", "colour", 0.0, 0.0, 1.0],
        ["prefix", "sale", "t"],
    ],
)
def test_a_condition_that_a_type_does_not_have_is_refused(file: AttributeFile, node: Node) -> None:
    with pytest.raises(InvalidInput) as caught:
        file.passing(node)

    assert caught.value.kind is ErrorKind.INVALID_FILTER


def _version_1(file: AttributeFile) -> ShardAttributes:
    header = file.header()
    arrays = {name: array for name, array in header.arrays.items() if not name.startswith("postings/")}
    return ShardAttributes(
        ShardHeader(rows=file.rows, spaces={}, attributes=header.attributes, directory=header.directory, arrays=arrays)
    )


@pytest.mark.parametrize("node", [row[1] for row in FILTERS], ids=[row[0] for row in FILTERS])
def test_a_shard_without_postings_is_filtered_by_its_columns_in_one_round(file: AttributeFile, node: Node) -> None:
    attributes = _version_1(file)
    found = attributes.passing(node, file.reader())

    assert np.array_equal(found.mask, evaluate(node, COLUMNS, ROWS))
    assert len(file.rounds) == 1
    assert attributes.resident_bytes > ROWS * len(attributes_of(node)) // 8


def test_a_column_is_read_once(file: AttributeFile) -> None:
    first = file.column("price")
    rounds = len(file.rounds)

    assert file.column("price") is first
    assert len(file.rounds) == rounds == 1
    assert isinstance(first, NumberColumn)
    assert np.array_equal(first.values, COLUMNS["price"].values)  # type: ignore[union-attr]


# Bytes that are wrong ---------------------------------------------------------------------------------

SMALL = 3_000
SMALL_COLUMNS = _columns(SMALL, 1)
SMALL_FILTERS: list[Node] = [
    node if node[1] != "sku" else [node[0], "sku", "sku-0000001"] for _, node, _, _ in FILTERS if node[0] != "all_of"
]


def _answers(data: bytes, tail_offset: int, lies: dict[str, Any] | None = None) -> list[BoolArray]:
    file = AttributeFile(data, tail_offset, SPECS, SMALL)
    header = file.header()
    header.arrays.update(lies or {})
    attributes = ShardAttributes(header)
    found: list[RowSet] = [attributes.passing(node, file.reader()) for node in SMALL_FILTERS]
    return [answer.mask for answer in found]


def _same(one: list[BoolArray], other: list[BoolArray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_no_flipped_byte_that_is_read_goes_unnoticed() -> None:
    written = of_columns(SPECS, SMALL_COLUMNS, SMALL)
    expected = _answers(written.data, written.tail_offset)
    probe = AttributeFile(written.data, written.tail_offset, SPECS, SMALL)
    for node in SMALL_FILTERS:
        probe.passing(node)
    read = sorted({at for spans in probe.rounds for x, y in spans for at in range(x, y)})
    noticed = 0
    for at in read[::307]:
        damaged = written.data[:at] + bytes([written.data[at] ^ 0xFF]) + written.data[at + 1 :]
        try:
            assert _same(_answers(damaged, written.tail_offset), expected), at
        except FormatError:
            noticed += 1

    assert noticed > 8  # the others lie in gaps, and in what stands between


def test_tables_that_lie_are_a_format_error_or_a_right_answer_of_right_bytes() -> None:
    written = of_columns(SPECS, SMALL_COLUMNS, SMALL)
    arrays = AttributeFile(written.data, written.tail_offset, SPECS, SMALL).header().arrays
    refused = 0
    for name, array in arrays.items():
        for lie in _lies(array):
            try:
                _answers(written.data, written.tail_offset, {name: lie})
            except FormatError:
                refused += 1

    assert refused > 5 * len(arrays)


def _lies(array: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    huge = np.full_like(array, np.finfo(array.dtype).max if array.dtype.kind == "f" else np.iinfo(array.dtype).max)
    first = array.copy()
    first.reshape(-1)[:1] = huge.reshape(-1)[:1]
    last = array.copy()
    last.reshape(-1)[-1:] = huge.reshape(-1)[-1:]
    zeros = np.zeros_like(array)
    return [array[:-1], array[:0], array.reshape(-1), array[..., None], huge, first, last, zeros, array[::-1],
            array.astype(np.float32), np.concatenate([array, array]), array + array.dtype.type(1)]  # fmt: skip
