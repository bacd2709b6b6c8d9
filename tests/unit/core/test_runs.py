"""Laws of cutting things in a row into runs of about so many bytes."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.core.runs import runs


@pytest.mark.parametrize("most", [1, 7, 100, 10_000])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_runs_cover_everything_and_each_ends_with_the_thing_that_makes_it_large_enough(count: int, most: int) -> None:
    sizes = np.random.default_rng(count).integers(0, 20, count)

    cut = list(runs(sizes, most))

    assert [row for start, stop in cut for row in range(start, stop)] == list(range(count))
    for start, stop in cut:
        assert sizes[start : stop - 1].sum() < most
        assert sizes[start:stop].sum() >= most or stop == count
