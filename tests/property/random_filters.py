"""Items and filters by the thousand, drawn from a seed: the same grammar as in `filter_oracle`, without shrinking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np

from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec

Random = np.random.Generator
T = AttributeType
SCHEMA = CollectionSchema(
    spaces=(SpaceSpec(name="v", dimension=2),),
    attributes=(
        *(AttributeSpec(name=kind.value, type=kind) for kind in AttributeType),
        AttributeSpec(name="tags", type=T.KEYWORD, multi=True),
        AttributeSpec(name="many", type=T.KEYWORD),  # so many values that they are in pages
        AttributeSpec(name="never", type=T.INT),  # of which no item has one
    ),
)
WORDS = ["", "a", "b", "ab", "abc", "Z", "é", "e\u0301", "\uffff", "\U0001f600", "\x00", "z" * 40]
INTS = [*range(-3, 4), -(2**63), 2**63 - 1, 2**53, 2**53 + 1, 2**53 - 1]
FLOATS = [0.0, -0.0, 0.1, 0.5, 1.0, -1e308, 5e-324, 1e308, 3, 2**60]
MOMENTS = [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2026, 3, 1, 0, 30, tzinfo=UTC)]
ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))]
LATITUDES = [-90, 90, 0, 52.5, 89.999, -0.0]
LONGITUDES = [-180, 180, 0, 13.4, 179.999, -179.999, -0.0]
METERS = [0, 1e-3, 1_000, 1e6, 10_007_543.4, 2.0e7, 2.1e7, 1e300]
FREQUENT = 0.8  # items that have a value


def one_of(rng: Random, choices: list[Any]) -> Any:
    """Returns one of some values."""
    return choices[int(rng.integers(len(choices)))]


def value(rng: Random, spec: AttributeSpec) -> Any:
    """Returns a value of an attribute as JSON; of several, one of them."""
    if spec.name == "many":
        return f"value-{int(rng.integers(900)):04d}-{'x' * 24}"
    draw = {
        T.KEYWORD: lambda: one_of(rng, WORDS),
        T.TEXT: lambda: one_of(rng, WORDS),
        T.INT: lambda: one_of(rng, INTS),
        T.FLOAT: lambda: one_of(rng, FLOATS) if rng.random() < 0.5 else round(float(rng.uniform(-2, 2)), 2),
        T.BOOL: lambda: bool(rng.integers(2)),
        T.DATETIME: lambda: _moment(rng),
        T.GEO: lambda: place(rng),
    }
    return draw[spec.type]()


def _moment(rng: Random) -> str:
    moved = one_of(rng, MOMENTS) + timedelta(hours=int(rng.integers(-3, 4)))
    text: str = moved.astimezone(one_of(rng, ZONES)).isoformat()
    return text


def place(rng: Random) -> list[float]:
    """Returns a place: at a pole, on the date line, or anywhere."""
    latitude = one_of(rng, LATITUDES) if rng.random() < 0.4 else float(rng.uniform(-90, 90))
    longitude = one_of(rng, LONGITUDES) if rng.random() < 0.4 else float(rng.uniform(-180, 180))
    return [latitude, longitude]


def item(rng: Random) -> dict[str, Any]:
    """Returns an item's attributes; any may be missing."""
    found: dict[str, Any] = {}
    for spec in SCHEMA.attributes:
        if spec.name == "never" or rng.random() > FREQUENT:
            continue
        found[spec.name] = value(rng, spec)
        if spec.multi:
            drawn = rng.choice(len(WORDS), int(rng.integers(0, 4)), replace=False)
            found[spec.name] = [WORDS[i] for i in drawn]
    return found


def tree(rng: Random, depth: int = 3) -> dict[str, Any]:
    """Returns a filter that the grammar allows, at most `depth` joins deep."""
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        return _condition(rng, one_of(rng, list(SCHEMA.attributes)))
    if kind < 0.6:
        return {"$not": tree(rng, depth - 1)}
    if kind < 0.62:
        return {}
    parts = [tree(rng, depth - 1) for _ in range(int(rng.integers(1, 4)))]
    return {"$and" if kind < 0.82 else "$or": parts}


def _condition(rng: Random, spec: AttributeSpec) -> dict[str, Any]:
    operators = _operator(rng, spec)
    if rng.random() < 0.2:
        operators = {"$not": operators}
    elif rng.random() < 0.2:
        operators = {**operators, **_operator(rng, spec)}
    if spec.type not in {T.TEXT, T.GEO} and rng.random() < 0.1:
        return {spec.name: value(rng, spec)}
    return {spec.name: operators}


def _operator(rng: Random, spec: AttributeSpec) -> dict[str, Any]:
    words = ["$exists"]
    if spec.type is T.GEO:
        words = ["$exists", "$geo_radius", "$geo_box", "$geo_radius", "$geo_box"]
    elif spec.type is not T.TEXT:
        words += ["$eq", "$ne", "$in", "$nin", *([] if spec.type is T.BOOL else ["$gt", "$gte", "$lt", "$lte"])]
    if spec.type is T.KEYWORD:
        words += ["$prefix", *(["$contains_all"] * 2 if spec.multi else [])]
    word = one_of(rng, words)
    return {word: _operand(rng, spec, word)}


def _operand(rng: Random, spec: AttributeSpec, word: str) -> Any:
    if word == "$exists":
        return bool(rng.integers(2))
    if word == "$geo_radius":
        meters = one_of(rng, METERS) if rng.random() < 0.5 else float(rng.uniform(0, 2.1e7))
        return {"center": place(rng), "meters": meters}
    if word == "$geo_box":
        one, other = place(rng), place(rng)
        return {"min": [min(one[0], other[0]), one[1]], "max": [max(one[0], other[0]), other[1]]}
    if word in {"$in", "$nin", "$contains_all"}:
        return [value(rng, spec) for _ in range(int(rng.integers(0, 4)))]
    drawn = value(rng, spec)
    return drawn[: int(rng.integers(0, 10))] if word == "$prefix" else drawn
