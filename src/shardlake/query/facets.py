"""Facets: what the values of an attribute are among all items that a search lets through, and how often.

A keyword, bool or int counts by value; a float or datetime, or an int with `bins`, counts by bins with edges that the
router decides, so that they are equal in all shards. A shard answers partial counts; `merged` adds them up exactly.

Wire form of one facet: [attribute, type, edges or None, stats or not]; of its partial:
{"values": [[value, count]…]} or {"bins": [count…]}, and "stats": [count, min, max, sum] where asked (`exact_sum`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake import limits
from shardlake.errors import ErrorKind, InternalError, InvalidInput
from shardlake.query.columns import Column, KeywordColumn, NumberColumn
from shardlake.query.exact_sum import exact_sum, from_wire, to_wire
from shardlake.types import AttributeType, CollectionSchema, Int64Array

Partial = dict[str, Any]
"""What one shard counted, in wire form."""

_COUNTED = frozenset({AttributeType.KEYWORD, AttributeType.BOOL, AttributeType.INT})
_BINNED = frozenset({AttributeType.INT, AttributeType.FLOAT, AttributeType.DATETIME})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = frozenset({"attribute", "bins", "limit", "stats"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One facet as asked.

    Attributes:
        bins: how many; 0 where values are counted.
        limit: how many values the answer has, the most frequent first.
        stats: whether count, min, max and avg are wanted.
    """

    attribute: str
    type: AttributeType
    bins: int
    limit: int
    stats: bool

    def wire(self, edges: Sequence[float] | None) -> list[Any]:
        """Returns the wire form."""
        return [self.attribute, self.type.value, None if edges is None else list(edges), self.stats]


def parse(raw: Sequence[object], schema: CollectionSchema) -> tuple[Facet, ...]:
    """Returns the facets of a request: names of attributes, or {"attribute", "bins" or "limit", "stats"}.

    Raises:
        InvalidInput: invalid-facet, with `place`.
    """
    if len(raw) > limits.MAX_FACETS:
        raise _invalid(f"a search may have {limits.MAX_FACETS} facets", "facets")
    found = tuple(_facet(entry, schema, f"facets[{number}]") for number, entry in enumerate(raw))
    names = [facet.attribute for facet in found]
    if len(set(names)) < len(names):
        raise _invalid("an attribute may stand once among the facets", "facets")
    return found


def _invalid(message: str, place: str) -> InvalidInput:
    return InvalidInput(message, kind=ErrorKind.INVALID_FACET, place=place)


def _facet(raw: object, schema: CollectionSchema, place: str) -> Facet:
    given: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {"attribute": raw}
    name = given.get("attribute")
    if not isinstance(name, str) or not given.keys() <= _FIELDS:
        raise _invalid(f"a facet is the name of an attribute, or an object of {', '.join(sorted(_FIELDS))}", place)
    spec = schema.attribute(name)
    if spec is None:
        raise _invalid(f"the collection has no attribute {name}", place)
    if spec.type not in _COUNTED | _BINNED:
        raise _invalid(f"{name} is of type {spec.type}, which has no facets", place)
    stats = given.get("stats", False)
    if not isinstance(stats, bool) or (stats and spec.type not in _BINNED):
        raise _invalid("stats is true or false, and true of an int, float or datetime only", f"{place}.stats")
    bins = _count(given, "bins", limits.MAX_FACET_BINS, place)
    if bins and spec.type not in _BINNED:
        raise _invalid(f"{name} is of type {spec.type}, which has no bins", f"{place}.bins")
    if not bins and spec.type not in _COUNTED:
        bins = limits.DEFAULT_FACET_BINS
    limit = _count(given, "limit", limits.MAX_FACET_VALUES, place)
    if limit and bins:
        raise _invalid("limit is of values, and bins have none", f"{place}.limit")
    return Facet(attribute=name, type=spec.type, bins=bins, limit=limit or limits.DEFAULT_FACET_LIMIT, stats=stats)


def _count(given: Mapping[str, Any], field: str, most: int, place: str) -> int:
    value = given.get(field)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _invalid(f"{field} is a whole number from 1 to {most}", f"{place}.{field}")
    return value


def edges(facet: Facet, zones: Sequence[Mapping[str, Sequence[Any]]]) -> list[float] | None:
    """Returns the edges of a facet's bins, ascending, one more than there are bins; None where values are counted.

    Args:
        facet: asked.
        zones: of every shard of the version, not only of those a filter leaves: {attribute: [min, max]}.

    The edges are equal distances from the smallest to the largest value of the collection. Where all values are one,
    there is one bin; where there is none, no bin. A datetime's edges are whole microseconds, an int's whole numbers, so
    there may be fewer than asked.
    """
    if not facet.bins:
        return None
    spans = [zone[facet.attribute] for zone in zones if facet.attribute in zone]
    if not spans:
        return []
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    if low == high:
        return [low, high]
    if facet.type is AttributeType.FLOAT:
        # Halves first: the difference of the largest floats is no number.
        steps = [step / facet.bins for step in range(facet.bins + 1)]
        return [low, *(low * (1 - step) + high * step for step in steps[1:-1]), high]
    whole = {low + (high - low) * step // facet.bins for step in range(facet.bins + 1)}
    return sorted(whole)


def partial(wire: Sequence[Any], column: Column, rows: Int64Array) -> Partial:
    """Returns what one shard counts.

    Args:
        wire: the facet.
        column: of its attribute.
        rows: (n,) int64: the rows that the search lets through.

    Raises:
        InvalidInput: facet-too-large. InternalError: the column is not of the attribute's type.

    Cost: one pass over the rows; a sort of their values for an int by value.
    """
    _, kind, bounds, stats = wire
    found: Partial
    if isinstance(column, KeywordColumn):
        return {"values": _bounded(_keyword_counts(column, rows), wire[0])}
    if not isinstance(column, NumberColumn):
        raise InternalError("a facet names a column without values", attribute=wire[0])
    values = column.values[rows][column.present[rows]]
    if bounds is not None:
        found = {"bins": _bin_counts(values, bounds)}
    else:
        distinct, counts = np.unique(values, return_counts=True)
        named = distinct.astype(bool) if kind == AttributeType.BOOL else distinct
        found = {"values": _bounded(list(zip(named.tolist(), counts.tolist(), strict=True)), wire[0])}
    if stats:
        there = len(values) > 0
        low, high = (values.min().item(), values.max().item()) if there else (None, None)
        found["stats"] = [len(values), low, high, to_wire(exact_sum(values))]
    return found


def _keyword_counts(column: KeywordColumn, rows: Int64Array) -> list[tuple[str, int]]:
    codes = column.codes[rows] if column.offsets is None else _codes_of(column, column.offsets, rows)
    # Code -1, a missing value, is counted at 0 and left out.
    counts = np.bincount(codes + 1, minlength=len(column.dictionary) + 1)[1:]
    return [(column.dictionary[code], int(counts[code])) for code in np.flatnonzero(counts)]


def _codes_of(column: KeywordColumn, offsets: npt.NDArray[np.uint32], rows: Int64Array) -> npt.NDArray[np.int32]:
    if len(rows) == len(offsets) - 1:  # all rows, so all codes
        return column.codes
    starts = offsets[rows].astype(np.int64)
    lengths = offsets[rows + 1].astype(np.int64) - starts
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return np.asarray(column.codes[places], np.int32)


def _bin_counts(values: npt.NDArray[Any], bounds: Sequence[float]) -> list[int]:
    bins = len(bounds) - 1
    if bins < 1:
        return []
    # Compared in the values' own type: int64 beyond 2^53 are no float64. The last bin has its upper edge too.
    places = np.searchsorted(np.asarray(bounds, values.dtype), values, side="right") - 1
    counts: list[int] = np.bincount(np.clip(places, 0, bins - 1), minlength=bins).tolist()
    return counts


def _bounded(counts: list[tuple[Any, int]], attribute: str) -> list[tuple[Any, int]]:
    if len(counts) > limits.MAX_FACET_VALUES:
        raise InvalidInput(
            f"the facet {attribute} has more than {limits.MAX_FACET_VALUES} distinct values",
            kind=ErrorKind.FACET_TOO_LARGE,
            attribute=attribute,
        )
    return counts


def merged(
    facet: Facet, bounds: Sequence[float] | None, partials: Sequence[Partial]
) -> tuple[Any, dict[str, Any] | None]:
    """Returns what the answer says of a facet: its counts, and its stats or None.

    Values come by count, then by value; the limit is applied here, after all shards were added up. A bin is
    {"from", "to", "count"}: values from its lower edge to below its upper one, the last with both.

    Raises:
        InvalidInput: facet-too-large.
    """
    stats = _stats(facet, [part["stats"] for part in partials]) if facet.stats else None
    if bounds is not None:
        totals = [sum(part["bins"][place] for part in partials) for place in range(len(bounds) - 1)]
        spans = zip(bounds, bounds[1:], totals, strict=False)
        return [{"from": _shown(facet, a), "to": _shown(facet, b), "count": count} for a, b, count in spans], stats
    totals_by_value: dict[Any, int] = {}
    for part in partials:
        for value, count in part["values"]:
            totals_by_value[value] = totals_by_value.get(value, 0) + count
    ranked = sorted(_bounded(list(totals_by_value.items()), facet.attribute), key=lambda entry: (-entry[1], entry[0]))
    return {_key(value): count for value, count in ranked[: facet.limit]}, stats


def _key(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _stats(facet: Facet, parts: Sequence[Sequence[Any]]) -> dict[str, Any]:
    there = [part for part in parts if part[0]]
    count = sum(part[0] for part in there)
    if not count:
        return {"count": 0, "min": None, "max": None, "avg": None}
    average = sum(from_wire(part[3]) for part in there) / count
    low, high = min(part[1] for part in there), max(part[2] for part in there)
    # The average of microseconds is shown as a moment, that of ints as a float.
    mean = round(average) if facet.type is AttributeType.DATETIME else float(average)
    return {"count": count, "min": _shown(facet, low), "max": _shown(facet, high), "avg": _shown(facet, mean)}


def _shown(facet: Facet, value: float) -> object:
    if facet.type is not AttributeType.DATETIME:
        return value
    moment = _EPOCH + timedelta(microseconds=int(value))
    return moment.isoformat().replace("+00:00", "Z")
