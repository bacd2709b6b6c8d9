"""The best k of scored things: descending score, ties by id, so that sharding changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shardlake.types import BoolArray, Int64Array

T = TypeVar("T")
Scored = tuple[float, str, T]
"""(score, id, whatever travels with it)."""

_SORT_AT_MOST = 96  # scores that are sorted whole sooner than they are partitioned


def best_rows(scores: npt.NDArray[np.floating[Any]], k: int) -> Int64Array:
    """Returns positions of the k best scores and of all that tie with the last of them, best first.

    Args:
        scores: (n,) of any float type, no NaN.
        k: at least 1.
    """
    if k < len(scores) > _SORT_AT_MOST:
        # All that reach the kth best stay, so that ties can be settled by id.
        chosen = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        return chosen[np.argsort(-scores[chosen], kind="stable")]
    ranked = (-scores).argsort(kind="stable")
    end = k
    while end < len(ranked) and scores[ranked[end]] == scores[ranked[k - 1]]:
        end += 1
    return ranked[:end]


def best_of_each(scores: npt.NDArray[np.floating[Any]], k: int) -> tuple[Int64Array, BoolArray]:
    """Returns positions of the k best scores of each row of a table, best first, and in which rows scores tie.

    Args:
        scores: (n, m) of any float type, no NaN.
        k: at least 1.

    Returns:
        (n, min(k, m)) int64, and (n,) bool: whether equal scores are among those of a row, or behind the last of them;
        then their order is not settled, and `best_rows` says which there are.
    """
    lower = -scores
    if k + 1 < scores.shape[1] > _SORT_AT_MOST:
        chosen = np.argpartition(lower, k, axis=1)[:, : k + 1]
        order_of_chosen = np.take_along_axis(lower, chosen, axis=1).argsort(axis=1)
        ranked = np.take_along_axis(chosen, order_of_chosen, axis=1)
    else:
        ranked = lower.argsort(axis=1)[:, : k + 1]
    kept = np.take_along_axis(lower, ranked, axis=1)
    return ranked[:, :k], (kept[:, 1:] == kept[:, :-1]).any(axis=1)


def order(scored: Iterable[Scored[T]], k: int) -> list[Scored[T]]:
    """Returns the k best, best first, ties by id."""
    return sorted(scored, key=_rank)[:k]


def merge_best(parts: Sequence[Sequence[Scored[T]]], k: int) -> list[Scored[T]]:
    """Merges lists that are each ordered best first, ties by id; returns the k best of all.

    Law: merge_best(parts, k) == order(everything, k), whatever the order of the parts.
    """
    return list(islice(merge(*parts, key=_rank), k))


def merge_by_id(parts: Sequence[Sequence[Scored[T]]], k: int) -> list[Scored[T]]:
    """Merges lists ordered by id; returns the k first. For a search by filter alone."""
    return list(islice(merge(*parts, key=itemgetter(1)), k))


def _rank(entry: Scored[T]) -> tuple[float, str]:
    return -entry[0], entry[1]
