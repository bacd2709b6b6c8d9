"""Attribute columns and the exact evaluation of a filter on them.

Cost: a comparison reads one column once; a keyword comparison is settled on the dictionary, then looked up by code.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.filter import Node, microseconds
from shardlake.query.geo import Shape, shape_of
from shardlake.types import AttributeSpec, AttributeType, BoolArray

# What columns of numbers store; other types have no numbers.
NUMBERS: dict[AttributeType, Any] = {
    AttributeType.INT: np.int64,
    AttributeType.DATETIME: np.int64,
    AttributeType.FLOAT: np.float64,
    AttributeType.BOOL: np.uint8,
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberColumn:
    """One number a row: (n,) int64, float64 or uint8 values, and (n,) bool where there is one."""

    values: npt.NDArray[Any]
    present: BoolArray

    def compare(self, word: str, value: Any) -> BoolArray:  # noqa: ANN401  # a number of the column's type
        """Returns the rows whose value satisfies a comparison."""
        mask: BoolArray = _COMPARE[word](self.values, value) & self.present
        return mask

    def among(self, values: Sequence[Any]) -> BoolArray:
        """Returns the rows whose value is one of `values`."""
        return np.isin(self.values, np.asarray(values, self.values.dtype)) & self.present

    def zone(self) -> tuple[Any, Any] | None:
        """Returns the smallest and largest present value, or None."""
        if not self.present.any():
            return None
        there = self.values[self.present]
        return there.min().item(), there.max().item()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordColumn:
    """Strings by dictionary.

    Attributes:
        dictionary: the distinct values in code point order.
        codes: int32 positions in the dictionary; of row r from offsets[r] to offsets[r + 1].
        offsets: (n + 1,) uint32, or None where each row has exactly one code, -1 for a missing value.
    """

    dictionary: list[str]
    codes: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.uint32] | None

    @property
    def present(self) -> BoolArray:
        """The rows that have a value."""
        if self.offsets is None:
            return np.asarray(self.codes >= 0)
        return np.asarray(self.offsets[1:] > self.offsets[:-1])

    def compare(self, word: str, value: str) -> BoolArray:
        """Returns the rows of which any value satisfies a comparison."""
        left, right = bisect_left(self.dictionary, value), bisect_right(self.dictionary, value)
        end = len(self.dictionary)
        span = {"eq": (left, right), "gt": (right, end), "gte": (left, end), "lt": (0, left), "lte": (0, right)}[word]
        return self._rows_with(range(*span))

    def prefix(self, text: str) -> BoolArray:
        """Returns the rows of which any value begins with `text`."""
        left = bisect_left(self.dictionary, text)
        # From there on values begin with it, and then no longer.
        right = bisect_left(self.dictionary, True, lo=left, key=lambda value: not value.startswith(text))
        return self._rows_with(range(left, right))

    def all_of(self, values: Sequence[str]) -> BoolArray:
        """Returns the rows that have every one of `values`; of none, the rows that have any value at all."""
        wanted = set(values)
        if not wanted:
            return self.present
        return np.asarray(self._hits_by_row(self._codes_of(wanted)) == len(wanted))

    def among(self, values: Sequence[str]) -> BoolArray:
        """Returns the rows of which any value is one of `values`."""
        return self._rows_with(self._codes_of(values))

    def zone(self) -> tuple[str, str] | None:
        """Returns the first and last value in code point order, or None."""
        return (self.dictionary[0], self.dictionary[-1]) if self.dictionary else None

    def _codes_of(self, values: Iterable[str]) -> list[int]:
        found = [(bisect_left(self.dictionary, value), value) for value in values]
        return [i for i, v in found if i < len(self.dictionary) and self.dictionary[i] == v]

    def _rows_with(self, codes: Sequence[int]) -> BoolArray:
        return np.asarray(self._hits_by_row(codes) > 0)

    def _hits_by_row(self, codes: Sequence[int]) -> npt.NDArray[Any]:
        # One place more than the dictionary: code -1, a missing value, looks up the last one, which is never set.
        wanted = np.zeros(len(self.dictionary) + 1, np.uint8)
        wanted[list(codes)] = 1
        hits = wanted[self.codes]
        if self.offsets is None:
            return hits
        running = np.concatenate([[0], np.cumsum(hits, dtype=np.int64)])
        return np.asarray(running[self.offsets[1:]] - running[self.offsets[:-1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoColumn:
    """One place a row: (n,) float64 degrees of latitude and longitude, and (n,) bool where there is one."""

    latitudes: npt.NDArray[np.float64]
    longitudes: npt.NDArray[np.float64]
    present: BoolArray

    def within(self, shape: Shape) -> BoolArray:
        """Returns the rows whose place lies in a shape."""
        return shape.has(self.latitudes, self.longitudes) & self.present

    def zone(self) -> None:
        """Returns None: places have no order; `query.summaries` keeps where they lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceColumn:
    """A column that only knows where there is a value: text, and geo of format version 1."""

    present: BoolArray

    def zone(self) -> None:
        """Returns None: nothing is known of the values."""


Column = NumberColumn | KeywordColumn | GeoColumn | PresenceColumn


def evaluate(node: Node, columns: Mapping[str, Column], rows: int) -> BoolArray:
    """Returns (rows,) bool: which rows pass a filter in wire form.

    Requires: `columns` has every attribute the filter names (`attributes_of`), of `rows` rows each.
    """
    word = node[0]
    if word == "all":
        return np.ones(rows, bool)
    if word in {"and", "or"}:
        join = operator.and_ if word == "and" else operator.or_
        return reduce(join, (evaluate(part, columns, rows) for part in node[1:]))
    if word == "not":
        return ~evaluate(node[1], columns, rows)
    return condition(word, columns[node[1]], node[2:])


def condition(word: str, column: Column, operands: Sequence[Any]) -> BoolArray:
    """Returns the rows that satisfy one condition. Raises InvalidInput when the column cannot say."""
    if word == "exists":
        return column.present
    if word in {"near", "box"} and isinstance(column, GeoColumn):
        return column.within(shape_of(word, operands))
    if isinstance(column, NumberColumn | KeywordColumn):
        if word in _COMPARE:
            return column.compare(word, operands[0])
        if word == "in":
            return column.among(operands[0])
    if word in {"prefix", "all_of"} and isinstance(column, KeywordColumn):
        return column.prefix(operands[0]) if word == "prefix" else column.all_of(operands[0])
    raise InvalidInput(
        f"the shard has no values of that attribute to be asked for {word}: an older release kept none, build again",
        kind=ErrorKind.INVALID_FILTER,
    )


def build_column(spec: AttributeSpec, values: Sequence[Any]) -> Column:
    """Returns the column of one attribute from items' JSON values; None is missing.

    Requires: values were validated against the schema (`contracts.item`).
    """
    if spec.type is AttributeType.KEYWORD:
        return _keyword_column(spec, values)
    present = np.ones(len(values), bool)
    there = values
    if None in values:
        present = np.frombuffer(bytes([value is not None for value in values]), bool).copy()
        there = [value for value in values if value is not None]
    if spec.type is AttributeType.GEO:
        places = np.zeros((len(values), 2))
        places[present] = np.asarray(there, np.float64).reshape(-1, 2)
        return GeoColumn(latitudes=places[:, 0].copy(), longitudes=places[:, 1].copy(), present=present)
    if spec.type not in NUMBERS:
        return PresenceColumn(present=present)
    if spec.type is AttributeType.DATETIME:
        there = [microseconds(value) for value in there]
    numbers = np.zeros(len(values), NUMBERS[spec.type])
    # What was validated needs no second look: checking values one by one costs ten times their conversion.
    numbers[present] = np.asarray(there, numbers.dtype)
    return NumberColumn(values=numbers, present=present)


def _keyword_column(spec: AttributeSpec, values: Sequence[Any]) -> KeywordColumn:
    if not spec.multi:
        dictionary = sorted({value for value in values if value is not None})
        position = {value: code for code, value in enumerate(dictionary)}
        codes = np.fromiter((position.get(value, -1) for value in values), np.int32, len(values))
        return KeywordColumn(dictionary=dictionary, codes=codes, offsets=None)
    lists = [list(dict.fromkeys(value or [])) for value in values]
    dictionary = sorted({entry for entries in lists for entry in entries})
    position = {value: code for code, value in enumerate(dictionary)}
    offsets = np.zeros(len(lists) + 1, np.uint32)
    np.cumsum([len(entries) for entries in lists], out=offsets[1:])
    flat = np.fromiter((position[entry] for entries in lists for entry in entries), np.int32, int(offsets[-1]))
    return KeywordColumn(dictionary=dictionary, codes=flat, offsets=offsets)


def concatenate(spec: AttributeSpec, columns: Sequence[Column]) -> Column:
    """Returns the column of all rows of `columns`, in order. Requires: all are columns of `spec`, at least one."""
    if spec.type is AttributeType.KEYWORD:
        return _concatenate_keywords(
            [column for column in columns if isinstance(column, KeywordColumn)], multi=spec.multi
        )
    present = np.concatenate([column.present for column in columns])
    places = [column for column in columns if isinstance(column, GeoColumn)]
    if places:
        return GeoColumn(
            latitudes=np.concatenate([column.latitudes for column in places]),
            longitudes=np.concatenate([column.longitudes for column in places]),
            present=present,
        )
    numbers = [column.values for column in columns if isinstance(column, NumberColumn)]
    return NumberColumn(values=np.concatenate(numbers), present=present) if numbers else PresenceColumn(present=present)


def _concatenate_keywords(columns: Sequence[KeywordColumn], *, multi: bool) -> KeywordColumn:
    dictionary = sorted(set().union(*(column.dictionary for column in columns)))
    position = {value: code for code, value in enumerate(dictionary)}
    # -1, a missing value, looks up the last place.
    maps = [np.array([*(position[v] for v in column.dictionary), -1], np.int32) for column in columns]
    codes = np.concatenate([renumber[column.codes] for renumber, column in zip(maps, columns, strict=True)])
    if not multi:
        return KeywordColumn(dictionary=dictionary, codes=codes, offsets=None)
    lengths = np.concatenate([np.diff(column.offsets) for column in columns if column.offsets is not None])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint32)
    return KeywordColumn(dictionary=dictionary, codes=codes, offsets=offsets)
