"""At which depth a search under a filter comes to each list: the softness of their weights, and steps of what is left.

`core.covering` says what is weighed; here it is done for all held-out queries at once, with the filter's own rows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from shardlake.core.covering import MISSED_GRID, left_before
from shardlake.types import Float32Array, Int64Array

FILTERED_DEPTHS = range(1, len(MISSED_GRID) + 2)
"""Depth d leaves MISSED_GRID[d - 1] of the weight; the last leaves no list."""

# In standard deviations of a query's coarse scores. The nearest of a thousand lists lie three of these above the mean,
# where lists become more by e with every third that scores fall: weights must fall faster, or the crowd of far lists
# outweighs the near ones. How much faster hardly matters (0.2 to 0.33 were tried).
SOFTNESS = 0.27
_GRID = np.asarray(MISSED_GRID)


def missed_at(depth: int) -> float:
    """Returns the share of the weight that a depth leaves; 0 of the last."""
    return MISSED_GRID[depth - 1] if depth <= len(MISSED_GRID) else 0.0


class Weighing:
    """The coarse scores of held-out queries, and the softness with which lists are weighed by them.

    Args:
        coarse: (n, lists) float32.
        list_starts: (shards + 1,) the first list of each shard, which weighs its own; None where shards share lists.
    """

    def __init__(self, coarse: Float32Array, list_starts: Int64Array | None) -> None:
        self._coarse = coarse
        spread = float(coarse.std(axis=1).mean()) or 1.0
        self.softness = float(f"{SOFTNESS * spread:.4g}")
        starts = [0, coarse.shape[1]] if list_starts is None else list_starts.tolist()
        self._shards = [slice(a, b) for a, b in pairwise(starts) if a < b]

    def steps(self, list_rows: Int64Array) -> Int64Array:
        """Returns (n, lists) int64: the depth, counted from 0, at which each query's search comes to each list.

        Args:
            list_rows: (lists,) int64: rows that pass.
        """
        left = np.hstack([left_before(self._coarse[:, part], list_rows[part], self.softness) for part in self._shards])
        return np.searchsorted(-_GRID, -left.ravel(), side="right").reshape(left.shape)
