"""`like` and `unlike`: the vectors of the items named, and the query that they make.

    cosine, dot   mean of the liked − mean of the unliked
    l2            mean of the liked, moved away from the mean of the unliked by as much as lies between them

Source: Rocchio 1971, Relevance Feedback in Information Retrieval; for places rather than directions, its form
liked + (liked − unliked), which does not depend on where the origin lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functions.router.fanout import Told
from functions.router.request import Asked
from functions.router.spaces import vectors_of
from functions.router.versions import Version
from shardlake.contracts.shard import LeafSearch
from shardlake.contracts.shard_wire import decode_vector
from shardlake.errors import ErrorKind, InvalidInput, NotFound, ShardlakeError
from shardlake.types import Float32Array, Metric, SpaceSpec


def lookups(asked: Mapping[int, Asked], version: Version) -> dict[int, dict[int, LeafSearch]]:
    """Returns what every shard is asked so that the vectors of examples are known, by search and shard."""
    wanted: dict[int, dict[int, LeafSearch]] = {}
    for number, search in asked.items():
        if search.examples and search.spaces:
            ids = tuple(sorted(search.examples))
            spaces = tuple(dict.fromkeys(vectors_of(one.space) for one in search.spaces))
            leaf = LeafSearch(ids=ids, k=len(ids), attributes=False, include_vectors=spaces)
            wanted[number] = {row.shard_id: leaf for row in version.searched}
    return wanted


def example_vectors(asked: Asked, told: Sequence[Told]) -> dict[str, Float32Array] | ShardlakeError:
    """Returns the vector that the examples of a search make in each of its spaces, or why they make none.

    Args:
        asked: with like or unlike.
        told: what the shards answered to the lookup.

    An id that no shard has is 404 item-not-found; where a shard failed, nobody knows, and its failure is the error.
    """
    assert asked.request.query is not None
    found: dict[str, dict[str, Any]] = {}
    failures = [answer for answer in told if isinstance(answer, ShardlakeError)]
    for answer in told:
        if not isinstance(answer, ShardlakeError):
            found.update({hit[0]: hit[3] or {} for hit in answer["hits"]})
    missing = sorted(asked.examples - found.keys())
    if missing:
        return failures[0] if failures else _unknown(missing)
    like, unlike = asked.request.query.like or [], asked.request.query.unlike or []
    vectors: dict[str, Float32Array] = {}
    for one in asked.spaces:
        made = _made(one.space, [found[name] for name in like], [found[name] for name in unlike])
        if isinstance(made, ShardlakeError):
            return made
        vectors[one.space.name] = made
    return vectors


def _unknown(ids: list[str]) -> NotFound:
    return NotFound("there is no item of an id that like or unlike names", kind=ErrorKind.ITEM_NOT_FOUND, ids=ids)


def _made(
    space: SpaceSpec, like: Sequence[Mapping[str, str]], unlike: Sequence[Mapping[str, str]]
) -> Float32Array | InvalidInput:
    means = []
    for field, items in (("like", like), ("unlike", unlike)):
        rows = [decode_vector(item[vectors_of(space)]) for item in items if vectors_of(space) in item]
        if items and not rows:
            return InvalidInput(f"no item of {field} has a vector in the space {space.name}", at=f"query.{field}")
        means.append(np.mean(rows, axis=0, dtype=np.float64) if rows else None)
    liked, unliked = means
    if unliked is None:
        assert liked is not None
        made = liked
    elif space.metric is Metric.L2:
        if liked is None:
            return InvalidInput("by distance nothing is near to unlike alone: name what you like", at="query.unlike")
        made = 2 * liked - unliked
    else:
        made = -unliked if liked is None else liked - unliked
    if space.metric is Metric.COSINE and not made.astype(np.float32).any():
        message = "like and unlike cancel each other out: no direction is left"
        return InvalidInput(message, kind=ErrorKind.INVALID_VECTOR, at="query.like")
    return np.asarray(made, np.float32)
