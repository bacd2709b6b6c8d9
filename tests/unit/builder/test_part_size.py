"""A part is bounded by bytes as well as by rows."""

from __future__ import annotations

import pytest

from builder.survey import PART_BYTES, parts_of
from functions.build.service import rows_of_a_part
from shardlake.limits import MAX_BLOCK_BYTES, MAX_DIMENSION, MAX_SPACES
from shardlake.types import CollectionSchema, SpaceSpec


@pytest.mark.parametrize(("spaces", "dimension"), [(1, 2), (1, 256), (2, 768), (MAX_SPACES, MAX_DIMENSION)])
def test_the_vectors_of_a_part_fit_one_block(spaces: int, dimension: int) -> None:
    specs = tuple(SpaceSpec(name=f"s{number}", dimension=dimension) for number in range(spaces))

    rows = rows_of_a_part(CollectionSchema(spaces=specs, attributes=()))

    assert rows >= 1
    assert rows * spaces * dimension * 4 <= MAX_BLOCK_BYTES // 4


def test_segments_share_a_part_until_rows_or_bytes_fill_it() -> None:
    half = PART_BYTES // 2

    assert parts_of([4, 4, 4], [1, 1, 1], 8) == [[0, 1], [2]]
    assert parts_of([1, 1, 1], [half, half, 1], 8) == [[0, 1], [2]]
    assert parts_of([1, 1], [3 * PART_BYTES, 1], 8) == [[0], [1]]
    assert parts_of([9], [1], 8) == [[0]]
