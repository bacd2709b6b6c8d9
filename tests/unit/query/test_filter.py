"""The grammar's edges: what is refused, and where the refusal points."""

from __future__ import annotations

from typing import Any

import pytest

from shardlake import limits
from shardlake.contracts.attributes import datetime_micros
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.columns import PresenceColumn, build_column, evaluate
from shardlake.query.filter import attributes_of, microseconds, parse
from shardlake.query.summaries import can_match
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec

SCHEMA = CollectionSchema(
    spaces=(SpaceSpec(name="v", dimension=2),),
    attributes=(
        *(AttributeSpec(name=kind.value, type=kind) for kind in AttributeType),
        AttributeSpec(name="tags", type=AttributeType.KEYWORD, multi=True),
    ),
)
DEEP: dict[str, Any] = {"int": 1}
for _ in range(limits.MAX_FILTER_DEPTH):
    DEEP = {"$not": DEEP}

NEAR = {"center": [0, 0], "meters": 1}
BOX = {"min": [0, 0], "max": [1, 1]}
BAD: list[tuple[str, Any, str]] = [
    ("an unknown attribute", {"nope": 1}, "filter.nope"),
    ("an unknown operator", {"int": {"$like": 1}}, "filter.int.$like"),
    ("an operator where an attribute belongs", {"$gt": 3}, "filter.$gt"),
    ("a text for a number", {"int": {"$gt": "3"}}, "filter.int.$gt"),
    ("a number for a text", {"keyword": 3}, "filter.keyword"),
    ("true for a number", {"int": True}, "filter.int"),
    ("one for true", {"bool": 1}, "filter.bool"),
    ("a fraction for a whole number", {"int": 1.5}, "filter.int"),
    ("a number of more than 64 bits", {"int": 2**63}, "filter.int"),
    ("a float of more than 64 bits", {"int": 1e300}, "filter.int"),
    ("infinity", {"float": float("inf")}, "filter.float"),
    ("a number that no float can hold", {"float": 10**400}, "filter.float"),
    ("not a number", {"int": float("nan")}, "filter.int"),
    ("null", {"keyword": None}, "filter.keyword"),
    ("a list as a value", {"keyword": ["a"]}, "filter.keyword"),
    ("order of bools", {"bool": {"$lt": True}}, "filter.bool.$lt"),
    ("no operator", {"int": {}}, "filter.int"),
    ("a text attribute by value", {"text": "x"}, "filter.text"),
    ("a text attribute by order", {"text": {"$gt": "x"}}, "filter.text.$gt"),
    ("$in of a single value", {"int": {"$in": 3}}, "filter.int.$in"),
    ("$in with a wrong value", {"int": {"$in": [1, "2"]}}, "filter.int.$in[1]"),
    ("$nin of too many", {"int": {"$nin": [0] * (limits.MAX_FILTER_VALUES + 1)}}, "filter.int.$nin"),
    ("$exists of a number", {"int": {"$exists": 1}}, "filter.int.$exists"),
    ("$and of an object", {"$and": {"int": 1}}, "filter.$and"),
    ("$or of nothing", {"$or": []}, "filter.$or"),
    ("$or of a number", {"$or": [{"int": 1}, 3]}, "filter.$or[1]"),
    ("$not of a list", {"$not": [{"int": 1}]}, "filter.$not"),
    (
        "a wrong value deep inside",
        {"$or": [{"int": 1}, {"$not": {"tags": {"$in": [1]}}}]},
        "filter.$or[1].$not.tags.$in[0]",
    ),
    ("a day without a time", {"datetime": "2026-01-01"}, "filter.datetime"),
    ("a time without an offset", {"datetime": {"$gt": "2026-01-01T00:00:00"}}, "filter.datetime.$gt"),
    ("a thirteenth month", {"datetime": "2026-13-01T00:00:00Z"}, "filter.datetime"),
    ("no date at all", {"datetime": ""}, "filter.datetime"),
    ("seconds since an epoch", {"datetime": 1_700_000_000}, "filter.datetime"),
    ("a time before the year 1", {"datetime": "0001-01-01T00:00:00+01:00"}, "filter.datetime"),
    ("half a surrogate pair", {"keyword": "\ud800"}, "filter.keyword"),
    ("a prefix of a number", {"int": {"$prefix": "1"}}, "filter.int.$prefix"),
    ("a prefix that is a number", {"keyword": {"$prefix": 1}}, "filter.keyword.$prefix"),
    ("$contains_all of one value", {"tags": {"$contains_all": "a"}}, "filter.tags.$contains_all"),
    ("$contains_all of a number", {"tags": {"$contains_all": ["a", 1]}}, "filter.tags.$contains_all[1]"),
    ("$contains_all where there is one value", {"keyword": {"$contains_all": ["a"]}}, "filter.keyword.$contains_all"),
    ("a place by value", {"geo": [1, 2]}, "filter.geo"),
    ("a place by order", {"geo": {"$gt": [1, 2]}}, "filter.geo.$gt"),
    ("a circle around a word", {"keyword": {"$geo_radius": NEAR}}, "filter.keyword.$geo_radius"),
    ("a box without corners", {"geo": {"$geo_box": {}}}, "filter.geo.$geo_box"),
    ("a box with more than corners", {"geo": {"$geo_box": {**BOX, "wrap": True}}}, "filter.geo.$geo_box"),
    ("a box upside down", {"geo": {"$geo_box": {"min": [2, 0], "max": [1, 0]}}}, "filter.geo.$geo_box"),
    ("a corner beyond the pole", {"geo": {"$geo_box": {**BOX, "max": [90.1, 0]}}}, "filter.geo.$geo_box"),
    ("a corner beyond the date line", {"geo": {"$geo_box": {**BOX, "max": [9, 180.1]}}}, "filter.geo.$geo_box"),
    ("a corner of one number", {"geo": {"$geo_box": {**BOX, "max": [9]}}}, "filter.geo.$geo_box"),
    ("a circle without a radius", {"geo": {"$geo_radius": {"center": [0, 0]}}}, "filter.geo.$geo_radius"),
    ("a negative radius", {"geo": {"$geo_radius": {**NEAR, "meters": -1}}}, "filter.geo.$geo_radius"),
    ("a radius without an end", {"geo": {"$geo_radius": {**NEAR, "meters": float("inf")}}}, "filter.geo.$geo_radius"),
    ("a radius that no float holds", {"geo": {"$geo_radius": {**NEAR, "meters": 10**400}}}, "filter.geo.$geo_radius"),
    ("a centre of words", {"geo": {"$geo_radius": {**NEAR, "center": ["0", 0]}}}, "filter.geo.$geo_radius"),
    ("a centre of truths", {"geo": {"$geo_radius": {**NEAR, "center": [True, 0]}}}, "filter.geo.$geo_radius"),
    ("a list", [], "filter"),
    ("too many conditions", {"$or": [{"int": i} for i in range(limits.MAX_FILTER_NODES)]}, "filter"),
]


@pytest.mark.parametrize(("raw", "place"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_filter_is_refused_and_the_place_is_named(raw: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(raw, SCHEMA)

    assert caught.value.kind is ErrorKind.INVALID_FILTER
    assert caught.value.context["place"] == place


def test_nesting_has_a_bound() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(DEEP, SCHEMA)

    assert caught.value.kind is ErrorKind.INVALID_FILTER


def test_an_empty_filter_lets_everything_pass() -> None:
    assert parse({}, SCHEMA) == ["all"]
    assert evaluate(["all"], {}, 3).tolist() == [True] * 3
    assert attributes_of(["all"]) == set()
    assert can_match(["all"], {"int": (0, 0)})


MOMENTS = [
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00.000001+00:00",
    "1969-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00.123456789+05:30",
    "2026-01-01T00:00:00.5-11:45",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2024-02-29T12:00:00+14:00",
]


@pytest.mark.parametrize("text", MOMENTS)
def test_a_filter_and_an_item_take_one_text_for_the_same_moment(text: str) -> None:
    assert microseconds(text) == datetime_micros(text)


def test_one_moment_said_with_different_offsets_is_one_moment() -> None:
    assert microseconds("2026-01-01T01:00:00+01:00") == microseconds("2025-12-31T19:00:00-05:00")


NOT_RFC_3339 = [
    "2026-W01-1T00:00:00Z",
    "20260101T000000Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00Z",
    "2026-01-01T00:00:00+01:00:30",
]


@pytest.mark.parametrize("text", NOT_RFC_3339)
def test_a_filter_takes_no_moment_that_an_item_could_not_have(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse({"datetime": text}, SCHEMA)


def test_keywords_are_ordered_by_code_point() -> None:
    spec = AttributeSpec(name="k", type=AttributeType.KEYWORD)
    values = ["\uffff", "\U0001f600", "z", "Z", "é"]  # UTF-16 would put the face before U+FFFF
    column = build_column(spec, values)

    assert column.compare("gt", "é").tolist() == [True, True, False, False, False]  # type: ignore[union-attr]
    assert column.zone() == ("Z", "\U0001f600")


def test_a_column_of_presence_only_answers_nothing_else() -> None:
    column = build_column(AttributeSpec(name="text", type=AttributeType.TEXT), ["a", None])

    assert isinstance(column, PresenceColumn)
    assert evaluate(["exists", "text"], {"text": column}, 2).tolist() == [True, False]
    with pytest.raises(ValueError, match="has no values"):
        evaluate(["eq", "text", "a"], {"text": column}, 2)


def test_an_in_of_nothing_matches_nothing_and_prunes_everything() -> None:
    node = parse({"int": {"$in": []}}, SCHEMA)
    column = build_column(AttributeSpec(name="int", type=AttributeType.INT), [1, None])

    assert evaluate(node, {"int": column}, 2).tolist() == [False, False]
    assert not can_match(node, {"int": (1, 1)})
