"""The home of an id."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.core import rendezvous

IDS = rendezvous.digests([f"id-{i}".encode() for i in range(20_000)])


@pytest.mark.parametrize("count", [1, 2, 3, 8, 31])
def test_one_home_more_takes_its_share_from_all_and_moves_nothing_else(count: int) -> None:
    before, after = rendezvous.homes(IDS, count), rendezvous.homes(IDS, count + 1)
    moved = before != after

    assert (after[moved] == count).all()
    assert moved.mean() == pytest.approx(1 / (count + 1), abs=0.02)


@pytest.mark.parametrize("count", [2, 7, 64])
def test_homes_are_balanced(count: int) -> None:
    sizes = np.bincount(rendezvous.homes(IDS, count), minlength=count)

    share = len(IDS) / count
    assert (np.abs(sizes - share) < 6 * np.sqrt(share)).all()


def test_a_home_does_not_change_from_release_to_release() -> None:
    assert rendezvous.homes(IDS[:12], 5).tolist() == [2, 1, 1, 3, 2, 1, 2, 1, 1, 1, 1, 2]
    assert rendezvous.digests([b"a"]).tolist() == [int.from_bytes(bytes.fromhex("40f89e395b66422f"), "little")]
