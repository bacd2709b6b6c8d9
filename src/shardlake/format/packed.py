"""Columns of whole numbers in few bits: what the postings of a term are made of.

A column: base varint · form u1 · [escapes varint] · data · escapes u4 each. The values less their base stand in 0, 1,
2, 4, 8, 16 or 32 bits (`form` & 7 is the place in that row), the first in the lowest bits of a byte; where `form` has
ESCAPED, all bits set means that the next escape has the value. A varint is LEB128: seven bits a byte, lowest first.

Widths of whole powers of two, so that numpy unpacks a million values in a few milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.types import ByteArray, Int64Array

Whole = npt.NDArray[np.signedinteger[Any]]

WIDTHS = (0, 1, 2, 4, 8, 16, 32)
ESCAPED = 8  # in `form`
_FORMS = WIDTHS.index(32)
MAX_VALUE = 2**32 - 1
_ESCAPE_BYTES = 4
_MAX_VARINT_BYTES = 5
_ONE_BYTE = [bytes((number,)) for number in range(128)]
_FEW = 24  # values: up to here plain Python is faster than numpy
# A value from here on needs an escape in 1, 2, 4, 8, 16 bits: all bits set is taken.
_LIMITS = np.array([2**width - 1 for width in WIDTHS[1:-1]], np.int64)


def varint(value: int) -> bytes:
    """Returns LEB128 of a number from 0 to MAX_VALUE.

    >>> varint(300).hex()
    'ac02'
    """
    if value < 128:
        return _ONE_BYTE[value]
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns (value, where it ends). Raises FormatError."""
    value = 0
    for number, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 127) << (7 * number)
        if byte < 128:
            if value > MAX_VALUE:
                break
            return value, at + number + 1
    raise FormatError("a number of a packed column does not end, or is too large")


def pack_all(values: Whole, counts: Whole, *, min_form: int = 0) -> list[bytes]:
    """Returns columns of consecutive values, one for each of `counts`.

    Args:
        values: from 0 to MAX_VALUE. counts: values of each column, at least 1.
        min_form: place in WIDTHS of the fewest bits where a column has several values; 1 makes the size of a column
            bound the number of its values.

    Cost: most columns are of a few values, for which numpy is too slow: 1 µs each, the others 20 µs and more.
    """
    stops = np.cumsum(counts)
    starts = stops - counts
    lows, highs = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    packed = []
    for start, stop, low, high in zip(*(a.tolist() for a in (starts, stops, lows, highs)), strict=True):
        least = min_form if stop - start > 1 else 0
        if stop - start <= _FEW:
            packed.append(_pack_few(values[start:stop].tolist(), low, high, least))
        else:
            packed.append(_pack_many(values[start:stop] - low, low, least))
    return packed


def _pack_few(values: list[int], base: int, high: int, min_form: int) -> bytes:
    # Without escapes, which are rarely worth it; the first value in the lowest bits is what little-endian means.
    width = (high - base).bit_length()
    form = max(min_form, next(form for form, bits in enumerate(WIDTHS) if width <= bits))
    if not form:
        return varint(base) + b"\0"
    joined, shift, step = 0, 0, WIDTHS[form]
    for value in values:
        joined |= (value - base) << shift
        shift += step
    return b"".join([varint(base), bytes((form,)), joined.to_bytes(-(-shift // 8), "little")])


def _pack_many(rest: Whole, base: int, min_form: int) -> bytes:
    """Returns the column of the fewest bytes of values less their base."""
    # How many values need an escape at each width, then the bytes that each costs.
    too_large = len(rest) - np.cumsum(np.bincount(np.searchsorted(_LIMITS, rest, side="right"), minlength=_FORMS))
    escapes = [0, *too_large[: len(_LIMITS)].tolist(), 0]
    costs = [-(-len(rest) * width // 8) + _ESCAPE_BYTES * count for width, count in zip(WIDTHS, escapes, strict=True)]
    form = min(range(1, len(WIDTHS)), key=costs.__getitem__) if min_form or rest.any() else 0
    if not escapes[form]:
        return b"".join([varint(base), bytes((form,)), _to_bits(rest, form)])
    mark = 2 ** WIDTHS[form] - 1
    large = rest >= mark
    head = [varint(base), bytes((form | ESCAPED,)), varint(escapes[form])]
    return b"".join([*head, _to_bits(np.where(large, mark, rest), form), rest[large].astype("<u4").tobytes()])


def unpack(data: bytes, at: int, count: int) -> tuple[Int64Array, int]:
    """Returns the (count,) values of a column and where it ends.

    Raises:
        FormatError: when the data ends before, or contradicts itself.

    Requires: `count` is bounded where the column may have no bits.
    """
    base, at = read_varint(data, at)
    form = data[at] if at < len(data) else 255
    if form & ~ESCAPED > _FORMS or form == ESCAPED or form == _FORMS | ESCAPED:
        raise FormatError("a packed column has no form that there is", form=form)
    escapes, at = read_varint(data, at + 1) if form & ESCAPED else (0, at + 1)
    form &= ~ESCAPED
    stop = at + -(-count * WIDTHS[form] // 8)
    if stop + _ESCAPE_BYTES * escapes > len(data):
        raise FormatError("a packed column is longer than what holds it", values=count)
    values = _from_bits(data[at:stop], form, count)
    if escapes:
        marked = np.flatnonzero(values == 2 ** WIDTHS[form] - 1)
        if len(marked) != escapes:
            raise FormatError("a packed column has another number of escapes than it says", escapes=escapes)
        values[marked] = np.frombuffer(data, "<u4", escapes, stop)
    return values + base, stop + _ESCAPE_BYTES * escapes


def _to_bits(values: Whole, form: int) -> bytes:
    width = WIDTHS[form]
    if width >= 8:
        return values.astype(f"<u{width // 8}").tobytes()
    if not width:
        return b""
    each = 8 // width
    padded = np.zeros(-(-len(values) // each) * each, np.uint8)
    padded[: len(values)] = values
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    joined: ByteArray = np.bitwise_or.reduce(padded.reshape(-1, each) << shifts, axis=1)
    return joined.tobytes()


def _from_bits(data: bytes, form: int, count: int) -> Int64Array:
    width = WIDTHS[form]
    if not width:
        return np.zeros(count, np.int64)
    if width >= 8:
        return np.frombuffer(data, f"<u{width // 8}").astype(np.int64)
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    parts = (np.frombuffer(data, np.uint8)[:, None] >> shifts) & np.uint8(2**width - 1)
    return parts.reshape(-1)[:count].astype(np.int64)
