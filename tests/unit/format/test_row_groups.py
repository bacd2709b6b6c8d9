"""Groups of rows: whole and alone they say the same, and a byte that changed, or came from elsewhere, is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.errors import FormatError
from shardlake.format.container import SEAL_BYTES
from shardlake.format.row_groups import RowGroups

layouts = st.builds(
    RowGroups,
    offset=st.integers(0, 2**40),
    rows=st.integers(0, 70),
    group_rows=st.integers(1, 40),
    columns=st.tuples(st.just(("scales", "<f4", 1)), st.integers(1, 9).map(lambda width: ("refine", "|i1", width))),
)


def _columns(groups: RowGroups) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(groups.rows)
    return {name: rng.integers(-99, 99, (groups.rows, width)).astype(dtype) for name, dtype, width in groups.columns}


@settings(deadline=None)
@given(layouts)
def test_groups_read_alone_are_the_rows_read_whole_and_lie_one_behind_another(groups: RowGroups) -> None:
    columns = _columns(groups)
    data = groups.encode(columns)
    whole = groups.decode(data)
    numbers = range(-(-groups.rows // groups.group_rows))
    extents = [groups.extent(number) for number in numbers]

    assert len(data) == groups.size_bytes == sum(extent.bytes for extent in extents)
    for name, column in columns.items():
        np.testing.assert_array_equal(whole[name], column)
    for number, extent in zip(numbers, extents, strict=True):
        begins = extent.offset - groups.offset
        alone = groups.decode_group(number, data[begins : begins + extent.bytes])
        for name, column in columns.items():
            np.testing.assert_array_equal(alone[name], column[groups.members(number)])


GROUPS = RowGroups(offset=128, rows=11, group_rows=4, columns=(("scales", "<f4", 1), ("refine", "|i1", 3)))


def test_no_flipped_byte_of_a_group_goes_unnoticed() -> None:
    data, silent = GROUPS.encode(_columns(GROUPS)), []
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        group = at // GROUPS.group_bytes
        begins = GROUPS.extent(group).offset - GROUPS.offset
        try:
            GROUPS.decode_group(group, damaged[begins : begins + GROUPS.extent(group).bytes])
            silent.append(at)
        except FormatError:
            pass

    assert silent == []


@pytest.mark.parametrize("length", [0, 1, SEAL_BYTES - 1, SEAL_BYTES, 35, 37])
def test_a_group_of_another_size_is_none(length: int) -> None:
    data = GROUPS.encode(_columns(GROUPS))

    with pytest.raises(FormatError):
        GROUPS.decode_group(0, data[:length])


def test_a_group_of_another_place_is_none_though_its_bytes_are_whole() -> None:
    data, size = GROUPS.encode(_columns(GROUPS)), GROUPS.group_bytes

    with pytest.raises(FormatError):
        GROUPS.decode_group(0, data[size : 2 * size])
