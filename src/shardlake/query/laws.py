"""What must hold of every search answer. Used by the router on each answer, by flow tests and by property tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def broken(
    *, requested: int, searched: int, failed: int, partial: bool, hits: Sequence[tuple[str, float]], k: int, by_id: bool
) -> list[str]:
    """Returns the laws that an answer breaks; empty when all hold.

    Args:
        requested, searched, failed: shards.
        partial: what the answer says.
        hits: (id, score) in the order given.
        k: asked for.
        by_id: whether the order is by id (no query), instead of by score.
    """
    keys = [(hit_id,) if by_id else (-score, hit_id) for hit_id, score in hits]
    laws = {
        "requested == searched + failed": requested == searched + failed,
        "partial == (failed > 0)": partial == (failed > 0),
        "at most k hits": len(hits) <= k,
        "hits are in order, ties by id": all(a <= b for a, b in pairwise(keys)),
        "no id twice": len({hit_id for hit_id, _ in hits}) == len(hits),
    }
    return [law for law, holds in laws.items() if not holds]
