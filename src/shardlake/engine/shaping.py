"""What a leaf does with the rows that its sources found: rank them anew, leave out earlier pages, choose, count.

Pure functions of arrays and columns. In an exact search all rows that pass come here, so `rank`, groups and pages are
exact; otherwise the candidates do: `rank` then re-orders the best by score. Facets count every row that passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import LeafSearch
from shardlake.core.topk import best_rows
from shardlake.query.columns import Column
from shardlake.query.facets import Partial, partial
from shardlake.query.groups import Group, best_of_groups, group_codes
from shardlake.query.rank import attributes_of
from shardlake.query.rank_scores import evaluate
from shardlake.types import BoolArray, Float64Array, Int64Array

Scores = npt.NDArray[np.floating[Any]]


class IdOrder(Protocol):
    """The order of the ids of a shard, which settles ties; asked for only where there are any."""

    def ranks(self, rows: Int64Array) -> npt.NDArray[np.integer[Any]]:
        """Returns (n,) the place of each row in the order of ids."""

    def first_behind(self, item_id: str) -> int:
        """Returns the first place that lies behind an id, whether the shard has that id or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """The hits of one shard, in the order in which they are answered.

    Attributes:
        rows: (m,) int64. scores: (m,) float64. positions: (m,) int64: where they stood among the rows that came in.
        groups: the group of each; empty when hits are not grouped.
    """

    rows: Int64Array
    scores: Float64Array
    positions: Int64Array
    groups: tuple[Group, ...] = ()


def columns_of(search: LeafSearch) -> set[str]:
    """Returns the attributes whose columns a search's shaping reads, its filter's not among them."""
    named = set() if search.rank is None else attributes_of(search.rank)
    grouped = set() if search.group_by is None else {search.group_by[0]}
    return named | grouped | {str(facet[0]) for facet in search.facets}


def shape(
    search: LeafSearch, rows: Int64Array, scores: Scores, columns: Mapping[str, Column], order: IdOrder
) -> Shaped:
    """Returns the hits of a search among the rows found.

    Args:
        search: with its rank, after, group_by and k.
        rows: (n,) int64, each once, in any order.
        scores: (n,) of any float type, fused; 0 where there is no source.
        columns: those of `columns_of`.
        order: of the ids.

    Cost: one pass over the rows for each part of a rank expression, a partition, a sort of what is chosen; the column
    of id ranks where scores tie.
    """
    exact = np.asarray(scores, np.float64)
    if search.rank is not None:
        exact = evaluate(search.rank, columns, rows, exact)
    positions = np.arange(len(rows))
    if search.after is not None:
        positions = np.flatnonzero(_behind(rows, exact, search.after, order))
    if search.group_by is None:
        chosen = positions[_best(rows[positions], exact[positions], search.k, order)]
        return Shaped(rows=rows[chosen], scores=exact[chosen], positions=chosen)
    attribute, size = search.group_by
    codes, names = group_codes(columns[attribute], rows[positions])
    kept = _best_grouped(rows[positions], exact[positions], codes, (search.k, size), order)
    chosen = positions[kept]
    groups = tuple(names[code] for code in codes[kept].tolist())
    return Shaped(rows=rows[chosen], scores=exact[chosen], positions=chosen, groups=groups)


def best_of_each(rows: Int64Array, table: Float64Array, k: int, order: IdOrder) -> Int64Array:
    """Returns the positions of the k best rows of each source, each once, ascending: what ranks are fused from.

    Args:
        rows: (n,) int64.
        table: (sources, n) float64 scores; NaN where a source does not know the row.
    """
    chosen = [np.empty(0, np.int64)]
    for scores in table:
        there = np.flatnonzero(~np.isnan(scores))
        chosen.append(there[_best(rows[there], scores[there], k, order)])
    return np.unique(np.concatenate(chosen))


def facet_parts(
    facets: Sequence[Sequence[Any]], columns: Mapping[str, Column], rows: Int64Array
) -> tuple[Partial, ...]:
    """Returns what a shard counts of each facet.

    Args:
        facets: in wire form.
        columns: those of `columns_of`.
        rows: (n,) int64: all that pass the filter; where there is full text alone, all of those that match.

    Raises:
        InvalidInput: facet-too-large.
    """
    return tuple(partial(facet, columns[facet[0]], rows) for facet in facets)


def _behind(rows: Int64Array, scores: Float64Array, after: tuple[float, str], order: IdOrder) -> BoolArray:
    score, item_id = after
    keep = scores < score
    ties = np.flatnonzero(scores == score)
    if len(ties):
        keep[ties] = order.ranks(rows[ties]) >= order.first_behind(item_id)
    return np.asarray(keep)


def _best(rows: Int64Array, scores: Float64Array, k: int, order: IdOrder) -> Int64Array:
    """Returns the positions of the k best, best first, ties by id: without reading the items that tie."""
    if not len(rows):
        return np.empty(0, np.int64)
    found = best_rows(scores, k)
    kept = scores[found]
    if (kept[1:] == kept[:-1]).any():
        found = found[np.lexsort((order.ranks(rows[found]), -kept))]
    return found[:k]


def _best_grouped(
    rows: Int64Array, scores: Float64Array, codes: Int64Array, wanted: tuple[int, int], order: IdOrder
) -> Int64Array:
    """Returns positions, group after group, as `groups.best_groups` orders hits."""
    found = best_of_groups(scores, codes, *wanted)
    found = found[np.lexsort((order.ranks(rows[found]), -scores[found]))]
    k, size = wanted
    groups: dict[int, list[int]] = {}
    for position, code in zip(found.tolist(), codes[found].tolist(), strict=True):
        groups.setdefault(code, []).append(position)
    return np.asarray([position for members in list(groups.values())[:k] for position in members[:size]], np.int64)
