"""`group_by`: the best hits of each of the best groups. A group is the items with one value of an attribute.

Groups are ordered by their best hit, hits within a group by score, ties by id throughout. Items without a value are one
group too, whose name is null: nothing that was found is silently left out.

A leaf hands over its own best k groups, which is enough for the winners and their best hits: a group that is among the
best k of all is among the best k of the shard in which its best hit lies. It is not enough for the second best hit of a
winner, which may lie in a shard where other groups fill the k places: `missing` says what is to be asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shardlake import limits
from shardlake.errors import InternalError, InvalidInput
from shardlake.query.columns import Column, KeywordColumn, NumberColumn
from shardlake.query.filter import Node
from shardlake.types import AttributeType, CollectionSchema, Int64Array

T = TypeVar("T")
Group = str | int | bool | None
"""The name of a group: a value, or None for items without one."""
Grouped = tuple[float, str, Group, T]
"""(score, id, group, whatever travels with it)."""

_GROUPED = frozenset({AttributeType.KEYWORD, AttributeType.INT, AttributeType.BOOL})


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupBy:
    """What hits are grouped by, and how many of each group are wanted."""

    attribute: str
    size: int


def parse(attribute: str, size: int, schema: CollectionSchema) -> GroupBy:
    """Returns what a request groups by.

    Raises:
        InvalidInput: unknown attribute, of a type with too many values, or of several values an item.
    """
    place = "group_by.attribute"
    spec = schema.attribute(attribute)
    if spec is None:
        raise InvalidInput(f"the collection has no attribute {attribute}", at=place)
    if spec.type not in _GROUPED:
        raise InvalidInput(f"{attribute} is of type {spec.type}: hits are grouped by a keyword, int or bool", at=place)
    if spec.multi:
        raise InvalidInput(f"{attribute} has several values an item, which would be in several groups", at=place)
    if not 1 <= size <= limits.MAX_GROUP_SIZE:
        raise InvalidInput(f"a group may have 1 to {limits.MAX_GROUP_SIZE} hits", at="group_by.size")
    return GroupBy(attribute=attribute, size=size)


def group_codes(column: Column, rows: Int64Array) -> tuple[Int64Array, list[Group]]:
    """Returns (n,) int64 positions in the list of names, and that list.

    Args:
        column: of the attribute.
        rows: (n,) int64 row numbers.

    Requires: a column of one value a row.
    """
    if isinstance(column, KeywordColumn) and column.offsets is None:
        named = column.codes[rows].astype(np.int64)
        return np.where(named < 0, len(column.dictionary), named), [*column.dictionary, None]
    if not isinstance(column, NumberColumn):
        raise InternalError("hits are grouped by a column of one value a row")
    there = column.present[rows]
    distinct, codes = np.unique(np.where(there, column.values[rows], 0), return_inverse=True)
    values = distinct.astype(bool) if column.values.dtype == np.uint8 else distinct
    return np.where(there, codes, len(values)).astype(np.int64), [*values.tolist(), None]


def best_of_groups(scores: npt.NDArray[np.floating[Any]], codes: Int64Array, k: int, size: int) -> Int64Array:
    """Returns positions of the hits that may be among the best `size` of the best k groups, best score first.

    All that tie with the last place of either kind stay, so that ids can settle it (`best_groups`).

    Args:
        scores: (n,) without NaN.
        codes: (n,) int64, the group of each.
        k, size: at least 1.

    Cost: one pass over all; two sorts of the hits of the groups that are kept.
    """
    if not len(scores):
        return np.empty(0, np.int64)
    best = np.full(int(codes.max()) + 1, -np.inf)
    np.maximum.at(best, codes, scores.astype(np.float64))  # of one type, which is ten times as fast
    last = np.sort(best)[::-1][min(k, len(best)) - 1]
    candidates = np.flatnonzero((best >= last)[codes])
    by_score = candidates[np.argsort(-scores[candidates], kind="stable")]
    # Hits of one group side by side, best first: the place within the group is the distance from its first.
    by_group = np.argsort(codes[by_score], kind="stable")
    starts = np.flatnonzero(np.diff(codes[by_score][by_group], prepend=-1))
    lengths = np.diff(starts, append=len(by_group))
    lasts = np.repeat(starts + np.minimum(size, lengths) - 1, lengths)
    ranked = scores[by_score]
    kept = by_group[ranked[by_group] >= ranked[by_group][lasts]]
    return np.asarray(by_score[np.sort(kept)], np.int64)


def best_groups(hits: Iterable[Grouped[T]], k: int, size: int) -> list[Grouped[T]]:
    """Returns the best `size` hits of each of the best k groups, group after group.

    Law: the same whatever the order of `hits`; and best_groups of what best_groups returned is the same again.
    """
    groups: dict[Group, list[Grouped[T]]] = {}
    for hit in sorted(hits, key=lambda hit: (-hit[0], hit[1])):
        groups.setdefault(hit[2], []).append(hit)
    return [hit for members in list(groups.values())[:k] for hit in members[:size]]


def names_of(hits: Iterable[Grouped[T]]) -> list[Group]:
    """Returns the groups of hits, in the order in which they first come."""
    return list(dict.fromkeys(hit[2] for hit in hits))


def missing(
    winners: Sequence[Group], answered: Mapping[int, Sequence[Grouped[T]]], k: int, size: int
) -> dict[int, list[Group]]:
    """Returns which winning groups each shard must be asked for again, by shard; most often none.

    Args:
        winners: the best k groups of all.
        answered: what each shard said in the first round.
        k: groups asked of each shard.
        size: hits of a group; with 1 the first round has all.

    A shard that said fewer than k groups said all it has; a group that it said, it said with its best `size` hits.
    """
    if size == 1 or len(answered) == 1:
        return {}
    wanted = {}
    for shard, hits in answered.items():
        said = names_of(hits)
        rest = [group for group in winners if group not in said] if len(said) >= k else []
        if rest:
            wanted[shard] = rest
    return wanted


def filter_of(attribute: str, groups: Sequence[Group]) -> Node:
    """Returns the filter, in wire form, that the items of those groups pass, and no others."""
    values = [group for group in groups if group is not None]
    nodes: list[Node] = [["in", attribute, values]] if values else []
    nodes += [["not", ["exists", attribute]]] if len(values) < len(groups) else []
    return nodes[0] if len(nodes) == 1 else ["or", *nodes]
