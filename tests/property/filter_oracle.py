"""The filter grammar said once more, naively: one item at a time, on the JSON values themselves; and inputs for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec

Item = Mapping[str, Any]
KINDS = list(AttributeType)
# Radians of rounding that two computations of one distance may differ by: at the antipode an error of 1e-16 in the
# haversine is one of 1e-8 in the angle. Cases closer to a border than that say nothing, and are drawn again.
CLOSE = 1e-7
ORDERED = ["$gt", "$gte", "$lt", "$lte"]


def passes(raw: Mapping[str, Any], item: Item, schema: CollectionSchema) -> bool:
    """Returns whether an item passes a filter as the contract words it.

    A missing attribute matches only $ne, $nin, $not and {"$exists": false}.
    """
    return all(_entry(key, value, item, schema) for key, value in raw.items())


def _entry(key: str, value: Any, item: Item, schema: CollectionSchema) -> bool:
    if key == "$and":
        return all(passes(part, item, schema) for part in value)
    if key == "$or":
        return any(passes(part, item, schema) for part in value)
    if key == "$not":
        return not passes(value, item, schema)
    spec = schema.attribute(key)
    assert spec is not None
    return _conditions(spec, value if isinstance(value, Mapping) else {"$eq": value}, item.get(key))


def _conditions(spec: AttributeSpec, conditions: Mapping[str, Any], stored: Any) -> bool:
    return all(_holds(spec, word, operand, stored) for word, operand in conditions.items())


def _holds(spec: AttributeSpec, word: str, operand: Any, stored: Any) -> bool:
    if word == "$not":
        return not _conditions(spec, operand, stored)
    if word == "$ne":
        return not _holds(spec, "$eq", operand, stored)
    if word == "$nin":
        return not _holds(spec, "$in", operand, stored)
    values = [] if stored is None else stored if spec.multi else [stored]
    if word == "$exists":
        return bool(values) == operand
    if word == "$contains_all":
        return bool(values) and all(wanted in values for wanted in operand)
    return any(_compare(spec, word, operand, value) for value in values)


def _compare(spec: AttributeSpec, word: str, operand: Any, value: Any) -> bool:
    if word == "$in":
        return any(_compare(spec, "$eq", one, value) for one in operand)
    if word == "$prefix":
        return bool(value[: len(operand)] == operand)
    if word == "$geo_radius":
        return _apart(operand["center"], value) <= operand["meters"]
    if word == "$geo_box":
        return _in_box(operand["min"], operand["max"], value)
    if spec.type is AttributeType.FLOAT:
        operand, value = float(operand), float(value)
    if spec.type is AttributeType.DATETIME:
        operand, value = _moment(operand), _moment(value)
    return {
        "$eq": lambda: value == operand,
        "$gt": lambda: value > operand,
        "$gte": lambda: value >= operand,
        "$lt": lambda: value < operand,
        "$lte": lambda: value <= operand,
    }[word]()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _apart(one: list[float], other: list[float]) -> float:
    """Returns metres by the chord between two points of space: another formula for what haversine computes."""
    if _point(one) == _point(other):
        return 0.0
    chord = math.dist(_point(one), _point(other))
    angle = 2 * math.asin(min(1.0, chord / 2))
    return angle * 6_371_008.7714


def _point(place: list[float]) -> tuple[float, float, float]:
    latitude, longitude = (math.radians(degrees) for degrees in place)
    if abs(place[0]) == 90:
        return 0.0, 0.0, math.copysign(1.0, latitude)
    if abs(place[1]) == 180:
        return -math.cos(latitude), 0.0, math.sin(latitude)
    return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)


def _in_box(low: list[float], high: list[float], place: list[float]) -> bool:
    if not low[0] <= place[0] <= high[0]:
        return False
    if abs(place[0]) == 90:
        return True
    # Eastward from the west side: how far it is to the place, and how far to the east side.
    west, east, meridian = (Fraction(degrees) for degrees in (low[1], high[1], place[1]))
    width = east - west + (360 if west > east else 0)
    return any(0 <= meridian + turn - west <= width for turn in (-360, 0, 360))


def is_close(raw: Mapping[str, Any], item: Item) -> bool:
    """Returns whether an item lies so near to the border of a circle in a filter that rounding decides."""
    if "$geo_radius" not in str(raw):
        return False
    return any(_is_close(raw, value) for value in item.values() if _is_place(value))


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, float | int) for part in value)


def _is_close(raw: Any, place: list[float]) -> bool:
    if isinstance(raw, list):
        return any(_is_close(part, place) for part in raw)
    if not isinstance(raw, Mapping):
        return False
    if set(raw) != {"center", "meters"}:
        return any(_is_close(part, place) for part in raw.values())
    apart = _apart(raw["center"], place)
    # Below, and at, no distance and half the Earth both formulas are exact.
    exact = apart == 0.0 == raw["meters"] or raw["meters"] > math.pi * 6_371_008.7714
    return not exact and abs(apart - raw["meters"]) <= CLOSE * 6_371_008.7714


# What hypothesis draws: few distinct values, so that conditions meet ---------------------------------

_OFFSETS = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))]
_moments = st.builds(
    lambda base, hours, zone: (base + timedelta(hours=hours)).astimezone(zone).isoformat(),
    st.sampled_from([datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2026, 3, 1, 0, 30, tzinfo=UTC)]),
    st.integers(-3, 3),
    st.sampled_from(_OFFSETS),
)
_keywords = st.sampled_from(["", "a", "b", "ab", "Z", "é", "e\u0301", "\uffff", "\U0001f600", "\x00"]) | st.text(
    max_size=3
)
_latitudes = st.sampled_from([-90, 90, 0, 52.5, 89.999, -0.0]) | st.floats(-90, 90)
_longitudes = st.sampled_from([-180, 180, 0, 13.4, 179.999, -179.999, -0.0]) | st.floats(-180, 180)
_places = st.tuples(_latitudes, _longitudes).map(list)
_meters = st.sampled_from([0, 1e-3, 1_000, 1e6, 10_007_543.4, 2.0e7, 2.1e7, 1e300]) | st.floats(0, 2.1e7)
VALUES: dict[AttributeType, st.SearchStrategy[Any]] = {
    AttributeType.KEYWORD: _keywords,
    AttributeType.TEXT: _keywords,
    AttributeType.INT: st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, 2**53, 2**53 + 1]),
    AttributeType.FLOAT: st.sampled_from([0.0, -0.0, 0.1, 1.0, -1e308, 5e-324]) | st.floats(-2, 2) | st.integers(-2, 2),
    AttributeType.BOOL: st.booleans(),
    AttributeType.DATETIME: _moments,
    AttributeType.GEO: _places,
}


_circles = st.builds(lambda center, meters: {"$geo_radius": {"center": center, "meters": meters}}, _places, _meters)
_boxes = st.builds(
    lambda a, b: {"$geo_box": {"min": [min(a[0], b[0]), a[1]], "max": [max(a[0], b[0]), b[1]]}}, _places, _places
)


@st.composite
def schemas(draw: st.DrawFn) -> CollectionSchema:
    """Draws a schema of one to five attributes."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
    multi = AttributeType.KEYWORD
    specs = [AttributeSpec(name=f"a{i}", type=k, multi=k is multi and draw(st.booleans())) for i, k in enumerate(kinds)]
    return CollectionSchema(spaces=(SpaceSpec(name="v", dimension=2),), attributes=tuple(specs))


def items(schema: CollectionSchema) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draws the attributes of up to a dozen items; any may be missing."""
    one = {spec.name: _stored(spec) for spec in schema.attributes}
    return st.lists(st.fixed_dictionaries({}, optional=one), max_size=12)


def _stored(spec: AttributeSpec) -> st.SearchStrategy[Any]:
    return st.lists(VALUES[spec.type], max_size=3, unique=True) if spec.multi else VALUES[spec.type]


def filters(schema: CollectionSchema) -> st.SearchStrategy[dict[str, Any]]:
    """Draws a filter that the grammar allows."""
    leaf = st.sampled_from(schema.attributes).flatmap(_condition)
    return st.recursive(st.just({}) | leaf, _joined, max_leaves=8)


def _joined(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(parts, min_size=1, max_size=3)
    return (
        st.builds(lambda p: {"$and": p}, some)
        | st.builds(lambda p: {"$or": p}, some)
        | st.builds(lambda p: {"$not": p}, parts)
        | st.builds(lambda a, b: {**a, **b}, parts, parts)
    )


def _condition(spec: AttributeSpec) -> st.SearchStrategy[dict[str, Any]]:
    exists = st.booleans().map(lambda there: {"$exists": there})
    if spec.type in {AttributeType.TEXT, AttributeType.GEO}:
        shapes = exists if spec.type is AttributeType.TEXT else exists | _circles | _boxes
        both = shapes | shapes.map(lambda inner: {"$not": inner}) | st.builds(lambda a, b: {**a, **b}, shapes, shapes)
        return both.map(lambda found: {spec.name: found})
    value = VALUES[spec.type]
    words = ["$eq", "$ne", *([] if spec.type is AttributeType.BOOL else ORDERED)]
    simple = st.tuples(st.sampled_from(words), value).map(lambda pair: {pair[0]: pair[1]})
    among = st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(value, max_size=4)).map(lambda p: {p[0]: p[1]})
    one = simple | among | exists
    if spec.type is AttributeType.KEYWORD:
        one |= value.map(lambda text: {"$prefix": text[:2]})
    if spec.multi:
        one |= st.lists(value, max_size=3).map(lambda wanted: {"$contains_all": wanted})
    operators = one | st.builds(lambda a, b: {**a, **b}, one, one) | one.map(lambda inner: {"$not": inner})
    return (operators | value).map(lambda found: {spec.name: found})
