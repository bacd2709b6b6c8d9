"""The laws of the catalog, for every adapter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from shardlake.catalog.base import (
    BuildRow,
    BuildState,
    Catalog,
    CollectionRow,
    LogHead,
    Pointer,
    Receipt,
    ReceiptState,
    SegmentRow,
    ShardRow,
    Snapshot,
)
from shardlake.errors import CommitUnknown, Conflict, ErrorKind, NotFound, Unavailable
from shardlake.limits import MAX_ZONE_MAPS_BYTES
from shardlake.testing import LostReplyCatalog

FILMS = CollectionRow(name="films", uid="films-1", body='{"spaces":{}}', created_at="2026-11-23T12:00:00Z")


def pointer_to(version: str, *, build_id: str = "") -> Pointer:
    return Pointer(
        version=version,
        manifest_key=f"data/u/versions/{version}/manifest.json",
        rows=5_000_000_000,
        bytes=7 * 10**12,
        shards=2,
        committed_at="2026-11-23T12:00:00Z",
        build_id=build_id or f"build-of-{version}",
    )


def shard_row(shard_id: int) -> ShardRow:
    return ShardRow(
        shard_id=shard_id,
        key=f"data/u/versions/v/{shard_id:05d}.shard",
        bytes=123_456_789_012,
        footer_offset=123_456_000_000,
        checksum="00ff00ff00ff00ff",
        rows=1_000_000,
        lists={"visual": (shard_id * 10, shard_id * 10 + 10), "text": (0, 4)},
        zone_maps={
            "stock": (-(2**63), 2**63 - 1),
            "price": (0.1, 1e300),
            "on_sale": (0, 1),
            "category": ("", "zürich ☂"),
        },
    )


def segment_row(number: int, *, order: str | None = None, sequence: int = 0) -> SegmentRow:
    return SegmentRow(
        sequence=sequence,
        segment_id=f"segment-{number:04d}",
        order=order or f"2026-11-23T12:00:00.{number:03d}#1#0",
        key=f"data/u/segments/{number}.seg",
        rows=number,
        bytes=number * 1_000,
        source=f"inbox/films/{number}.jsonl",
        created_at="2026-11-23T12:00:01Z",
    )


def receipt_of(source: str, *, etag: str = "e1", rejected: int = 0) -> Receipt:
    return Receipt(
        source=source,
        etag=etag,
        state=ReceiptState.DONE,
        accepted=7,
        rejected=rejected,
        finished_at="2026-11-23T12:00:02Z",
    )


def test_a_collection_is_created_once(catalog: Catalog) -> None:
    assert catalog.create_collection(FILMS) == (FILMS, True)
    again = replace(FILMS, uid="films-2", created_at="2026-11-24T00:00:00Z")

    assert catalog.create_collection(again) == (FILMS, False)
    assert catalog.get_collection("films") == FILMS


def test_a_name_with_another_body_is_taken(catalog: Catalog) -> None:
    catalog.create_collection(FILMS)

    with pytest.raises(Conflict) as caught:
        catalog.create_collection(replace(FILMS, uid="films-2", body='{"spaces":{"other":{}}}'))
    assert caught.value.kind is ErrorKind.NAME_TAKEN


def test_a_creation_whose_reply_was_lost_is_still_ours(catalog: Catalog) -> None:
    lossy = LostReplyCatalog(catalog)

    with pytest.raises(Unavailable):
        lossy.create_collection(FILMS)
    assert lossy.create_collection(FILMS) == (FILMS, True)


def test_of_twenty_creators_one_creates(catalog: Catalog) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(catalog.create_collection, [replace(FILMS, uid=f"films-{n}") for n in range(20)]))

    assert sum(created for _, created in answers) == 1
    assert len({row.uid for row, _ in answers}) == 1


def test_an_absent_collection_is_not_found(catalog: Catalog) -> None:
    for ask in (catalog.get_collection, catalog.drop_collection):
        with pytest.raises(NotFound) as caught:
            ask("nothing")
        assert caught.value.kind is ErrorKind.COLLECTION_NOT_FOUND


def test_collections_are_listed_by_name(catalog: Catalog) -> None:
    for name in ("b", "a", "c-1", "c"):
        catalog.create_collection(replace(FILMS, name=name, uid=f"uid-{name}"))

    assert [row.name for row in catalog.list_collections()] == ["a", "b", "c", "c-1"]


def test_a_dropped_and_recreated_collection_shares_nothing(catalog: Catalog) -> None:
    catalog.create_collection(FILMS)
    catalog.commit("films-1", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(0)])
    catalog.append("films-1", segment_row(1), head=LogHead())
    catalog.put_receipt("films-1", receipt_of("inbox/films/1.jsonl", rejected=3))

    assert catalog.drop_collection("films") == FILMS
    assert catalog.list_collections() == []
    fresh, created = catalog.create_collection(replace(FILMS, uid="films-2"))

    assert created
    assert catalog.pointer(fresh.uid) is None
    assert catalog.versions(fresh.uid) == []
    assert catalog.segments(fresh.uid) == []
    assert catalog.log_head(fresh.uid) == LogHead()
    assert catalog.snapshot(fresh.uid) == Snapshot(pointer=None)
    assert catalog.receipts(fresh.uid, ["inbox/films/1.jsonl"]) == {}
    assert catalog.rejected_total(fresh.uid) == 0
    assert catalog.pointer("films-1") == pointer_to("000001-a")  # rows of the old one stay, for whoever still reads it


def test_before_the_first_build_there_is_no_pointer(catalog: Catalog) -> None:
    assert catalog.pointer("u") is None
    assert catalog.versions("u") == []
    assert catalog.shard_rows("u", "000001-a") == []


def test_a_rollback_makes_an_earlier_version_current_and_loses_none(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(0)])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[shard_row(1)])

    assert catalog.roll_back("u", expected="000002-b", version="000001-a") == pointer_to("000001-a")

    assert catalog.pointer("u") == pointer_to("000001-a")
    assert catalog.versions("u") == [pointer_to("000001-a"), pointer_to("000002-b")]
    assert catalog.shard_rows("u", "000002-b") == [shard_row(1)]
    assert catalog.roll_back("u", expected="000001-a", version="000002-b") == pointer_to("000002-b")  # and forward


def test_a_rollback_to_a_version_that_never_was_is_not_found(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])

    with pytest.raises(NotFound) as caught:
        catalog.roll_back("u", expected="000001-a", version="000002-b")
    assert caught.value.kind is ErrorKind.VERSION_NOT_FOUND
    assert catalog.pointer("u") == pointer_to("000001-a")


def test_a_rollback_from_elsewhere_is_a_conflict_and_from_its_own_end_none(catalog: Catalog) -> None:
    for number, version in enumerate(["000001-a", "000002-b", "000003-c"]):
        expected = catalog.versions("u")[-1].version if number else None
        catalog.commit("u", expected=expected, pointer=pointer_to(version), shards=[])

    with pytest.raises(Conflict) as caught:
        catalog.roll_back("u", expected="000002-b", version="000001-a")
    assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    assert catalog.roll_back("u", expected="000002-b", version="000003-c") == pointer_to("000003-c")
    assert catalog.pointer("u") == pointer_to("000003-c")


def test_a_build_that_was_begun_before_a_rollback_does_not_undo_it(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[])
    catalog.roll_back("u", expected="000002-b", version="000001-a")

    with pytest.raises(Conflict):
        catalog.commit("u", expected="000002-b", pointer=pointer_to("000003-c"), shards=[])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000003-d"), shards=[])
    assert catalog.pointer("u") == pointer_to("000003-d")


def test_a_rollback_whose_reply_was_lost_is_repeated(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[])
    lossy = LostReplyCatalog(catalog)

    with pytest.raises(CommitUnknown):
        lossy.roll_back("u", expected="000002-b", version="000001-a")
    assert lossy.roll_back("u", expected="000002-b", version="000001-a") == pointer_to("000001-a")


def test_a_commit_moves_the_pointer_and_keeps_the_map(catalog: Catalog) -> None:
    rows = [shard_row(number) for number in (11, 2, 0)]
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=rows)
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[])

    assert catalog.pointer("u") == pointer_to("000002-b")
    assert catalog.versions("u") == [pointer_to("000001-a"), pointer_to("000002-b")]
    assert catalog.shard_rows("u", "000001-a") == sorted(rows, key=lambda row: row.shard_id)
    assert catalog.shard_rows("u", "000002-b") == []


def test_a_map_of_five_hundred_shards_comes_back_whole(catalog: Catalog) -> None:
    rows = [replace(shard_row(number), zone_maps={"tag": ("a" * 1_000, "b" * 1_000)}) for number in range(512)]
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=rows)

    assert catalog.shard_rows("u", "000001-a") == rows


@pytest.mark.parametrize("expected", [None, "000009-z"])
def test_a_commit_from_elsewhere_is_a_conflict_and_changes_nothing(catalog: Catalog, expected: str | None) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])

    with pytest.raises(Conflict) as caught:
        catalog.commit("u", expected=expected, pointer=pointer_to("000002-b"), shards=[shard_row(0)])
    assert caught.value.kind is ErrorKind.COMMIT_CONFLICT
    assert catalog.pointer("u") == pointer_to("000001-a")
    assert catalog.versions("u") == [pointer_to("000001-a")]


def test_of_twenty_committers_one_wins(catalog: Catalog) -> None:
    def commit(number: int) -> int | None:
        try:
            catalog.commit("u", expected=None, pointer=pointer_to(f"000001-{number:02d}"), shards=[shard_row(number)])
        except Conflict:
            return None
        return number

    with ThreadPoolExecutor(20) as pool:
        winners = [number for number in pool.map(commit, range(20)) if number is not None]

    assert len(winners) == 1
    won = pointer_to(f"000001-{winners[0]:02d}")
    assert catalog.pointer("u") == won
    assert catalog.versions("u") == [won]
    assert catalog.shard_rows("u", won.version) == [shard_row(winners[0])]


def test_a_commit_that_landed_but_was_reported_lost_is_not_repeated(catalog: Catalog) -> None:
    lossy = LostReplyCatalog(catalog, operations=frozenset({"commit"}))
    with pytest.raises(CommitUnknown):
        lossy.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(0)])

    later = replace(pointer_to("000001-a"), committed_at="2027-01-01T00:00:00Z")
    lossy.commit("u", expected=None, pointer=later, shards=[shard_row(0), shard_row(1)])

    assert catalog.pointer("u") == pointer_to("000001-a")
    assert catalog.shard_rows("u", "000001-a") == [shard_row(0)]


def test_a_repeated_commit_does_not_move_a_pointer_back(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])
    catalog.commit("u", expected="000001-a", pointer=pointer_to("000002-b"), shards=[])

    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[])

    assert catalog.pointer("u") == pointer_to("000002-b")


def test_a_version_belongs_to_one_build(catalog: Catalog) -> None:
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[shard_row(0)])

    with pytest.raises(Conflict):
        catalog.commit("u", expected="000001-a", pointer=pointer_to("000001-a", build_id="other"), shards=[])
    assert catalog.shard_rows("u", "000001-a") == [shard_row(0)]


def test_zone_maps_that_are_too_long_are_left_out_and_never_cut(catalog: Catalog) -> None:
    long = {f"a{number:03d}": ("x" * 1_024, "y" * 4_096) for number in range(64)}
    row = replace(shard_row(0), zone_maps={"stock": (1, 2), **long})
    catalog.commit("u", expected=None, pointer=pointer_to("000001-a"), shards=[row])

    (kept,) = catalog.shard_rows("u", "000001-a")

    assert kept.zone_maps["stock"] == (1, 2)
    assert 1 < len(kept.zone_maps) < len(row.zone_maps)
    assert all(row.zone_maps[name] == zone for name, zone in kept.zone_maps.items())
    assert sum(len(str(zone)) for zone in kept.zone_maps.values()) < MAX_ZONE_MAPS_BYTES


def test_the_newest_receipt_of_a_file_stands(catalog: Catalog) -> None:
    catalog.put_receipt("u", receipt_of("inbox/films/a", rejected=5))
    catalog.put_receipt("u", receipt_of("inbox/films/a", rejected=5))
    catalog.put_receipt("u", receipt_of("inbox/films/b", rejected=2))
    assert catalog.rejected_total("u") == 7

    newer = receipt_of("inbox/films/a", etag="e2")
    catalog.put_receipt("u", newer)

    assert catalog.receipts("u", ["inbox/films/a"]) == {"inbox/films/a": newer}
    assert catalog.rejected_total("u") == 2


def test_a_failed_receipt_says_why(catalog: Catalog) -> None:
    receipt = replace(receipt_of("a"), state=ReceiptState.FAILED, error='{"kind":"invalid-file"}')
    catalog.put_receipt("u", receipt)

    assert catalog.receipts("u", ["a"]) == {"a": receipt}


def test_receipts_are_found_among_five_hundred_keys_of_any_length(catalog: Catalog) -> None:
    long = "inbox/films/" + "ü" * 500  # 1,012 bytes: longer than a sort key with its prefix may be
    for source in ("inbox/films/a", long):
        catalog.put_receipt("u", receipt_of(source))
    asked = ["inbox/films/a", "inbox/films/a", long, *(f"inbox/films/no-{number}" for number in range(500))]

    assert catalog.receipts("u", asked) == {source: receipt_of(source) for source in ("inbox/films/a", long)}
    assert catalog.receipts("u", []) == {}


QUEUED = BuildRow(
    build_id="b1",
    state=BuildState.QUEUED,
    progress=0.0,
    stage="",
    version=None,
    error=None,
    created_at="2026-11-23T12:00:00Z",
    updated_at="2026-11-23T12:00:00Z",
)


def test_a_build_is_as_last_written(catalog: Catalog) -> None:
    row = QUEUED
    done = replace(row, state=BuildState.DONE, progress=1 / 3, stage="commit", version="000001-a", error="{}")
    catalog.put_build("u", row)
    assert catalog.get_build("u", "b1") == row

    catalog.put_build("u", done)

    assert catalog.get_build("u", "b1") == done
    with pytest.raises(NotFound) as caught:
        catalog.get_build("u", "b2")
    assert caught.value.kind is ErrorKind.BUILD_NOT_FOUND


def test_progress_of_a_build_never_goes_back(catalog: Catalog) -> None:
    early, late = (replace(QUEUED, state=BuildState.RUNNING, progress=done) for done in (0.25, 0.5))

    assert catalog.report_build("u", early)
    assert catalog.report_build("u", late)
    assert catalog.report_build("u", late)
    assert not catalog.report_build("u", early)

    assert catalog.get_build("u", "b1") == late


@pytest.mark.parametrize("end", [BuildState.DONE, BuildState.FAILED])
def test_a_late_report_does_not_undo_the_end_of_a_build(catalog: Catalog, end: BuildState) -> None:
    ended = replace(QUEUED, state=end, progress=0.5)
    catalog.put_build("u", ended)

    assert not catalog.report_build("u", replace(QUEUED, state=BuildState.RUNNING, progress=0.9))

    assert catalog.get_build("u", "b1") == ended
