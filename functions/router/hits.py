"""The hits of all shards made one list: merged by score, by id, by ranks or by groups, told apart by diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from functions.router.fanout import Told
from functions.router.plan import Plan, again
from functions.router.request import Asked
from shardlake.contracts.shard import LeafSearch
from shardlake.contracts.shard_wire import decode_vector
from shardlake.core.topk import Scored, merge_best, merge_by_id, order
from shardlake.errors import ShardlakeError
from shardlake.query.diversity import reorder
from shardlake.query.fusion import reciprocal_ranks
from shardlake.query.groups import Group, Grouped, best_groups, filter_of, missing, names_of

Answer = Mapping[str, Any]
"""What a leaf said, in wire form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One hit of the answer.

    Attributes:
        score: exact, as the order is.
        payload: the stored item, or None. vectors: base64 by space, or None.
        scores: of the sources, in the order of `Asked.sources`; None where an item has nothing there.
    """

    id: str
    score: float
    payload: dict[str, Any] | None
    vectors: dict[str, str] | None
    scores: Sequence[float | None]
    group: Group


def merged(asked: Asked, answers: Sequence[Answer]) -> list[Found]:
    """Returns the hits of the answer, in its order: the k best, or `size` of each of the k best groups."""
    parts = [_scored(asked, answer) for answer in answers]
    k = asked.request.k
    if asked.group_by is not None:
        grouped = [_grouped(entry) for part in parts for entry in part]
        return [hit for *_, hit in best_groups(grouped, k, asked.group_by.size)]
    if asked.fuses_ranks:
        parts = [_by_ranks(asked, [hit for part in parts for *_, hit in part])]
    if not asked.is_scored:
        return [hit for *_, hit in merge_by_id(parts, k)]
    if asked.diversity_space is None:
        return [hit for *_, hit in merge_best(parts, k)]
    return _diverse(asked, [hit for *_, hit in merge_best(parts, asked.wanted)])


def more_groups(asked: Asked, plan: Plan, answers: Mapping[int, Answer]) -> dict[int, LeafSearch]:
    """Returns what is asked for further groups where a scan found fewer than k, by shard; most often nothing.

    The nearest rows may all be of a few groups: the next round leaves these out.
    """
    if asked.group_by is None or plan.is_exact:
        return {}
    found = names_of(_shown(asked, _said(answers)))
    missing_groups = asked.request.k - len(found)
    if not found or missing_groups <= 0:
        return {}
    node = ["not", filter_of(asked.group_by.attribute, found)]
    # Groups of nothing but examples take places too, and are not shown.
    wanted = missing_groups + len(asked.excluded)
    return {shard: again(leaf, node, wanted) for shard, leaf in plan.leaves.items() if shard in answers}


def missing_hits(asked: Asked, plan: Plan, answers: Mapping[int, Answer]) -> dict[int, LeafSearch]:
    """Returns what must be asked again so that every winning group has its best hits, by shard; most often nothing.

    Of an exact search: groups that a shard had no place for. Of a scan: groups that have too few hits of all shards.
    """
    if asked.group_by is None or asked.group_by.size == 1:
        return {}
    size, said = asked.group_by.size, _said(answers)
    best = best_groups(_shown(asked, said), asked.request.k, size)
    winners = names_of(best)
    if plan.is_exact:
        wanted = missing(winners, said, asked.wanted, size)
    else:
        counts = Counter(group for _, _, group, _ in best)
        short = [group for group in winners if counts[group] < size]
        wanted = dict.fromkeys(said, short) if short else {}
    attribute = asked.group_by.attribute
    return {
        shard: again(plan.leaves[shard], filter_of(attribute, groups), len(groups)) for shard, groups in wanted.items()
    }


def joined(first: Told, more: Told) -> Told:
    """Returns what a shard said in two rounds, each hit once; a shard that failed in the second has failed."""
    if isinstance(first, ShardlakeError) or isinstance(more, ShardlakeError):
        return more
    stats = {name: count + more["stats"][name] for name, count in first["stats"].items()}
    hits = {hit[0]: hit for hit in (*more["hits"], *first["hits"])}
    return {**first, "hits": list(hits.values()), "stats": stats}


def _said(answers: Mapping[int, Answer]) -> dict[int, list[Grouped[Found]]]:
    return {shard: [_grouped(_entry(raw)) for raw in answer["hits"]] for shard, answer in answers.items()}


def _shown(asked: Asked, said: Mapping[int, Sequence[Grouped[Found]]]) -> list[Grouped[Found]]:
    return [hit for hits in said.values() for hit in hits if hit[1] not in asked.excluded]


def _entry(raw: Sequence[Any]) -> Scored[Found]:
    hit_id, score, payload, vectors, scores, group = raw
    found = Found(id=hit_id, score=score, payload=payload, vectors=vectors, scores=scores, group=group)
    return score, hit_id, found


def _scored(asked: Asked, answer: Answer) -> list[Scored[Found]]:
    return [entry for entry in map(_entry, answer["hits"]) if entry[1] not in asked.excluded]


def _grouped(entry: Scored[Found]) -> Grouped[Found]:
    score, hit_id, hit = entry
    return score, hit_id, hit.group, hit


def _by_ranks(asked: Asked, hits: Sequence[Found]) -> list[Scored[Found]]:
    """Returns the hits with the score of their ranks, best first. What lies behind a source's window has no rank."""
    window = asked.wanted - len(asked.excluded)
    ranks: list[dict[str, int]] = []
    for number in range(len(asked.sources)):
        there = [(score, hit.id, None) for hit in hits if (score := hit.scores[number]) is not None]
        ranks.append({hit_id: rank for rank, (_, hit_id, _) in enumerate(order(there, window), 1)})
    weights = _rank_weights(asked)
    scored = [replace(hit, score=reciprocal_ranks([of.get(hit.id) for of in ranks], weights)) for hit in hits]
    return order(((hit.score, hit.id, hit) for hit in scored if hit.score > 0), max(1, len(scored)))


def _rank_weights(asked: Asked) -> list[float]:
    weights = [one.weight for one in asked.spaces]
    return weights if asked.match is None else [*weights, asked.match_weight]


def _diverse(asked: Asked, hits: list[Found]) -> list[Found]:
    space = asked.diversity_space
    assert space is not None
    rows = [decode_vector(hit.vectors[space]) if hit.vectors and space in hit.vectors else None for hit in hits]
    dimension = next((len(row) for row in rows if row is not None), 1)
    vectors = np.stack([np.zeros(dimension, np.float32) if row is None else row for row in rows]) if rows else None
    if vectors is None:
        return []
    scores = np.asarray([hit.score for hit in hits], np.float64)
    return [hits[place] for place in reorder(scores, vectors, float(asked.request.diversity or 0), asked.request.k)]
