"""Ranged reads: neighbours are joined, everything asked for comes back, and what was read is counted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.contracts.shard import LeafStats
from shardlake.deadline import Deadline
from shardlake.engine import row_reads
from shardlake.engine.nearest import PassingLists
from shardlake.engine.reading import COALESCE_GAP_BYTES, MAX_COALESCED_BYTES, Reader, coalesce
from shardlake.engine.spaces import NO_LIST, RowLists
from shardlake.errors import DeadlineExceeded
from shardlake.format.container import Extent
from shardlake.query.rows import RowSet
from shardlake.testing import ManualClock

spans = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 3)).map(
        lambda p: (p[0] * COALESCE_GAP_BYTES // 2, p[0] * COALESCE_GAP_BYTES // 2 + p[1] * 1000)
    ),
    max_size=12,
)


@settings(deadline=None)
@given(spans)
def test_joined_ranges_are_disjoint_in_order_and_cover_what_was_asked(ranges: list[tuple[int, int]]) -> None:
    joined = coalesce(ranges)

    assert joined == sorted(joined)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    assert all(any(start <= a and b <= stop for start, stop in joined) for a, b in ranges)


def test_near_ranges_are_one_read_and_far_or_large_ones_are_not() -> None:
    gap, most = COALESCE_GAP_BYTES, MAX_COALESCED_BYTES

    assert coalesce([(0, 10), (10 + gap, 20 + gap)]) == [(0, 20 + gap)]
    assert coalesce([(0, 10), (11 + gap, 20 + gap)]) == [(0, 10), (11 + gap, 20 + gap)]
    assert coalesce([(0, most), (most, most + 1)]) == [(0, most), (most, most + 1)]


@settings(deadline=None)
@given(spans)
def test_each_extent_gets_its_own_bytes_in_the_order_asked(ranges: list[tuple[int, int]]) -> None:
    data = np.random.default_rng(0).integers(0, 256, 25 * COALESCE_GAP_BYTES, np.uint8).tobytes()
    rounds: list[int] = []

    def read(wanted: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        rounds.append(len(wanted))
        return [data[a:b] for a, b in wanted]

    stats = LeafStats()
    found = Reader(read, None, stats).extents([Extent(offset=a, bytes=b - a, checksum=0) for a, b in ranges])

    assert found == [data[a:b] for a, b in ranges]
    assert len(rounds) == min(1, len(ranges)), "one round"
    assert stats.object_reads == sum(rounds)


def test_a_reader_without_time_says_so() -> None:
    clock = ManualClock()
    reader = Reader(lambda ranges, deadline: [], Deadline.after(10, clock=clock), LeafStats())
    reader.check("score")
    clock.advance(1)

    with pytest.raises(DeadlineExceeded):
        reader.check("score")


def test_for_no_rows_nothing_is_read() -> None:
    nowhere = np.empty(0, np.int64), np.empty(0, np.int64)
    reader = Reader(lambda ranges, deadline: [b""] * len(ranges), None, LeafStats())

    assert row_reads.parts(nowhere, lambda number: Extent(offset=0, bytes=1), None, reader) == []


def test_what_is_wanted_soon_comes_in_the_round_of_what_is_read_and_is_no_reason_for_one() -> None:
    data, rounds = bytes(range(200)), []

    def read(wanted: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        rounds.append(len(wanted))
        return [data[a:b] for a, b in wanted]

    first, second = Extent(offset=0, bytes=10), Extent(offset=100, bytes=20)
    reader = Reader(read, None, LeafStats())
    assert reader.extents([], [second]) == []
    assert rounds == []
    assert reader.extents([first], [second]) == [data[:10]]
    assert reader.is_at_hand(second)
    assert reader.extents([second], [first]) == [data[100:120]]
    assert len(rounds) == 1


def test_rows_know_which_of_their_list_they_are() -> None:
    of_row = np.array([1, 0, NO_LIST, 1, 0, 1], np.int32)
    lists = RowLists(of_row, 2)
    rows = np.flatnonzero(of_row >= 0)
    numbers, members = lists.places(rows)

    assert [lists.rows(n)[m] for n, m in zip(numbers, members, strict=True)] == rows.tolist()
    primary = RowLists(np.array([0, 0, 1, 1, 1], np.int32), 2, is_primary=True)
    assert [part.tolist() for part in primary.places(np.array([4, 1, 2]))] == [[1, 0, 1], [2, 1, 0]]


def test_rows_and_lists_say_the_same() -> None:
    lists = RowLists(np.array([2, NO_LIST, 0, 2, 0, NO_LIST], np.int32), 4)

    assert [lists.rows(number).tolist() for number in range(4)] == [[2, 4], [], [0, 3], []]
    assert [part.tolist() for part in lists.all_rows()] == [[0, 2, 3, 4], [0, 2]]
    passing = PassingLists(RowSet(np.array([True, True, False, False, True, True])), lists, 4)
    assert passing.counts.tolist() == [1, 0, 1, 0]
    assert passing.total == 2
    assert [part.tolist() for part in passing.all_rows()] == [[4, 0], [0, 2]]
    assert passing.rows(np.array([2, 1])).tolist() == [0]
