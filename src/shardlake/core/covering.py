"""Which lists a search under a filter probes: those in which its hits are likely, and no fixed number of them.

How near the rows of a list lie to a query spreads around the score of its centroid, so the chance that one of them is a
hit falls about exponentially with that score, and how many hits a list is good for grows with how many of its rows
pass. Lists are probed heaviest first until what is left weighs no more than a share of all: a filter that thins out
evenly leaves the near lists heavy and needs few, one that empties them makes far lists matter and gets many. How fast
weight falls (`softness`) the build takes from the spread of scores, how much may be left (`missed`) it measures.
"""

from __future__ import annotations

import numpy as np

from shardlake.types import Float32Array, Int64Array

MISSED_GRID = tuple(float(f"{0.5 / 1.5**step:.2g}") for step in range(23))
"""Shares of the weight that calibration tries to leave, 0.5 to 0.00007: each step a few lists more than the last."""


def weights(scores: Float32Array, rows: Int64Array, softness: float) -> Float32Array:
    """Returns (…, lists) float32: how many hits each list is good for, to a common factor.

    Args:
        scores: (…, lists) float32: coarse scores, higher is nearer (`core.vectors.coarse_scores`).
        rows: (lists,) int64: rows of each that pass; a list without any weighs nothing.
        softness: by how much a score must fall for its weight to fall to 1/e; more than 0.
    """
    # The nearest list that counts weighs its rows: what is nearer, and has none, must not overflow.
    counts = scores if rows.all() else np.where(rows > 0, scores, -np.inf)
    fallen = (counts - counts.max(axis=-1, keepdims=True)) * np.float32(1.0 / softness)
    weighed: Float32Array = np.exp(fallen) * rows.astype(np.float32)
    return weighed


def covering(scores: Float32Array, rows: Int64Array, softness: float, missed: float) -> Int64Array:
    """Returns the positions of the fewest lists beside which at most `missed` of all weight is left.

    Lists that weigh as much as the last one of them are taken too.

    Args:
        scores: (lists,) float32. rows: (lists,) int64, some of them more than 0.
        softness, missed: as `weights` and MISSED_GRID have them; missed < 1.
    """
    heavy = weights(scores, rows, softness)
    ordered = np.sort(heavy)  # the lightest first, so that what is left adds up without a loss
    left = ordered.cumsum()
    lightest = ordered[left.searchsorted(left[-1] * np.float32(missed), side="right")]
    return np.flatnonzero(heavy >= lightest)


def left_before(scores: Float32Array, rows: Int64Array, softness: float) -> Float32Array:
    """Returns (n, lists) float32: the share of the weight that is left when each query's search comes to each list.

    A list is among those of `covering` where more than `missed` is left. Where no row of any list passes, nothing is.

    Args:
        scores: (n, lists) float32. rows: (lists,) int64. softness: as for `weights`.
    """
    if not rows.any():
        return np.zeros(scores.shape, np.float32)
    heavy = weights(scores, rows, softness)
    order = np.argsort(heavy, axis=1)
    covered = np.take_along_axis(heavy, order, axis=1).cumsum(axis=1)
    left = np.empty_like(heavy)
    np.put_along_axis(left, order, covered / covered[:, -1:], axis=1)
    return left
