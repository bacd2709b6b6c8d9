"""Rows as a table keeps them: one text or number an attribute, nothing nested, bounded in size.

Pure: no AWS here. `dynamodb.py` adds the keys and the type letters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any, TypeVar

import orjson

from shardlake.catalog.base import (
    Alias,
    BuildRow,
    BuildState,
    CollectionRow,
    DeltaRow,
    LogHead,
    Pointer,
    Receipt,
    ReceiptState,
    SegmentRow,
    ShardRow,
)
from shardlake.catalog.ledger import Ledger
from shardlake.errors import ErrorKind, FormatError
from shardlake.limits import MAX_ZONE_MAPS_BYTES

Row = CollectionRow | Pointer | Alias | ShardRow | SegmentRow | LogHead | Receipt | BuildRow | Ledger
RowT = TypeVar("RowT", CollectionRow, Pointer, Alias, ShardRow, SegmentRow, LogHead, Receipt, BuildRow, Ledger)
FactsT = TypeVar("FactsT", ShardRow, DeltaRow)

Attribute = Mapping[str, str]
"""A typed value as DynamoDB spells it: {"S": text} or {"N": digits}."""


def bounded(row: FactsT, max_bytes: int = MAX_ZONE_MAPS_BYTES) -> FactsT:
    """Returns the row with so many zone maps and summaries, shortest first, as fit `max_bytes` together.

    An attribute without them cannot be pruned by, so leaving one out costs time and never an answer; cutting a
    bound short would lose answers.
    """
    facts: dict[tuple[str, str], object] = {("zone", name): zone for name, zone in row.zone_maps.items()}
    facts.update({("summary", name): summary for name, summary in row.summaries.items()})
    sized = sorted((len(orjson.dumps([key[1], fact])), key) for key, fact in facts.items())
    kept: set[tuple[str, str]] = set()
    total = 0
    for size, key in sized:
        total += size
        if total > max_bytes:
            break
        kept.add(key)
    if len(kept) == len(sized):
        return row
    return replace(
        row,
        zone_maps={name: zone for name, zone in row.zone_maps.items() if ("zone", name) in kept},
        summaries={name: summary for name, summary in row.summaries.items() if ("summary", name) in kept},
    )


def to_item(row: Row) -> dict[str, Attribute]:
    """Returns the row's attributes. None is left out: absent means absent."""
    values = ((spec.name, getattr(row, spec.name)) for spec in fields(row))
    return {name: _written(value) for name, value in values if value is not None}


def from_item(cls: type[RowT], item: Mapping[str, Any]) -> RowT:
    """Returns the row of that class. Attributes it does not know are left alone, so that a newer writer may add some.

    Raises:
        FormatError: malformed-file, when an attribute is missing or of another type.
    """
    try:
        values = {spec.name: _READERS[str(spec.type)](item.get(spec.name)) for spec in fields(cls)}
    except (AttributeError, TypeError, KeyError, ValueError) as exc:
        raise FormatError("a catalog row cannot be read", kind=ErrorKind.MALFORMED_FILE, row=cls.__name__) from exc
    return cls(**values)


def _written(value: object) -> Attribute:
    if isinstance(value, str):
        return {"S": value.value if isinstance(value, StrEnum) else value}
    if isinstance(value, int | float):
        return {"N": repr(value)}
    return {"S": orjson.dumps(value).decode()}


def _text(attribute: Attribute | None) -> str:
    if attribute is None:
        raise KeyError("absent")
    return attribute["S"]


def _number(attribute: Attribute | None) -> str:
    if attribute is None:
        raise KeyError("absent")
    return attribute["N"]


def _pairs(attribute: Attribute | None) -> dict[str, tuple[Any, Any]]:
    return {name: (low, high) for name, (low, high) in orjson.loads(_text(attribute)).items()}


def _delta(raw: dict[str, Any]) -> DeltaRow:
    zones = {name: (low, high) for name, (low, high) in raw["zone_maps"].items()}
    return DeltaRow(**{**raw, "zone_maps": zones})


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "str | None": lambda attribute: None if attribute is None else _text(attribute),
    "int": lambda attribute: int(_number(attribute)),
    "int | None": lambda attribute: None if attribute is None else int(_number(attribute)),
    "Parts": lambda attribute: tuple((n, a, r, failed) for n, a, r, failed in orjson.loads(_text(attribute))),
    "float": lambda attribute: float(_number(attribute)),
    "ReceiptState": lambda attribute: ReceiptState(_text(attribute)),
    "BuildState": lambda attribute: BuildState(_text(attribute)),
    "dict[str, tuple[int, int]]": _pairs,
    "dict[str, tuple[object, object]]": _pairs,
    # What older releases did not write.
    **dict.fromkeys(
        ("LogPosition", "SizeBytes"), lambda attribute: 0 if attribute is None else int(_number(attribute))
    ),
    "Ranges": lambda attribute: () if attribute is None else tuple((a, b) for a, b in orjson.loads(_text(attribute))),
    "dict[str, str]": lambda attribute: {} if attribute is None else dict(orjson.loads(_text(attribute))),
    "DeltaRow | None": lambda attribute: None if attribute is None else _delta(orjson.loads(_text(attribute))),
    "dict[str, Summary]": lambda attribute: {} if attribute is None else dict(orjson.loads(_text(attribute))),
}
