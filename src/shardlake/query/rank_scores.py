"""What a rank expression is for rows of a shard. Every result is a finite number, whatever the rows hold.

The rules for what has no result of its own, so that every hit has a place in the order:

    a missing number is 0, a missing place is as far away as a place can be; `default` and `exists` see the difference
    x / 0 is 0; log of 1e-300 and less is that of 1e-300; the root of less than 0 is 0; pow without a real result is 0
    what is beyond ±1e300 is ±1e300; comparisons are 1 or 0; `if` takes anything but 0 as true
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from shardlake.query.columns import Column, GeoColumn, KeywordColumn, NumberColumn
from shardlake.query.geo import EARTH_RADIUS_M, distance_m
from shardlake.query.rank import Expression
from shardlake.types import BoolArray, Float64Array, Int64Array

LARGEST = 1e300
SMALLEST = 1e-300  # log's smallest argument; no scale or pivot is smaller
FARTHEST_M = math.pi * EARTH_RADIUS_M
DEFAULT_DECAY = 0.5
_DECAY_MARGIN = 1e-6  # decay lies within (0, 1)

Numbers = Any
"""(n,) float64, or one float64 where every row has the same."""


def evaluate(expression: Expression, columns: Mapping[str, Column], rows: Int64Array, scores: Numbers) -> Float64Array:
    """Returns (n,) float64: what the expression is for each row, all finite.

    Args:
        expression: in wire form.
        columns: of the shard, every attribute that `rank.attributes_of` names.
        rows: (n,) int64 row numbers.
        scores: (n,) of those rows, of any float type; 0 where there is no query.

    Cost: one pass over n numbers for each part of the expression.
    """
    with np.errstate(all="ignore"):
        found = _Rows(columns, rows, np.asarray(scores, np.float64)).value(expression)
    return np.array(np.broadcast_to(found, rows.shape), np.float64)


class _Rows:
    """The rows of one evaluation."""

    def __init__(self, columns: Mapping[str, Column], rows: Int64Array, scores: Float64Array) -> None:
        self._columns = columns
        self._rows = rows
        self._scores = scores

    def value(self, node: Expression) -> Numbers:
        word = node[0]
        if word == "number":
            return _settled(np.float64(node[1]))
        if word == "score":
            return _settled(self._scores)
        reading = _READINGS.get(word)
        if reading is not None:
            return _settled(reading(self, *node[1:]))
        return _settled(_FUNCTIONS[word](*(self.value(part) for part in node[1:])))

    def number(self, name: str) -> Numbers:
        column = self._columns[name]
        if not isinstance(column, NumberColumn):
            return np.float64(0)
        return np.where(column.present[self._rows], column.values[self._rows].astype(np.float64), 0.0)

    def seconds(self, name: str) -> Numbers:
        return self.number(name) / 1e6

    def exists(self, name: str) -> Numbers:
        return self._present(name).astype(np.float64)

    def default(self, reading: Expression, other: Expression) -> Numbers:
        return np.where(self._present(reading[1]), self.value(reading), self.value(other))

    def equals(self, name: str, value: str) -> Numbers:
        column = self._columns[name]
        if not isinstance(column, KeywordColumn):
            return np.float64(0)
        return column.compare("eq", value)[self._rows].astype(np.float64)

    def distance(self, name: str, latitude: Expression, longitude: Expression) -> Numbers:
        column = self._columns[name]
        if not isinstance(column, GeoColumn):  # of a version whose columns know no places
            return np.float64(FARTHEST_M)
        latitudes, longitudes = column.latitudes[self._rows], column.longitudes[self._rows]
        metres = distance_m(self.value(latitude), self.value(longitude), latitudes, longitudes)
        return np.where(self._present(name), metres, FARTHEST_M)

    def _present(self, name: str) -> BoolArray:
        present: BoolArray = self._columns[name].present[self._rows]
        return present


_READINGS: dict[str, Callable[..., Numbers]] = {
    "value": _Rows.number,
    "seconds": _Rows.seconds,
    "exists": _Rows.exists,
    "default": _Rows.default,
    "is": _Rows.equals,
    "distance": _Rows.distance,
}


def _settled(values: Numbers) -> Numbers:
    bounded = np.clip(values, -LARGEST, LARGEST)
    missing = np.isnan(bounded)
    return np.where(missing, 0.0, bounded) if missing.any() else bounded


def _quotient(a: Numbers, b: Numbers) -> Numbers:
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


def _power(base: Numbers, exponent: Numbers) -> Numbers:
    # 0 to a power below 0 is infinite by IEEE; as a quotient by 0 it is 0 here.
    return np.where((base == 0) & (exponent < 0), 0.0, np.power(base, exponent))


def _decay(value: Numbers, origin: Numbers, scale: Numbers, decay: Numbers) -> tuple[Numbers, Numbers]:
    """Returns the distance from the origin in scales, and the decay: what is left at a distance of one scale."""
    apart = np.abs(value - origin) / np.maximum(scale, SMALLEST)
    return np.where(value == origin, 0.0, apart), np.clip(decay, _DECAY_MARGIN, 1 - _DECAY_MARGIN)


def _decay_gauss(value: Numbers, origin: Numbers, scale: Numbers, decay: Numbers = DEFAULT_DECAY) -> Numbers:
    apart, left = _decay(value, origin, scale, decay)
    return np.exp(np.log(left) * apart**2)


def _decay_exp(value: Numbers, origin: Numbers, scale: Numbers, decay: Numbers = DEFAULT_DECAY) -> Numbers:
    apart, left = _decay(value, origin, scale, decay)
    return np.exp(np.log(left) * apart)


def _decay_linear(value: Numbers, origin: Numbers, scale: Numbers, decay: Numbers = DEFAULT_DECAY) -> Numbers:
    apart, left = _decay(value, origin, scale, decay)
    return np.maximum(0.0, 1 - (1 - left) * apart)


def _saturation(value: Numbers, pivot: Numbers) -> Numbers:
    # The form with one quotient: value + pivot would overflow first.
    return np.where(value > 0, 1 / (1 + np.maximum(pivot, SMALLEST) / np.maximum(value, SMALLEST)), 0.0)


def _sigmoid(value: Numbers, pivot: Numbers, exponent: Numbers) -> Numbers:
    ratio = np.maximum(pivot, SMALLEST) / np.maximum(value, SMALLEST)
    return np.where(value > 0, 1 / (1 + np.power(ratio, exponent)), 0.0)


def _as_number(compare: Callable[[Numbers, Numbers], Numbers]) -> Callable[[Numbers, Numbers], Numbers]:
    return lambda a, b: np.asarray(compare(a, b), np.float64)


_FUNCTIONS: dict[str, Callable[..., Numbers]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _quotient,
    "neg": np.negative,
    "<": _as_number(np.less),
    "<=": _as_number(np.less_equal),
    ">": _as_number(np.greater),
    ">=": _as_number(np.greater_equal),
    "==": _as_number(np.equal),
    "!=": _as_number(np.not_equal),
    "abs": np.abs,
    "exp": np.exp,
    "log": lambda value: np.log(np.maximum(value, SMALLEST)),
    "sqrt": lambda value: np.sqrt(np.maximum(value, 0)),
    "pow": _power,
    "min": lambda *values: reduce(np.minimum, values),
    "max": lambda *values: reduce(np.maximum, values),
    "clamp": lambda value, low, high: np.minimum(np.maximum(value, low), high),
    "if": lambda condition, a, b: np.where(condition != 0, a, b),
    "decay_gauss": _decay_gauss,
    "decay_exp": _decay_exp,
    "decay_linear": _decay_linear,
    "saturation": _saturation,
    "sigmoid": _sigmoid,
}
