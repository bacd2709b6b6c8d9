"""Exact search by one matrix product over the rows that pass: the oracle, and a system of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.corpus import Mask, Vectors

K = 10


class Exact:
    """All rows that pass are scored in full precision; the filter is a mask made before."""

    name = "exact"

    def __init__(self, base: Vectors, masks: Mapping[str, Mask]) -> None:
        self._base = base
        self._rows = {name: np.flatnonzero(mask) for name, mask in masks.items()}

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], list[int]]:
        """Returns the search."""
        rows = None if mask is None else self._rows[mask]

        def run() -> list[int]:
            scores = (self._base if rows is None else self._base[rows]) @ query
            best = np.argpartition(-scores, min(K, len(scores)) - 1)[:K]
            best = best[np.argsort(-scores[best], kind="stable")]
            found: list[int] = (best if rows is None else rows[best]).tolist()
            return found

        return run

    def settle(self) -> None:
        """Nothing to do."""

    def ids(self, answer: list[int]) -> list[int]:
        """Returns the rows."""
        return answer

    def counters(self, answer: list[int]) -> dict[str, int]:
        """Counts nothing."""
        return {}
