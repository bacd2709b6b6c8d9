"""Rows by value instead of values by row: what postings are made of, and filters evaluated on them.

A keyword has the rows of each value. A number or a place has buckets: rows of neighbouring values, in equal counts,
each with the bounds of its values. A condition then takes some buckets whole and has to look at the values of few: for
a range of numbers at most two, for a shape those on its border. Sets of rows are roaring bitmaps.
Sources: Chan and Ioannidis, Bitmap Index Design and Evaluation (SIGMOD 1998), for cumulated bitmaps; Lemire et al.,
Roaring Bitmaps: Implementation of an Optimized Software Library (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from shardlake.query.columns import GeoColumn, KeywordColumn, NumberColumn
from shardlake.query.filter import Node
from shardlake.query.geo import shape_of
from shardlake.query.rows import RowSet
from shardlake.types import BoolArray, Int64Array

RowNumbers = npt.NDArray[np.uint32]

BUCKET_ROWS = 1_024  # fewer are not worth an entry of the tail
MAX_BUCKETS = 128  # of numbers: at a million rows the values of one are 62 KB
MAX_TILES = 512  # of places, which weigh twice as much, and of which a shape has many on its border
FEW_ROWS = 64  # values with fewer rows than this, in the mean, share buckets
MAX_CHECKPOINTS = 16  # cumulated bitmaps: a range reads at most two of them, and four of 128 buckets beside each


def bitmap_of(rows: npt.NDArray[np.integer[Any]]) -> BitMap:
    """Returns the bitmap of row numbers. Cost: 25 ns a row (two cores of an AMD EPYC, 2026-11)."""
    # pyroaring takes a buffer of u4 as it is, and other sequences number by number.
    return BitMap(memoryview(np.ascontiguousarray(rows, np.uint32).data)) if len(rows) else BitMap()


def row_set(bitmap: BitMap, rows: int) -> RowSet:
    """Returns a bitmap as the set of rows that searches read. Cost: 1 ns a row of the shard, 4 ns a row of the set."""
    is_most = len(bitmap) > rows // 2
    named = bitmap.flip(0, rows) if is_most else bitmap
    mask = np.full(rows, is_most)
    mask[np.frombuffer(named.to_array(), np.uint32)] = not is_most
    return RowSet(mask)


# Making -----------------------------------------------------------------------------------------------


def by_value(column: KeywordColumn) -> tuple[RowNumbers, Int64Array]:
    """Returns the rows of every value: of value v of the dictionary, rows[bounds[v]:bounds[v + 1]], ascending."""
    if column.offsets is None:
        rows = np.flatnonzero(column.codes >= 0)
        codes = column.codes[rows]
    else:
        rows = np.repeat(np.arange(len(column.offsets) - 1), np.diff(column.offsets))
        codes = column.codes
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(column.dictionary) + 1))
    return rows[order].astype(np.uint32), bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Rows of neighbouring values.

    Attributes:
        bounds: least and greatest value; of places (south, west, north, east).
        rows: (n,) ascending.
        values: (n,) by row; of places (n, 2) latitude and longitude.
    """

    bounds: tuple[Any, ...]
    rows: RowNumbers
    values: npt.NDArray[Any]


def buckets_of(column: NumberColumn | GeoColumn) -> list[Bucket]:
    """Returns the buckets of a column, in order."""
    there = np.flatnonzero(column.present)
    if isinstance(column, GeoColumn):
        values = np.stack([column.latitudes[there], column.longitudes[there]], axis=1)
        groups = _tiles(values)
    else:
        values = column.values[there]
        order = np.argsort(values, kind="stable")
        groups = [order[a:b] for a, b in pairwise(_cuts(values[order]))]
    return [_bucket(there, values, np.sort(group)) for group in groups]


def _bucket(there: Int64Array, values: npt.NDArray[Any], members: Int64Array) -> Bucket:
    own = values[members]
    bounds = np.concatenate([own.min(axis=0), own.max(axis=0)]) if own.ndim > 1 else (own.min(), own.max())
    return Bucket(bounds=tuple(bounds), rows=there[members].astype(np.uint32), values=own)


def _cuts(ordered: npt.NDArray[Any]) -> Int64Array:
    """Returns where buckets begin, and the end: at each value where values are few and often, else by equal counts."""
    count = len(ordered)
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(changes) < MAX_BUCKETS and count >= FEW_ROWS * len(changes):
        return np.concatenate([[0], changes, [count]] if count else [[0]]).astype(np.int64)
    wanted = min(MAX_BUCKETS, -(-count // BUCKET_ROWS))
    return np.linspace(0, count, wanted + 1).astype(np.int64)


def _tiles(places: npt.NDArray[np.float64]) -> list[Int64Array]:
    """Returns members of tiles of equal counts: strips by longitude, each cut by latitude.

    Source: Leutenegger, Lopez and Edgington, STR: A Simple and Efficient Algorithm for R-tree Packing (ICDE 1997).
    """
    strips = math.ceil(math.sqrt(min(MAX_TILES, -(-len(places) // BUCKET_ROWS))))
    tiles: list[Int64Array] = []
    for strip in np.array_split(np.argsort(places[:, 1], kind="stable"), max(strips, 1)):
        tiles.extend(np.array_split(strip[np.argsort(places[strip, 0], kind="stable")], max(strips, 1)))
    return [tile for tile in tiles if len(tile)]


def checkpoint_step(buckets: int) -> int:
    """Returns how many buckets lie between two cumulated bitmaps."""
    return max(1, -(-buckets // MAX_CHECKPOINTS))


# Asking -----------------------------------------------------------------------------------------------


def cover(word: str, operands: Sequence[Any], bounds: npt.NDArray[Any]) -> tuple[BoolArray, BoolArray]:
    """Returns which buckets pass whole, and which have to be looked into.

    Args:
        word, operands: of a condition in wire form.
        bounds: (b, 2) least and greatest values, or (b, 4) boxes.
    """
    if word in {"near", "box"}:
        some, every = shape_of(word, operands).touches(bounds)
        return every, some & ~every
    low, high = bounds.T
    if word == "in":
        wanted = np.unique(np.asarray(operands[0], bounds.dtype))
        some = np.searchsorted(wanted, low, "left") < np.searchsorted(wanted, high, "right")
        return some & (low == high), some & (low != high)
    value = operands[0]
    some, every = {
        "eq": lambda: ((low <= value) & (value <= high), (low == value) & (high == value)),
        "gt": lambda: (high > value, low > value),
        "gte": lambda: (high >= value, low >= value),
        "lt": lambda: (low < value, high < value),
        "lte": lambda: (low <= value, high <= value),
    }[word]()
    return np.asarray(every), np.asarray(some & ~every)


def column_of_bucket(values: npt.NDArray[Any]) -> NumberColumn | GeoColumn:
    """Returns the values of a bucket as a column without gaps: what a condition is evaluated on."""
    present = np.ones(len(values), bool)
    if values.ndim > 1:
        return GeoColumn(latitudes=values[:, 0], longitudes=values[:, 1], present=present)
    return NumberColumn(values=values, present=present)


def spelled_out(node: Node) -> Node:
    """Returns a filter without `all_of`: every value of it is a condition of its own."""
    if node[0] in {"and", "or", "not"}:
        return [node[0], *map(spelled_out, node[1:])]
    if node[0] == "all_of":
        parts = [["eq", node[1], value] for value in dict.fromkeys(node[2])]
        return ["and", *parts] if parts else ["exists", node[1]]
    return node


def at_most(node: Node, count: Callable[[Node], int], rows: int) -> int:
    """Returns a bound on how many rows pass; 0 proves that none does. `count` bounds a condition."""
    word = node[0]
    if word == "and":
        return min(at_most(part, count, rows) for part in node[1:])
    if word == "or":
        return min(rows, sum(at_most(part, count, rows) for part in node[1:]))
    return rows if word in {"not", "all"} else count(node)


def conditions(node: Node, count: Callable[[Node], int], rows: int) -> list[Node]:
    """Returns the conditions on which the answer still depends: none of a part that lets nothing pass."""
    if node[0] == "all" or not at_most(node, count, rows):
        return []
    if node[0] in {"and", "or", "not"}:
        return [found for part in node[1:] for found in conditions(part, count, rows)]
    return [node]


def rows_passing(node: Node, bitmap: Callable[[Node], BitMap], count: Callable[[Node], int], rows: int) -> BitMap:
    """Returns the rows that pass.

    Args:
        node: the filter, spelled out.
        bitmap: the rows of a condition; never changed here.
        count: a bound on their number. rows: of the shard.
    """
    word = node[0]
    if not at_most(node, count, rows):
        return BitMap()
    if word == "all":
        return BitMap(range(rows))
    if word == "not":
        return rows_passing(node[1], bitmap, count, rows).flip(0, rows)
    if word == "or":
        return BitMap.union(BitMap(), *(rows_passing(part, bitmap, count, rows) for part in node[1:]))
    return _all_of(node[1:], bitmap, count, rows) if word == "and" else bitmap(node)


def _all_of(parts: Sequence[Node], bitmap: Callable[[Node], BitMap], count: Callable[[Node], int], rows: int) -> BitMap:
    """Returns the rows that pass every part: the thinnest first, what is negated taken away last."""
    positive = sorted((part for part in parts if part[0] != "not"), key=lambda part: at_most(part, count, rows))
    found = rows_passing(positive[0], bitmap, count, rows) if positive else BitMap(range(rows))
    for part in positive[1:]:
        if not found:
            return found
        found = found & rows_passing(part, bitmap, count, rows)
    for part in parts:
        if part[0] == "not" and found:
            found = found - rows_passing(part[1], bitmap, count, rows)
    return found
