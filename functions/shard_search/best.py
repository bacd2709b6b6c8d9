"""The hits of many shards within one answer: what cannot be among the best of all is not sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shardlake.contracts.shard import LeafAnswer, LeafHit, LeafSearch

Answers = tuple[LeafAnswer, ...]
"""Of one shard, to all searches of a request."""


def best_of_all(searches: Sequence[LeafSearch], of_shards: Sequence[Answers]) -> list[Answers]:
    """Returns the answers of shards, with the k best hits of all of them alone where score or id alone decides.

    Groups, ranks that will be fused, and items looked up by id keep all their hits; facets and counters stay as they
    are.

    Law: whoever merges the hits of all shards by score, or by id, finds the same k best.
    """
    if len(of_shards) < 2:
        return list(of_shards)
    by_search = [
        _best(search, [answers[number] for answers in of_shards]) if _decides_alone(search) else None
        for number, search in enumerate(searches)
    ]
    return [
        tuple(answer if best is None else best[shard] for answer, best in zip(answers, by_search, strict=True))
        for shard, answers in enumerate(of_shards)
    ]


def _decides_alone(search: LeafSearch) -> bool:
    sources = len(search.vectors) + (search.match is not None)
    fuses_ranks = search.fusion == "rrf" and sources > 1
    return search.group_by is None and search.ids is None and not fuses_ranks


def _best(search: LeafSearch, answers: Sequence[LeafAnswer]) -> list[LeafAnswer]:
    """Returns the answers of the shards to one search, each with those of its hits that are among the best of all."""
    is_scored = bool(search.vectors) or search.match is not None or search.rank is not None

    def place(entry: tuple[int, LeafHit]) -> tuple[float, str]:
        return -entry[1].score if is_scored else 0.0, entry[1].id

    entries = sorted(((shard, hit) for shard, one in enumerate(answers) for hit in one.hits), key=place)
    kept: list[list[LeafHit]] = [[] for _ in answers]
    for shard, hit in entries[: search.k]:
        kept[shard].append(hit)
    return [
        one if len(hits) == len(one.hits) else replace(one, hits=tuple(hits))
        for one, hits in zip(answers, kept, strict=True)
    ]
