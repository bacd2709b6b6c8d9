"""Which segments become one, and when a build begins by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.tiers import FANOUT, MAX_PENDING, MIN_ROWS_TO_BUILD, builds_due, run_to_merge
from shardlake.catalog.base import Pointer, SegmentRow
from shardlake.catalog.log import in_place_of
from shardlake.limits import MAX_SEGMENT_ROWS

POINTER = Pointer(
    version="000001-a", manifest_key="m", rows=1_000_000, bytes=1, shards=1, committed_at="t", build_id="b"
)


def segment(sequence: int, rows: int = 1, *, size: int = 1, encoder: str | None = None, first: int = 0) -> SegmentRow:
    return SegmentRow(
        segment_id=f"s{sequence}",
        order="",
        key="k",
        rows=rows,
        bytes=size,
        source="x",
        created_at="t",
        sequence=sequence,
        first=first,
        encoders={} if encoder is None else {"v": encoder},
    )


def test_few_segments_are_left_alone_and_many_small_ones_become_one() -> None:
    pending = [segment(number) for number in range(1, FANOUT)]
    assert run_to_merge(pending) == ()

    pending.append(segment(FANOUT))
    assert run_to_merge(pending) == pending


def test_what_is_large_already_is_not_written_again_for_a_small_one() -> None:
    pending = [segment(1, 5_000), *(segment(number) for number in range(2, 2 + FANOUT))]

    assert run_to_merge(pending) == pending[1:]


def test_what_was_set_aside_lies_between_and_nothing_is_merged_across_it() -> None:
    assert run_to_merge([segment(number) for number in (1, 2, 3, 4, 6, 7, 8, 9)]) == ()
    merged = [segment(4, 8, first=1), *(segment(number) for number in range(5, 5 + FANOUT))]
    assert [row.sequence for row in run_to_merge(merged)] == [5, 6, 7, 8, 9, 10, 11, 12]


def test_segments_of_two_models_stay_two() -> None:
    pending = [segment(number, encoder="old" if number < 5 else "new") for number in range(1, 12)]
    pending[6] = replace(pending[6], encoders={})  # brought vectors

    assert run_to_merge(pending) == ()
    assert run_to_merge([*pending, segment(12, encoder="new")]) == [*pending[4:], segment(12, encoder="new")]


@given(st.lists(st.integers(1, MAX_SEGMENT_ROWS), max_size=200))
def test_merging_ends_and_writes_no_item_often(sizes: list[int]) -> None:
    pending = [segment(number, rows) for number, rows in enumerate(sizes, 1)]
    written = 0
    while run := run_to_merge(pending):
        rows = sum(row.rows for row in run)
        assert len(run) >= FANOUT
        assert rows <= MAX_SEGMENT_ROWS
        written += rows
        merged = segment(run[-1].sequence, rows, first=run[0].begins)
        pending = [*(row for row in pending if row not in run), merged]
        pending.sort(key=lambda row: row.sequence)
    assert sum(row.rows for row in pending) == sum(sizes)
    assert written <= 5 * sum(sizes)


def test_a_build_begins_where_searches_pay_more_for_what_is_pending() -> None:
    small = replace(POINTER, rows=1_000)

    assert builds_due([segment(1, MIN_ROWS_TO_BUILD - 1)], small) == 0
    assert builds_due([segment(1, MIN_ROWS_TO_BUILD)], small) == 1
    assert builds_due([segment(1, 3 * MIN_ROWS_TO_BUILD)], None) == 3
    assert builds_due([segment(1, 199_999)], POINTER) == 0
    assert builds_due([segment(1, 200_000)], POINTER) == 1
    assert builds_due([segment(number) for number in range(MAX_PENDING)], POINTER) == 1
    assert builds_due([], None) == 0


@pytest.mark.parametrize(
    ("rows", "most"), [(lambda n: 1, 7.0), (lambda n: 1 + n % 20, 6.0), (lambda n: n % 3 * 400, 4.0)]
)
def test_an_item_is_written_again_but_a_few_times_and_few_segments_are_left(
    rows: Callable[[int], int], most: float
) -> None:
    log: list[SegmentRow] = []
    written, longest = 0, 0
    sizes = [rows(number) for number in range(2_000)]
    for number, count in enumerate(sizes, start=1):
        log.append(segment(number, count))
        while run := run_to_merge(log):
            total = sum(row.rows for row in run)
            assert total >= 2 * max(row.rows for row in run)
            written += total
            first = log.index(run[0])
            log[first : first + len(run)] = [in_place_of(run, replace(run[-1], rows=total))]
        longest = max(longest, len([row for row in log if row.rows < MAX_SEGMENT_ROWS / FANOUT]))

    assert written <= most * sum(sizes)
    assert longest <= 32
