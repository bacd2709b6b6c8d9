"""Rendezvous hashing: every id has one home among n; when n grows by one, ids move to the new home and nowhere else.

Source: Thaler and Ravishankar 1998 (highest random weight); the mixing is splitmix64's (Steele et al. 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from shardlake.types import Int64Array

Digests = npt.NDArray[np.uint64]


def digests(ids: Sequence[bytes]) -> Digests:
    """Returns (n,) uint64: 64 bits of each id, the same on every machine."""
    joined = b"".join([blake2b(one, digest_size=8).digest() for one in ids])
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def homes(found: Digests, count: int) -> Int64Array:
    """Returns (n,) int64 in [0, count): for each digest the home whose weight for it is largest.

    Law: homes(x, n + 1) differs from homes(x, n) only where it is n. Cost: n × count mixings, memory of three n.
    """
    best = np.zeros(len(found), np.uint64)
    home = np.zeros(len(found), np.int64)
    for number in range(count):
        weight = _mixed(found ^ _mixed(np.full(1, number + 1, np.uint64)))
        better = weight > best
        home[better], best[better] = number, weight[better]
    return home


def _mixed(values: Digests) -> Digests:
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
