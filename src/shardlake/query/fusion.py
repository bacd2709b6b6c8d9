"""Scores of several sources made one: mean, weighted mean, maximum, reciprocal ranks; and the early exit of top k.

A source is a space, or full text. Its scores enter a fusion as: cosine and dot products as they are; a distance as
1 / (1 + distance); BM25 divided by a bound that no row exceeds. An item that a source knows nothing of has 0 there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.types import Float64Array, Int64Array, Metric

RRF_K = 60
"""Source: Cormack, Clarke and Büttcher 2009, Reciprocal Rank Fusion outperforms Condorcet … (SIGIR): k = 60."""

BLOCK = 64  # places of each source looked at before the threshold is computed again

Fuse = Callable[[Float64Array], Float64Array]
"""From (sources, n) float64 comparable scores to (n,) float64; never smaller when any of them is larger."""


def comparable(scores: npt.NDArray[np.floating[Any]], metric: Metric | None, bound: float = 1.0) -> Float64Array:
    """Returns a source's scores as they enter a fusion, (n,) float64.

    Args:
        scores: (n,), higher is better: of a space, or BM25.
        metric: of the space; None for BM25.
        bound: of BM25, above 0.
    """
    exact = np.asarray(scores, np.float64)
    if metric is None:
        return exact / bound
    return 1 / (1 - exact) if metric is Metric.L2 else exact


def fuser(how: str, weights: Sequence[float]) -> Fuse:
    """Returns the fusion of scores by `mean`, `weighted` or `max`.

    Args:
        how: mean: every source alike; weighted: by `weights`, which add up to more than 0; max: the best source alone.
        weights: one a source, at least 0.
    """
    if how == "max":
        return lambda scores: np.asarray(scores.max(axis=0), np.float64)
    shares = np.asarray(weights if how == "weighted" else [1.0] * len(weights), np.float64)
    # By the largest first: the sum of huge weights is no number.
    shares = shares / shares.max()
    parts = (shares / shares.sum()).tolist()
    # One addition after the other, in the order of the sources: sums of numpy and products of matrices depend on how
    # many rows stand beside a row, and a row's score must not.
    return lambda scores: reduce(np.add, [share * row for share, row in zip(parts, scores, strict=True)])


def reciprocal_ranks(ranks: Sequence[int | None], weights: Sequence[float]) -> float:
    """Returns the score of one item by its ranks in the sources, from 1; None where a source did not find it."""
    pairs = zip(ranks, weights, strict=True)
    return sum(weight / (RRF_K + rank) for rank, weight in pairs if rank is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The candidates of one source, best first.

    Attributes:
        rows: (n,) int64, each once. scores: (n,) float64, comparable, descending.
        complete: whether every row that is not here has 0 in this source, rather than at most the last score.
    """

    rows: Int64Array
    scores: Float64Array
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """The best candidates by fused score, best first: k, and all that tie with the last of them.

    Attributes:
        rows_scored: candidates whose fused score was computed. rows_saved: those that could be left unlooked at.
    """

    rows: Int64Array
    scores: Float64Array
    rows_scored: int
    rows_saved: int


def threshold_top_k(
    sources: Sequence[Ranked], lookup: Callable[[int, Int64Array], Float64Array], fuse: Fuse, k: int
) -> TopK:
    """Returns exactly what fusing every candidate of every source would: the threshold algorithm.

    All sources are walked down together; each row met gets its score in the other sources by random access. No row that
    was not met can have more than the fusion of the scores that the walk has reached: once the kth best has more, it is
    done. Equality is not enough, since ties are settled by id.

    Args:
        sources: at least one.
        lookup: (source, rows) to the comparable scores (n,) float64 of those rows, 0 where there is none.
        fuse: monotone.
        k: at least 1.

    Source: Fagin, Lotem and Naor 2003, Optimal Aggregation Algorithms for Middleware, TA.
    """
    is_met = _membership(sources)
    candidates = int(np.count_nonzero(_members(sources, is_met)))
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float64)
    best: list[float] = []
    depth = 0
    while depth < max(len(source.rows) for source in sources):
        block = np.unique(np.concatenate([source.rows[depth : depth + BLOCK] for source in sources]))
        fresh = block[~is_met[block]]
        is_met[fresh] = True
        depth += BLOCK
        if len(fresh):
            fused = fuse(np.stack([lookup(number, fresh) for number in range(len(sources))]))
            rows, scores = np.concatenate([rows, fresh]), np.concatenate([scores, fused])
            best = heapq.nlargest(k, [*best, *fused.tolist()])
        if len(best) == k and best[-1] > _threshold(sources, fuse, depth):
            break
    order = np.argsort(-scores, kind="stable")
    last = scores[order[k - 1]] if len(order) >= k else -np.inf
    kept = order[scores[order] >= last]
    return TopK(rows=rows[kept], scores=scores[kept], rows_scored=len(rows), rows_saved=candidates - len(rows))


def _membership(sources: Sequence[Ranked]) -> npt.NDArray[np.bool_]:
    return np.zeros(1 + max((int(source.rows.max()) for source in sources if len(source.rows)), default=-1), bool)


def _members(sources: Sequence[Ranked], like: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    found = np.zeros_like(like)
    for source in sources:
        found[source.rows] = True
    return found


def _threshold(sources: Sequence[Ranked], fuse: Fuse, depth: int) -> float:
    reached = [_reached(source, depth) for source in sources]
    return float(fuse(np.asarray(reached, np.float64)[:, None])[0])


def _reached(source: Ranked, depth: int) -> float:
    """Returns the most that a row which is not among the first `depth` of a source can have there."""
    if source.complete and depth >= len(source.rows):
        return 0.0
    if not len(source.rows):
        return np.inf  # nobody looked, so nothing is known
    # A row without anything in a source has 0, which may be more than a negative score.
    return max(float(source.scores[min(depth, len(source.rows)) - 1]), 0.0)
