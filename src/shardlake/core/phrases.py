"""Which rows have terms that follow one another: postings and positions in, rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.types import Int64Array

_POSITION_BITS = 17  # a position is less than 2^15
FEW = 16  # so many times fewer rows than postings are looked up by bisection, more by a table of all rows


@dataclass(frozen=True, slots=True)
class Occurrences:
    """One term of a phrase.

    Attributes:
        rows: (n,) ascending. frequencies: (n,) times in each.
        positions: (sum of frequencies,) row by row, ascending in each; None where the phrase is of one term.
    """

    rows: npt.NDArray[np.integer[Any]]
    frequencies: npt.NDArray[np.integer[Any]]
    positions: Int64Array | None


def phrase_rows(phrase: Sequence[Occurrences], rows: Int64Array, total: int) -> Int64Array:
    """Returns those of `rows` in which the terms of a phrase follow one another.

    Args:
        phrase: at least one term.
        rows: (m,) distinct, ascending.
        total: rows that there are.

    Cost: a pass over the postings of each term, or a bisection of them a row; then over the positions of what is left.
    """
    for term in sorted(phrase, key=lambda term: len(term.rows)):
        rows = _those_in(term.rows, rows, total)
    if len(phrase) == 1 or not len(rows):
        return rows
    begins = reduce(_both, (_begins(term, rows, total, number) for number, term in enumerate(phrase)))
    return rows[np.unique(begins >> _POSITION_BITS)]


def _is_few(rows: Int64Array, of: npt.NDArray[np.integer[Any]]) -> bool:
    return len(rows) * FEW < len(of)


def _those_in(of: npt.NDArray[np.integer[Any]], rows: Int64Array, total: int) -> Int64Array:
    if _is_few(rows, of):
        wanted = rows.astype(of.dtype)  # else numpy would make a wider copy of all the postings
        there = of[np.minimum(np.searchsorted(of, wanted), len(of) - 1)] == wanted
    else:
        table = np.zeros(total, bool)
        table[of] = True
        there = table[rows]
    found: Int64Array = rows[there]
    return found


def _begins(term: Occurrences, rows: Int64Array, total: int, number: int) -> Int64Array:
    """Returns where a phrase would begin for `term` to be its word of that number: row's place and position in one."""
    assert term.positions is not None
    if _is_few(rows, term.rows):
        places = np.searchsorted(term.rows, rows.astype(term.rows.dtype))
        each = term.frequencies[places].astype(np.int64)
        firsts = np.cumsum(term.frequencies) - term.frequencies
        within = np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)
        positions = term.positions[np.repeat(firsts[places], each) + within]
    else:
        table = np.zeros(total, bool)
        table[rows] = True
        wanted = table[term.rows]
        each = term.frequencies[wanted]
        positions = term.positions[np.repeat(wanted, term.frequencies)]
    begins = positions - number
    keys: Int64Array = (np.repeat(np.arange(len(rows)), each) << _POSITION_BITS) + begins
    return keys[begins >= 0]


def _both(one: Int64Array, other: Int64Array) -> Int64Array:
    common: Int64Array = np.intersect1d(one, other, assume_unique=True)
    return common
