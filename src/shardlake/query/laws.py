"""What must hold of every search answer. Used by the router on each answer, by flow tests and by property tests."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby, pairwise


def broken(
    *,
    requested: int,
    searched: int,
    failed: int,
    partial: bool,
    hits: Sequence[tuple[str, float]],
    k: int,
    by_id: bool,
    is_free: bool = False,
    groups: Sequence[Hashable] | None = None,
    size: int = 1,
) -> list[str]:
    """Returns the laws that an answer breaks; empty when all hold.

    Args:
        requested, searched, failed: shards.
        partial: what the answer says.
        hits: (id, score) in the order given.
        k: asked for: hits, or groups.
        by_id: whether the order is by id (no query), instead of by score.
        is_free: whether the order is one of its own (diversity), of which the first hit alone is the best.
        groups: the group of each hit; None when hits are not grouped.
        size: hits of a group, at most.
    """
    keys = [(hit_id,) if by_id else (-score, hit_id) for hit_id, score in hits]
    laws = {
        "requested == searched + failed": requested == searched + failed,
        "partial == (failed > 0)": partial == (failed > 0),
        "at most k hits": len(hits) <= k * size,
        "no id twice": len({hit_id for hit_id, _ in hits}) == len(hits),
    }
    if groups is not None:
        laws |= _of_groups(list(zip(keys, groups, strict=True)), k, size)
    elif is_free:
        laws["the first hit is the best"] = not keys or keys[0] == min(keys)
    else:
        laws["hits are in order, ties by id"] = all(a <= b for a, b in pairwise(keys))
    return [law for law, holds in laws.items() if not holds]


def _of_groups(hits: list[tuple[tuple[object, ...], Hashable]], k: int, size: int) -> dict[str, bool]:
    parts = [[key for key, _ in part] for _, part in groupby(hits, key=lambda hit: hit[1])]
    names = [name for name, _ in groupby(hits, key=lambda hit: hit[1])]
    return {
        "at most k groups, each once": len(parts) <= k and len(set(names)) == len(names),
        "at most size hits of a group": all(len(part) <= size for part in parts),
        "hits of a group are in order, ties by id": all(part == sorted(part) for part in parts),
        "groups are in the order of their best": all(a[0] <= b[0] for a, b in pairwise(parts)),
    }
