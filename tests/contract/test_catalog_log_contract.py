"""The laws of the log of segments, for every adapter of the catalog."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from shardlake.catalog.base import Catalog, DeltaRow, LogHead, SegmentRow, Snapshot
from shardlake.errors import Conflict, ErrorKind, NotFound, Unavailable
from shardlake.testing import LostReplyCatalog, add_segment
from tests.contract.test_catalog_contract import pointer_to, receipt_of, segment_row, shard_row


def add(catalog: Catalog, row: SegmentRow) -> SegmentRow:
    return add_segment(catalog, "u", row)


def test_the_log_has_segments_in_the_order_they_were_added(catalog: Catalog) -> None:
    assert catalog.log_head("u") == LogHead(sequence=0, newest="")

    assert catalog.append("u", segment_row(1, order="b"), head=LogHead()) == segment_row(1, order="b", sequence=1)
    assert catalog.log_head("u") == LogHead(sequence=1, newest="b")
    assert add(catalog, segment_row(2, order="a")).sequence == 2

    assert catalog.log_head("u") == LogHead(sequence=2, newest="b")
    assert catalog.segments("u") == [segment_row(1, order="b", sequence=1), segment_row(2, order="a", sequence=2)]
    assert catalog.segments("u", after=1) == [segment_row(2, order="a", sequence=2)]
    assert catalog.segments("u", after=2) == []


def test_a_segment_is_added_once_wherever_the_log_ends(catalog: Catalog) -> None:
    first = add(catalog, segment_row(1))
    add(catalog, segment_row(2))
    again = replace(segment_row(1, order="later"), segment_id="another", identity="segment-0001")

    assert catalog.append("u", segment_row(1), head=LogHead()) == first
    assert add(catalog, again) == first

    assert [row.sequence for row in catalog.segments("u")] == [1, 2]


def test_a_segment_is_not_added_behind_an_end_that_has_moved(catalog: Catalog) -> None:
    seen = catalog.log_head("u")
    add(catalog, segment_row(1))

    with pytest.raises(Conflict) as caught:
        catalog.append("u", segment_row(2), head=seen)
    assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    assert [row.segment_id for row in catalog.segments("u")] == ["segment-0001"]


def test_a_segment_comes_back_with_all_that_is_known_of_it(catalog: Catalog) -> None:
    delta = DeltaRow(
        rows=3,
        bytes=10_000,
        footer_offset=9_000,
        checksum="00ff",
        zone_maps={"stock": (-1, 2**63 - 1), "category": ("", "zürich ☂")},
        summaries={"stock": {"present": 3, "missing": 0, "quantiles": [-1, 253402300799999999]}},
    )
    row = replace(segment_row(1), encoders={"visual": "abc"}, delta=delta, ids_bytes=77, identity="x")

    add(catalog, row)

    assert catalog.segments("u") == [replace(row, sequence=1)]


def test_segments_come_in_order_however_many_writers(catalog: Catalog) -> None:
    rows = [segment_row(number, order=f"{(number * 7) % 10}") for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda row: add(catalog, row), rows))

    assert sorted(row.sequence for row in added) == list(range(1, 41))
    assert catalog.segments("u") == sorted(added, key=lambda row: row.sequence)
    assert catalog.log_head("u") == LogHead(sequence=40, newest="9")


def test_rows_are_more_than_a_page(catalog: Catalog) -> None:
    rows = [add(catalog, replace(segment_row(number), source="s" * 10_000)) for number in range(150)]  # a page is 1 MB

    assert catalog.segments("u") == rows
    assert catalog.snapshot("u") == Snapshot(pointer=None, pending=tuple(rows))


def test_an_addition_whose_reply_was_lost_is_found_again(catalog: Catalog) -> None:
    lossy = LostReplyCatalog(catalog, operations=frozenset({"append"}))
    with pytest.raises(Unavailable):
        lossy.append("u", segment_row(1), head=LogHead())

    assert add(lossy, segment_row(1)) == segment_row(1, sequence=1)  # type: ignore[arg-type]  # a catalog by shape
    assert catalog.log_head("u").sequence == 1


def test_a_commit_begun_before_a_rollback_there_and_back_is_a_conflict(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[])
    add(catalog, segment_row(1))
    catalog.roll_back("u", expected="000002-b", version="000001-a")
    back = catalog.roll_back("u", expected="000001-a", version="000002-b")
    assert back.skipped == ((1, 1),)

    begun_before = replace(pointer_to("000003-c"), through=1)
    with pytest.raises(Conflict):
        catalog.commit("u", expected="000002-b", pointer=begun_before, shards=[])
    assert catalog.pointer("u") == back

    catalog.commit("u", expected="000002-b", pointer=replace(begun_before, skipped=back.skipped), shards=[])
    assert catalog.snapshot("u").pending == ()


def test_a_version_that_is_not_current_can_be_forgotten(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(n) for n in range(30)])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[shard_row(1)])

    catalog.forget_version("u", "000001-a")
    catalog.forget_version("u", "000001-a")

    assert catalog.versions("u") == [pointer_to("000002-b")]
    assert catalog.shard_rows("u", "000001-a") == []
    with pytest.raises(NotFound):
        catalog.roll_back("u", expected="000002-b", version="000001-a")
    with pytest.raises(Conflict):
        catalog.forget_version("u", "000002-b")
    assert catalog.shard_rows("u", "000002-b") == [shard_row(1)]


def test_a_dropped_collection_can_be_forgotten_whole(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(0)])
    add(catalog, segment_row(1))
    catalog.put_receipt("u", receipt_of("inbox/films/1.jsonl", rejected=3))

    catalog.forget_collection("u")

    assert catalog.pointer("u") is None
    assert catalog.versions("u") == []
    assert catalog.shard_rows("u", "000001-a") == []
    assert catalog.segments("u") == []
    assert catalog.log_head("u") == LogHead()
    assert catalog.rejected_total("u") == 0
    assert add(catalog, segment_row(1)).sequence == 1  # nor is it known any more


def test_compaction_puts_one_segment_in_the_place_of_several(catalog: Catalog) -> None:
    rows = [add(catalog, segment_row(number)) for number in range(1, 6)]
    merged = replace(segment_row(99), identity="merged")

    assert catalog.compact("u", rows[1:4], merged) == replace(merged, sequence=4, first=2)

    left = [rows[0], replace(merged, sequence=4, first=2), rows[4]]
    assert catalog.segments("u") == left
    assert catalog.snapshot("u") == Snapshot(pointer=None, pending=tuple(left))
    assert catalog.log_head("u").sequence == 5
    assert catalog.compact("u", rows[1:4], merged) == left[1]  # a repetition
    again = catalog.compact("u", left[:2], replace(segment_row(98), identity="all"))
    assert (again.first, again.sequence) == (1, 4)
    assert add(catalog, segment_row(6)).sequence == 6


def test_what_was_merged_is_still_known(catalog: Catalog) -> None:
    rows = [add(catalog, segment_row(number)) for number in range(1, 4)]
    merged = catalog.compact("u", rows[:2], segment_row(99))

    assert add(catalog, segment_row(1)) == merged
    assert add(catalog, segment_row(2)) == merged
    assert add(catalog, segment_row(3)) == rows[2]
    assert catalog.segments("u") == [merged, rows[2]]


def test_compaction_of_what_is_not_there_any_more_is_a_conflict(catalog: Catalog) -> None:
    rows = [add(catalog, segment_row(number)) for number in range(1, 4)]
    merged = catalog.compact("u", rows[:2], segment_row(99))

    with pytest.raises(Conflict) as caught:
        catalog.compact("u", rows[1:], segment_row(98))
    assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    assert catalog.segments("u") == [merged, rows[2]]


def test_a_compaction_whose_reply_was_lost_has_landed(catalog: Catalog) -> None:
    rows = [add(catalog, segment_row(number)) for number in range(1, 4)]
    lossy = LostReplyCatalog(catalog, operations=frozenset({"compact"}))
    with pytest.raises(Unavailable):
        lossy.compact("u", rows, segment_row(99))

    assert lossy.compact("u", rows, segment_row(99)) == replace(segment_row(99), sequence=3, first=1)
    assert [row.segment_id for row in catalog.segments("u")] == ["segment-0099"]


def test_pending_is_what_the_current_version_does_not_hold(catalog: Catalog) -> None:
    rows = [add(catalog, segment_row(number)) for number in (1, 2, 3)]
    assert catalog.snapshot("u") == Snapshot(pointer=None, pending=tuple(rows))

    built = replace(pointer_to("000001-a"), through=2)
    catalog.commit("u", expected=None, pointer=built, shards=[])

    assert catalog.snapshot("u") == Snapshot(pointer=built, pending=(rows[2],))
    assert catalog.snapshot("u").sequence == 3

    rows.append(add(catalog, segment_row(4)))
    newer = replace(pointer_to("000002-b"), through=4)
    catalog.commit("u", expected="000001-a", pointer=newer, shards=[])
    assert catalog.snapshot("u") == Snapshot(pointer=newer)
    assert catalog.snapshot("u").sequence == 4


def test_a_rollback_sets_aside_what_the_log_has_got_since(catalog: Catalog) -> None:
    add(catalog, segment_row(1))
    catalog.commit("u", expected=None, pointer=replace(pointer_to("000001-a"), through=1), shards=[])
    add(catalog, segment_row(2))
    catalog.commit("u", expected="000001-a", pointer=replace(pointer_to("000002-b"), through=2), shards=[])
    add(catalog, segment_row(3))

    back = catalog.roll_back("u", expected="000002-b", version="000001-a")

    assert back == replace(pointer_to("000001-a"), through=1, skipped=((2, 3),))
    assert catalog.snapshot("u") == Snapshot(pointer=back)
    assert catalog.versions("u")[0].skipped == ()  # the version itself is as it was

    later = add(catalog, segment_row(4))
    assert catalog.roll_back("u", expected="000002-b", version="000001-a") == back  # a repetition sets nothing aside
    assert catalog.snapshot("u") == Snapshot(pointer=back, pending=(later,))

    built = replace(pointer_to("000003-c"), through=4, skipped=back.skipped)
    catalog.commit("u", expected="000001-a", pointer=built, shards=[])
    assert catalog.snapshot("u") == Snapshot(pointer=built)
    assert catalog.roll_back("u", expected="000003-c", version="000002-b") == replace(
        pointer_to("000002-b"), through=2, skipped=((3, 4),)
    )
