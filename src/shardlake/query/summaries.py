"""What is known of a shard's values without opening it, and what that proves of a filter.

Two facts of each attribute travel in the shard map: its zone, [min, max] of the present values in order, and its
`Summary`. A filter is settled between two bounds: `can_match` says whether any row may pass, `_all_match` whether every
row must; each is the other's negation under `not`. What cannot be proved is never pruned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from shardlake.limits import MAX_SUMMARY_VALUES_BYTES
from shardlake.query.columns import Column, GeoColumn, KeywordColumn, NumberColumn
from shardlake.query.filter import Node
from shardlake.query.geo import EARTH_RADIUS_M, Area, bounding_area, boxes_of, shape_of
from shardlake.types import Summary

Zones = Mapping[str, Sequence[Any]]

QUANTILES = 16
MIN_QUANTILE_VALUES = 1_000  # fewer are not worth their place in the shard map


def summarize(column: Column) -> Summary:
    """Returns the summary of a column. Cost: for geo a sort of the places, else next to nothing."""
    present = int(np.count_nonzero(column.present))
    summary = Summary(present=present, missing=len(column.present) - present)
    if isinstance(column, KeywordColumn):
        few = len(column.dictionary) * 3 <= MAX_SUMMARY_VALUES_BYTES
        if few and len(orjson.dumps(column.dictionary)) <= MAX_SUMMARY_VALUES_BYTES:
            summary["values"] = column.dictionary
    if isinstance(column, GeoColumn) and present:
        there = column.present
        summary["area"] = list(bounding_area(column.latitudes[there], column.longitudes[there]))
    return summary


def quantiles(column: NumberColumn) -> list[int]:
    """Returns the values that cut the present ones into QUANTILES equal parts, ascending; none where they are few.

    Cost: a partial sort, 20 ms a million values.
    """
    there = column.values[column.present]
    if len(there) < MIN_QUANTILE_VALUES:
        return []
    places = np.arange(1, QUANTILES) * len(there) // QUANTILES
    found: list[int] = np.partition(there, places)[places].tolist()
    return found


def can_match(node: Node, zones: Zones, summaries: Mapping[str, Summary] | None = None) -> bool:
    """Returns False when it is proved that no row passes.

    Args:
        node: the filter in wire form.
        zones: {attribute: [min, max]} over present values; an attribute that is absent proves nothing.
        summaries: {attribute: Summary}; likewise.
    """
    return _Facts(zones, summaries or {}).can_match(node)


class _Facts:
    def __init__(self, zones: Zones, summaries: Mapping[str, Summary]) -> None:
        self._zones = zones
        self._summaries = summaries

    def can_match(self, node: Node) -> bool:
        word = node[0]
        if word in {"and", "or"}:
            return (all if word == "and" else any)(self.can_match(part) for part in node[1:])
        if word == "not":
            return not self._all_match(node[1])
        if word == "all":
            return True
        summary = self._summaries.get(node[1])
        if summary is not None and not summary["present"]:
            return False  # a missing value satisfies no condition
        return word == "exists" or self._some_value(node, summary)

    def _all_match(self, node: Node) -> bool:
        word = node[0]
        if word in {"and", "or"}:
            return (all if word == "and" else any)(self._all_match(part) for part in node[1:])
        if word == "not":
            return not self.can_match(node[1])
        if word == "all":
            return True
        summary = self._summaries.get(node[1])
        if summary is None or summary["missing"]:
            return False
        return word == "exists" or self._every_value(node, summary)

    def _some_value(self, node: Node, summary: Summary | None) -> bool:
        """Returns whether a present value may satisfy a condition."""
        word, operands = node[0], node[2:]
        if word in {"near", "box"}:
            area = None if summary is None else summary.get("area")
            return area is None or bool(shape_of(word, operands).touches(boxes_of(Area(*area)))[0].any())
        values = None if summary is None else summary.get("values")
        if values is not None:
            return _any_holds(word, operands[0], values)
        return node[1] not in self._zones or _may_hold(word, operands[0], *self._zones[node[1]])

    def _every_value(self, node: Node, summary: Summary) -> bool:
        """Returns whether all present values are sure to satisfy a condition, so that each row with a value passes."""
        word, operands = node[0], node[2:]
        if word in {"near", "box"}:
            return _holds_area(word, operands, summary)
        values: Sequence[Any] | None = summary.get("values")
        if values is None and word == "in" and node[1] in self._zones:
            low, high = self._zones[node[1]]
            return bool(low == high) and low in operands[0]
        if values is None:
            values = self._zones.get(node[1])
        # A condition on the ends of a range holds between them: all but `in` are of that kind, and `all_of`.
        if word == "all_of":
            return values is not None and all(value == wanted for wanted in operands[0] for value in values)
        return values is not None and all(_any_holds(word, operands[0], [value]) for value in values)


def _holds_area(word: str, operands: Sequence[float], summary: Summary) -> bool:
    if word == "near" and operands[2] >= math.pi * EARTH_RADIUS_M:
        return True  # no place is farther
    area = summary.get("area")
    return area is not None and bool(shape_of(word, operands).touches(boxes_of(Area(*area)))[1].all())


def _any_holds(word: str, operand: Any, values: Sequence[Any]) -> bool:  # noqa: ANN401  # a value, or several, of any type
    """Returns whether a row that has all of `values` and no others passes, or may."""
    if word == "in":
        return not set(operand).isdisjoint(values)
    if word == "all_of":
        return set(operand) <= set(values)
    if word == "prefix":
        return any(value.startswith(operand) for value in values)
    return any(_may_hold(word, operand, value, value) for value in values)


def _may_hold(word: str, operand: Any, low: Any, high: Any) -> bool:  # noqa: ANN401  # likewise
    """Returns whether a condition may hold of a value in [low, high]."""
    if word == "in":
        return any(low <= value <= high for value in operand)
    if word == "all_of":
        return all(low <= value <= high for value in operand)
    if word == "prefix":
        # The least text with that prefix is the prefix; one that is greater than all of them differs within it.
        return bool(operand <= high and (low <= operand or low.startswith(operand)))
    reach = {
        "eq": low <= operand <= high,
        "gt": high > operand,
        "gte": high >= operand,
        "lt": low < operand,
        "lte": low <= operand,
    }
    return bool(reach[word])
