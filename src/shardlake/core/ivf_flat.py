"""IVF without codes: the vectors of the probed lists are scored as they are."""

from __future__ import annotations

import numpy as np

from shardlake.core.topk import best_rows
from shardlake.core.vectors import score_exact
from shardlake.types import BoolArray, Float32Array, Int64Array, Metric


class IvfFlat:
    """Full-precision vectors of one space of one shard, list after list. Not safe for two threads at once.

    Lists lie one behind another, so that a probe reads memory front to back; zero pages that no list has touched yet
    cost none.
    """

    def __init__(self, list_rows: Int64Array, dimension: int, shard_rows: int, metric: Metric) -> None:
        self._starts: list[int] = np.concatenate([[0], np.cumsum(list_rows)]).astype(np.int64).tolist()
        self._vectors = np.zeros((self._starts[-1], dimension), np.float32)
        self._rows = np.zeros(self._starts[-1], np.int64)
        self._place = np.zeros(shard_rows, np.int64)
        self._metric = metric

    def load_rows(self, number: int, members: slice, rows: Int64Array, vectors: Float32Array) -> None:
        """Gives the index rows of one list: which of the list, their (n,) row numbers and (n, d) vectors."""
        part = slice(self._starts[number], self._starts[number + 1])
        self._vectors[part][members] = vectors
        self._rows[part][members] = rows
        self._place[rows] = np.arange(part.start, part.stop)[members]

    def scan(self, query: Float32Array, lists: Int64Array, count: int, passing: BoolArray | None) -> Int64Array:
        """Returns the row numbers of the `count` nearest in the lists, nearest first, which may be fewer.

        Args:
            query: (d,) float32. lists: (p,) int64, loaded. passing: (rows of the shard,) those that may be returned.
        """
        found = [self._scored(query, number, passing) for number in lists.tolist()]
        if not found:
            return np.empty(0, np.int64)
        rows, scores = np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])
        return rows[best_rows(scores, count)[:count]]

    def score(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        """Returns (m,) float32 exact scores of loaded rows. Cost: a copy of their vectors, if it is not all."""
        if len(rows) == len(self._rows) and np.array_equal(rows, self._rows):
            return score_exact(query, self._vectors, self._metric)
        return score_exact(query, self._vectors[self._place[rows]], self._metric)

    def _scored(self, query: Float32Array, number: int, passing: BoolArray | None) -> tuple[Int64Array, Float32Array]:
        part = slice(self._starts[number], self._starts[number + 1])
        rows, vectors = self._rows[part], self._vectors[part]
        if passing is not None:
            keep = passing[rows]
            rows, vectors = rows[keep], vectors[keep]
        return rows, score_exact(query, vectors, self._metric)
