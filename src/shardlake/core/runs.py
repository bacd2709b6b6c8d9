"""Things in a row, cut into runs of about so many bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from shardlake.types import Int64Array


def runs(sizes: Int64Array, max_bytes: int) -> Iterator[tuple[int, int]]:
    """Yields (first, past the last) of runs that end with the thing that makes them reach `max_bytes`.

    Args:
        sizes: (n,) int64, of each thing. max_bytes: at least 1.
    """
    ends = np.cumsum(sizes)
    start, before = 0, 0
    while start < len(ends):
        stop = min(len(ends), int(np.searchsorted(ends, before + max_bytes)) + 1)
        yield start, stop
        start, before = stop, int(ends[stop - 1])
