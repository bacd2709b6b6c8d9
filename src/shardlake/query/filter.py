"""The filter grammar: parsed and checked against the schema at the router, evaluated on columns in the shard.

A filter travels as a small tree of lists (its wire form), every value already turned into what columns store:

    ["and", node…]  ["or", node…]  ["not", node]  ["eq" | "gt" | "gte" | "lt" | "lte", attribute, value]
    ["in", attribute, [value…]]  ["exists", attribute]  ["all"]

A missing attribute satisfies no comparison; `$ne` is `not eq` and `$nin` is `not in`, so it satisfies those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput, NotImplementedYet
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema

Node = list[Any]
"""A filter in wire form."""

_ORDERED = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_UNSERVED = frozenset({"$prefix", "$contains_all", "$geo_radius", "$geo_box"})
# RFC 3339 §5.6, as `contracts.attributes` takes it of items; datetime.fromisoformat alone would take weeks and more.
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def parse(raw: Mapping[str, Any], schema: CollectionSchema) -> Node:
    """Returns the wire form of a filter.

    Raises:
        InvalidInput: invalid-filter, with `place` in the filter.
        NotImplementedYet: an operator that this release does not serve.
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
    if spec.type is AttributeType.GEO:
        raise NotImplementedYet("filters on geo attributes are not served by this release", place=place)
    if spec.type is AttributeType.TEXT and not (isinstance(value, Mapping) and set(value) == {"$exists"}):
        raise _invalid("a text attribute is not filtered by value; declare it as keyword for that", place)
    if not isinstance(value, Mapping):
        return ["eq", spec.name, _value(spec, value, place)]
    if not value:
        raise _invalid("a condition needs at least one operator", place)
    return _joined("and", [_operator(spec, word, operand, f"{place}.{word}") for word, operand in value.items()])


def _operator(spec: AttributeSpec, word: str, operand: object, place: str) -> Node:
    if word in _UNSERVED:
        raise NotImplementedYet(f"{word} is not served by this release", place=place)
    if word in _ORDERED:
        if spec.type is AttributeType.BOOL:
            raise _invalid("a bool has no order", place)
        return [_ORDERED[word], spec.name, _value(spec, operand, place)]
    simple: dict[str, Callable[[], Node]] = {
        "$eq": lambda: ["eq", spec.name, _value(spec, operand, place)],
        "$ne": lambda: ["not", ["eq", spec.name, _value(spec, operand, place)]],
        "$in": lambda: ["in", spec.name, _values(spec, operand, place)],
        "$nin": lambda: ["not", ["in", spec.name, _values(spec, operand, place)]],
        "$not": lambda: ["not", _conditions(spec, operand, place)],
        "$exists": lambda: _exists(spec, operand, place),
    }
    make = simple.get(word)
    if make is None:
        raise _invalid(f"there is no operator {word}", place)
    return make()


def _exists(spec: AttributeSpec, operand: object, place: str) -> Node:
    if not isinstance(operand, bool):
        raise _invalid("$exists takes true or false", place)
    node: Node = ["exists", spec.name]
    return node if operand else ["not", node]


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
    moment = datetime.fromisoformat(text)
    difference = moment - _EPOCH
    return (difference.days * 86_400 + difference.seconds) * 1_000_000 + difference.microseconds
