"""When the log needs work: which of its pending segments become one, and when a build shall fold them all in. Pure.

Every search asks every pending segment, so that their number must stay small; and every merge writes its items again,
so that an item must not be merged often. Size-tiered, as log-structured stores do it: segments of about one size that
follow one another become one of the next size, so that an item is written again but log(rows) times. Source: O'Neil et
al. 1996, The Log-Structured Merge-Tree; Cassandra's size-tiered compaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shardlake.catalog.base import MAX_SEGMENTS_PER_COMPACTION, Pointer, SegmentRow
from shardlake.limits import MAX_SEGMENT_BYTES, MAX_SEGMENT_ROWS

GROWTH = 2  # times as large as the largest of them is what segments become
FANOUT = 8  # segments of one size that become one of the next
MIN_ROWS_TO_BUILD = 50_000  # pending, for a build to begin by itself: what 10 ms of a core score
SHARE_TO_BUILD = 0.2  # of the version's rows, likewise: a build costs as much as the version is large
MAX_PENDING = 64  # segments: so many make a build due as well


def run_to_merge(pending: Sequence[SegmentRow]) -> Sequence[SegmentRow]:
    """Returns segments that follow one another and shall become one; empty where there are none.

    Args:
        pending: by sequence.
    """
    for tier in range(_tier(MAX_SEGMENT_ROWS) + 1):
        for run in _runs([row for row in pending if row.sequence], tier):
            if len(run) >= FANOUT and _grows(run):
                return run
    return ()


def builds_due(pending: Sequence[SegmentRow], pointer: Pointer | None) -> int:
    """Returns how many builds are due: from one on searches pay more for what is pending than a build costs.

    A second one is due where a whole build's worth more has come: the first has failed, or takes long.
    """
    rows = sum(row.rows for row in pending)
    built = pointer.rows if pointer else 0
    return int(max(len(pending) / MAX_PENDING, rows / max(MIN_ROWS_TO_BUILD, SHARE_TO_BUILD * built)))


def _grows(run: Sequence[SegmentRow]) -> bool:
    """Returns whether every item comes into a segment of at least twice the size: a large one is not written again for
    a few rows more."""
    return sum(row.rows for row in run) >= GROWTH * max(row.rows for row in run)


def _tier(rows: int) -> int:
    return int(math.log(max(rows, 1), FANOUT))


def _runs(pending: Sequence[SegmentRow], tier: int) -> Iterator[list[SegmentRow]]:
    """Yields the longest runs of segments of that tier or a smaller one that can be one segment."""
    run: list[SegmentRow] = []
    for row in pending:
        if run and not _fits(run, row, tier):
            yield run
            run = []
        if _tier(row.rows) <= tier:
            run.append(row)
    yield run


def _fits(run: Sequence[SegmentRow], row: SegmentRow, tier: int) -> bool:
    together = [*run, row]
    return (
        _tier(row.rows) <= tier
        and row.begins == run[-1].sequence + 1
        and len(together) <= MAX_SEGMENTS_PER_COMPACTION
        and sum(each.rows for each in together) <= MAX_SEGMENT_ROWS
        and sum(each.bytes for each in together) <= MAX_SEGMENT_BYTES
        and _have_one_encoder_a_space(together)
    )


def _have_one_encoder_a_space(rows: Sequence[SegmentRow]) -> bool:
    encoders: dict[str, str] = {}
    return all(encoders.setdefault(space, digest) == digest for row in rows for space, digest in row.encoders.items())
