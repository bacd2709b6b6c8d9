"""Packed columns: any values come back, in the bytes that were promised, and no bytes do harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.errors import FormatError
from shardlake.format.packed import MAX_VALUE, WIDTHS, pack_all, read_varint, unpack, varint

LAW = settings(max_examples=200, deadline=None)
numbers = st.one_of(st.integers(0, 3), st.integers(0, 300), st.integers(0, MAX_VALUE))
columns = st.lists(st.lists(numbers, min_size=1, max_size=60), min_size=1, max_size=6)


@LAW
@given(columns, st.integers(0, 1))
def test_columns_come_back_as_they_went_in(wanted: list[list[int]], min_form: int) -> None:
    flat = np.array([value for column in wanted for value in column], np.int64)
    packed = pack_all(flat, np.array(list(map(len, wanted))), min_form=min_form)
    data, at, found = b"".join(packed), 0, []
    for column in wanted:
        values, at = unpack(data, at, len(column))
        found.append(values.tolist())

    assert found == wanted
    assert at == len(data)


@LAW
@given(columns)
def test_a_column_that_keeps_a_bit_a_value_bounds_their_number(wanted: list[list[int]]) -> None:
    flat = np.array([value for column in wanted for value in column], np.int64)
    packed = pack_all(flat, np.array(list(map(len, wanted))), min_form=1)

    assert all(8 * len(data) >= len(column) for data, column in zip(packed, wanted, strict=True))


@pytest.mark.parametrize("width", WIDTHS)
def test_many_values_of_a_width_cost_that_width(width: int) -> None:
    values = np.random.default_rng(width).integers(0, max(1, 2**width - 1), 10_000)

    (data,) = pack_all(values, np.array([10_000]))

    assert len(data) <= 10_000 * width / 8 + 10


def test_a_few_large_values_among_small_ones_cost_their_escapes_only() -> None:
    values = np.ones(10_000, np.int64)
    values[::1000] = 4_000_000_000
    values[5] = 0

    (data,) = pack_all(values, np.array([10_000]))

    assert len(data) < 10_000 / 4 + 100
    assert (unpack(data, 0, 10_000)[0] == values).all()


@LAW
@given(st.integers(0, MAX_VALUE))
def test_a_varint_comes_back_and_is_as_short_as_can_be(value: int) -> None:
    data = varint(value)

    assert read_varint(b"\xff" + data, 1) == (value, 1 + len(data))
    assert len(data) == max(1, -(-value.bit_length() // 7))


@LAW
@given(st.binary(max_size=40), st.integers(1, 200))
def test_any_bytes_are_a_column_or_a_format_error(data: bytes, count: int) -> None:
    try:
        values, at = unpack(data, 0, count)
    except FormatError:
        return
    assert len(values) == count
    assert 0 < at <= len(data)
    assert values.min() >= 0
