"""Values of attributes, by declared type. A null is a missing attribute and is left out of what is stored.

| type | JSON | bounds |
|---|---|---|
| keyword, text | string | UTF-8 bytes: MAX_KEYWORD_BYTES for a keyword |
| keyword, multi | list of strings | at most MAX_KEYWORD_VALUES, each once |
| int | number without fraction, not a bool | 64 bits, signed |
| float | number, not a bool | finite |
| bool | true, false | |
| datetime | RFC 3339 with an offset | microseconds; years 1 to 9999 in UTC |
| geo | [latitude, longitude] | degrees; ±90, ±180 |
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import orjson

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import AttributeSpec, AttributeType, Json

MIN_INT64 = -(2**63)
MAX_INT64 = 2**63 - 1
MAX_LATITUDE = 90
MAX_LONGITUDE = 180

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Source: RFC 3339 §5.6, in its upper-case form; at most nine digits of a second, of which six are kept.
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse_attributes(values: Mapping[str, Json], specs: Mapping[str, AttributeSpec]) -> dict[str, Json]:
    """Returns the attributes that are present, in the order given, each checked against its declared type.

    Raises:
        InvalidInput: invalid-item, with the place; an undeclared attribute is one.
    """
    present: dict[str, Json] = {}
    for name, value in values.items():
        spec = specs.get(name)
        if spec is None:
            raise _wrong(name, "the collection declares no such attribute")
        if value is None:
            continue
        problem = (_multi if spec.multi else _CHECKS[spec.type])(value)
        if problem is not None:
            raise _wrong(name, problem)
        # Each value once: a set of keywords has no order and no repetition.
        present[name] = list(dict.fromkeys(value)) if spec.multi and isinstance(value, list) else value
    if len(orjson.dumps(present)) > limits.MAX_ATTRIBUTES_BYTES:
        raise InvalidInput(
            f"the attributes are larger than {limits.MAX_ATTRIBUTES_BYTES} bytes",
            kind=ErrorKind.INVALID_ITEM,
            at="attributes",
        )
    return present


def datetime_micros(text: str) -> int:
    """Returns microseconds since 1970-01-01T00:00:00Z of a checked datetime.

    >>> datetime_micros("1970-01-01T01:00:00.5+01:00")
    500000

    Raises:
        ValueError: when it is not RFC 3339 with an offset, or lies outside the years 1 to 9999.
    """
    if not _DATETIME.fullmatch(text):
        raise ValueError("not RFC 3339 with an offset")
    try:
        # Turned to UTC first: an offset can lead out of the years that there are.
        return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as exc:
        raise ValueError("no moment of the years 1 to 9999") from exc


def _keyword(value: Json) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    if len(value) * 4 > limits.MAX_KEYWORD_BYTES and len(value.encode()) > limits.MAX_KEYWORD_BYTES:
        return f"must be at most {limits.MAX_KEYWORD_BYTES} bytes"
    return None


def _multi(value: Json) -> str | None:
    if not isinstance(value, list):
        return "must be a list of strings"
    if len(value) > limits.MAX_KEYWORD_VALUES:
        return f"must have at most {limits.MAX_KEYWORD_VALUES} values"
    return next((f"{problem} in every place" for problem in map(_keyword, value) if problem), None)


def _text(value: Json) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _int(value: Json) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return "must be a whole number"
    return None if MIN_INT64 <= value <= MAX_INT64 else "must fit in 64 bits"


def _float(value: Json) -> str | None:
    return None if _is_finite(value) else "must be a finite number"


def _bool(value: Json) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _datetime(value: Json) -> str | None:
    if isinstance(value, str):
        try:
            datetime_micros(value)
        except ValueError:
            pass
        else:
            return None
    return "must be RFC 3339 with an offset, as 2026-01-31T12:00:00Z"


def _geo(value: Json) -> str | None:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_finite, value)):
        return "must be [latitude, longitude]"
    latitude, longitude = value
    if abs(latitude) > MAX_LATITUDE or abs(longitude) > MAX_LONGITUDE:  # type: ignore[arg-type]  # numbers, by the line above
        return "must lie within ±90 and ±180 degrees"
    return None


def _is_finite(value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _wrong(name: str, problem: str) -> InvalidInput:
    at = f"attributes.{name[: limits.MAX_NAME_LENGTH]}"
    return InvalidInput(f"{at}: {problem}", kind=ErrorKind.INVALID_ITEM, at=at)


_CHECKS: dict[AttributeType, Callable[[Json], str | None]] = {
    AttributeType.KEYWORD: _keyword,
    AttributeType.TEXT: _text,
    AttributeType.INT: _int,
    AttributeType.FLOAT: _float,
    AttributeType.BOOL: _bool,
    AttributeType.DATETIME: _datetime,
    AttributeType.GEO: _geo,
}
