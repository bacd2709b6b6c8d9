"""Sums that do not depend on the order of what is summed, nor on how it lies in shards: exact, as integers over 2^1074.

Every float64 is a whole multiple of 2^-1074, so a sum of any of them is one integer, however long.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.types import Float64Array

_UNIT = 1074  # the smallest float64 above 0 is 2^-1074
_MANTISSA = 53
_HALF = 32
_CHUNK = 2**20


def exact_sum(values: npt.NDArray[Any]) -> Fraction:
    """Returns the exact sum of (n,) finite numbers of any integer or float type.

    Cost: a few passes over the values.
    """
    if values.dtype.kind != "f":
        return Fraction(_whole(values.astype(np.int64)))
    return Fraction(_of_floats(values.astype(np.float64)), 2**_UNIT)


def _whole(values: npt.NDArray[np.int64]) -> int:
    # In halves, since the sum of many large ones does not fit 64 bits: exact for up to 2^31 values.
    high, low = values >> _HALF, values & (2**_HALF - 1)
    return (int(high.sum(dtype=np.int64)) << _HALF) + int(low.sum(dtype=np.int64))


def _of_floats(values: Float64Array) -> int:
    return sum(_of_chunk(values[first : first + _CHUNK]) for first in range(0, len(values), _CHUNK))


def _of_chunk(values: Float64Array) -> int:
    fractions, exponents = np.frexp(values)
    # value = mantissa × 2^(exponent - 53); a subnormal has trailing zeros to give back, so the shift below is exact.
    mantissas = np.ldexp(fractions, _MANTISSA).astype(np.int64)
    lowest = int(exponents.min())
    # Halves of mantissas, by exponent: as floats these sums are exact, since _CHUNK × 2^32 is less than 2^53.
    high = np.bincount(exponents - lowest, weights=mantissas >> _HALF)
    low = np.bincount(exponents - lowest, weights=mantissas & (2**_HALF - 1))
    total = 0
    for place in np.flatnonzero((high != 0) | (low != 0)).tolist():
        part = (int(high[place]) << _HALF) + int(low[place])
        shift = lowest + place - _MANTISSA + _UNIT
        total += part << shift if shift >= 0 else part >> -shift
    return total


def to_wire(value: Fraction) -> str:
    """Returns the sum as text: the numerator over 2^1074 in hexadecimal."""
    return hex(int(value * 2**_UNIT))


def from_wire(text: str) -> Fraction:
    """Returns the sum in a text."""
    return Fraction(int(text, 16), 2**_UNIT)
