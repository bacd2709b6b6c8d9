"""The filter grammar: parsed and checked against the schema at the router, evaluated on columns in the shard.

A filter travels as a small tree of lists (its wire form), every value already turned into what columns store:

    ["and", node…]  ["or", node…]  ["not", node]  ["eq" | "gt" | "gte" | "lt" | "lte", attribute, value]
    ["in", attribute, [value…]]  ["exists", attribute]  ["all"]
    ["prefix", attribute, text]  ["all_of", attribute, [value…]]
    ["near", attribute, latitude, longitude, meters]  ["box", attribute, south, west, north, east]

A missing attribute satisfies no condition; `$ne` is `not eq` and `$nin` is `not in`, so it satisfies those.
`docs/filters.md` says what each operator means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.geo import parse_area, parse_circle
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema

Node = list[Any]
"""A filter in wire form."""

_ORDERED = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_OF_GEO = frozenset({"$geo_radius", "$geo_box"})
# RFC 3339 §5.6, as `contracts.attributes` takes it of items; datetime.fromisoformat alone would take weeks and more.
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def parse(raw: Mapping[str, Any], schema: CollectionSchema) -> Node:
    """Returns the wire form of a filter.

    Raises:
        InvalidInput: invalid-filter, with `place` in the filter.
    """
    node = _object(raw, schema, "filter", 1)
    if sum(1 for _ in _walk(node)) > limits.MAX_FILTER_NODES:
        raise _invalid(f"a filter may have {limits.MAX_FILTER_NODES} conditions", "filter")
    return node


def attributes_of(node: Node) -> set[str]:
    """Returns the attributes that a filter reads."""
    return {part[1] for part in _walk(node) if part[0] not in {"and", "or", "not", "all"}}


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if node[0] in {"and", "or", "not"}:
        for part in node[1:]:
            yield from _walk(part)


def _invalid(message: str, place: str) -> InvalidInput:
    return InvalidInput(message, kind=ErrorKind.INVALID_FILTER, place=place)


def _object(raw: object, schema: CollectionSchema, place: str, depth: int) -> Node:
    if not isinstance(raw, Mapping):
        raise _invalid("a filter must be an object", place)
    if depth > limits.MAX_FILTER_DEPTH:
        raise _invalid(f"a filter may nest {limits.MAX_FILTER_DEPTH} deep", place)
    parts = [_entry(key, value, schema, f"{place}.{key}", depth) for key, value in raw.items()]
    return _joined("and", parts)


def _joined(word: str, parts: list[Node]) -> Node:
    if not parts:
        return ["all"]
    return parts[0] if len(parts) == 1 else [word, *parts]


def _entry(key: str, value: object, schema: CollectionSchema, place: str, depth: int) -> Node:
    if key in {"$and", "$or"}:
        if not isinstance(value, list) or not value:
            raise _invalid(f"{key} takes a list of at least one filter", place)
        parts = [_object(part, schema, f"{place}[{i}]", depth + 1) for i, part in enumerate(value)]
        return _joined(key[1:], parts)
    if key == "$not":
        return ["not", _object(value, schema, place, depth + 1)]
    if key.startswith("$"):
        raise _invalid(f"there is no operator {key} here", place)
    spec = schema.attribute(key)
    if spec is None:
        raise _invalid(f"the collection has no attribute {key}", place)
    return _conditions(spec, value, place)


def _conditions(spec: AttributeSpec, value: object, place: str) -> Node:
    if not isinstance(value, Mapping):
        return _operator(spec, "$eq", value, place)
    if not value:
        raise _invalid("a condition needs at least one operator", place)
    return _joined("and", [_operator(spec, word, operand, f"{place}.{word}") for word, operand in value.items()])


def _operator(spec: AttributeSpec, word: str, operand: object, place: str) -> Node:
    make = _OPERATORS.get(word)
    if make is None:
        raise _invalid(f"there is no operator {word}", place)
    _check_type(spec, word, place)
    return make(spec, operand, place)


def _check_type(spec: AttributeSpec, word: str, place: str) -> None:
    """Refuses an operator that the attribute's type does not have."""
    if word in {"$exists", "$not"}:
        return
    if spec.type is AttributeType.TEXT:
        raise _invalid("a text attribute is not filtered by value; declare it as keyword for that", place)
    if (spec.type is AttributeType.GEO) != (word in _OF_GEO):
        raise _invalid(f"{word} is not for an attribute of type {spec.type}", place)
    if word in _ORDERED and spec.type is AttributeType.BOOL:
        raise _invalid("a bool has no order", place)
    if word in {"$prefix", "$contains_all"} and spec.type is not AttributeType.KEYWORD:
        raise _invalid(f"{word} is not for an attribute of type {spec.type}", place)
    if word == "$contains_all" and not spec.multi:
        raise _invalid("$contains_all needs an attribute of several values", place)


def _ordered(word: str) -> Callable[[AttributeSpec, object, str], Node]:
    return lambda spec, operand, place: [word, spec.name, _value(spec, operand, place)]


def _shape(word: str, parse_shape: Callable[[object], Sequence[float]]) -> Callable[[AttributeSpec, object, str], Node]:
    def make(spec: AttributeSpec, operand: object, place: str) -> Node:
        try:
            return [word, spec.name, *parse_shape(operand)]
        except ValueError as exc:
            raise _invalid(str(exc), place) from exc

    return make


def _exists(spec: AttributeSpec, operand: object, place: str) -> Node:
    if not isinstance(operand, bool):
        raise _invalid("$exists takes true or false", place)
    node: Node = ["exists", spec.name]
    return node if operand else ["not", node]


_OPERATORS: dict[str, Callable[[AttributeSpec, object, str], Node]] = {
    **{word: _ordered(wire) for word, wire in _ORDERED.items()},
    "$eq": lambda spec, operand, place: ["eq", spec.name, _value(spec, operand, place)],
    "$ne": lambda spec, operand, place: ["not", ["eq", spec.name, _value(spec, operand, place)]],
    "$in": lambda spec, operand, place: ["in", spec.name, _values(spec, operand, place)],
    "$nin": lambda spec, operand, place: ["not", ["in", spec.name, _values(spec, operand, place)]],
    "$not": lambda spec, operand, place: ["not", _conditions(spec, operand, place)],
    "$exists": lambda spec, operand, place: _exists(spec, operand, place),
    "$prefix": lambda spec, operand, place: ["prefix", spec.name, _value(spec, operand, place)],
    "$contains_all": lambda spec, operand, place: ["all_of", spec.name, _values(spec, operand, place)],
    "$geo_radius": _shape("near", parse_circle),
    "$geo_box": _shape("box", parse_area),
}


def _values(spec: AttributeSpec, operand: object, place: str) -> list[Any]:
    if not isinstance(operand, list) or len(operand) > limits.MAX_FILTER_VALUES:
        raise _invalid(f"a list of at most {limits.MAX_FILTER_VALUES} values is needed", place)
    return [_value(spec, value, f"{place}[{i}]") for i, value in enumerate(operand)]


def _value(spec: AttributeSpec, value: object, place: str) -> object:
    try:
        return to_column_value(spec, value)
    except (ValueError, OverflowError) as exc:
        raise _invalid(f"{spec.name} is of type {spec.type}: {exc}", place) from exc


def to_column_value(spec: AttributeSpec, value: object) -> str | int | float | bool:
    """Returns one value as columns store it: datetime as microseconds since 1970 UTC, the rest as it is.

    Raises:
        ValueError: with what is wrong.
    """
    kind = spec.type
    if kind is AttributeType.BOOL and isinstance(value, bool):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is AttributeType.FLOAT and is_number:
        return _finite(float(value))  # type: ignore[arg-type]  # a number by the line above
    if kind is AttributeType.INT and is_number:
        return _whole(value)  # type: ignore[arg-type]  # likewise
    if kind is AttributeType.DATETIME and isinstance(value, str):
        return microseconds(value)
    if kind is AttributeType.KEYWORD and isinstance(value, str):
        value.encode()  # half a surrogate pair has no bytes to look for
        return value
    raise ValueError("the value has another type")


def _finite(value: float) -> float:
    if value - value != 0:
        raise ValueError("the number is not finite")
    return value


def _whole(value: float) -> int:
    # A float is taken where it is whole: JSON has one kind of number, and 3.0 is 3 to most writers.
    if int(value) != value:
        raise ValueError("the number is not whole")
    if not _INT_MIN <= value <= _INT_MAX:
        raise ValueError("the number does not fit 64 bits")
    return int(value)


def microseconds(text: str) -> int:
    """Returns an RFC 3339 time with an offset as microseconds since 1970-01-01 UTC. Raises ValueError."""
    if not _DATETIME.fullmatch(text):
        raise ValueError("the time is not RFC 3339 with an offset")
    try:
        # Turned to UTC first: an offset can lead out of the years that there are.
        return (datetime.fromisoformat(text).astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except OverflowError as exc:
        raise ValueError("no moment of the years 1 to 9999") from exc
