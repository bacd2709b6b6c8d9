"""Figures from raw results: nothing here measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def recall(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    """Returns the mean share of each query's true rows that was found; a query without any counts as answered."""
    shares = [
        len(set(got) & set(wanted)) / len(wanted) if wanted else 1.0 for got, wanted in zip(found, truth, strict=True)
    ]
    return float(np.mean(shares))


def full(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> int:
    """Returns how many answers have as many hits as there are matches, k at the most."""
    return sum(len(set(got)) >= len(wanted) for got, wanted in zip(found, truth, strict=True))


def p(times_ms: npt.ArrayLike, percentile: float) -> float:
    """Returns a percentile of times."""
    return float(np.percentile(np.asarray(times_ms, np.float64), percentile))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Returns the power of size with which the values grow: the slope of their logarithms, by least squares."""
    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(slope)
