"""Garbage: what is removed, what stays, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builder.collect import Collector, Patience
from builder.compact import compact
from builder.dropped import DroppedCollector
from builder.purge import purge
from builder.removal import Collected
from shardlake.catalog.base import Alias, CollectionRow, Receipt, ReceiptState
from shardlake.errors import NotFound
from shardlake.format import locations
from shardlake.testing import MemoryStore
from tests.fuses import Fuse, FusedCatalog, FusedStore, Killed
from tests.lake import NAME, UID, Lake, item, schema

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Days:
    """A clock of days."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def lake(tmp_path: Path, days: Days) -> Lake:
    return Lake(schema(), tmp_path, store=MemoryStore(now=days), now=days)


def collector(lake: Lake, days: Days, **patience: object) -> Collector:
    return Collector(lake.store, lake.catalog, days.now, Patience(**patience))  # type: ignore[arg-type]  # its fields


def collect(lake: Lake, days: Days, **patience: object) -> Collected:
    """Collects, and again a day later: what was found by the first one goes with the second."""
    first = collector(lake, days, **patience).collect(UID, NAME)
    days.now += DAY
    return first.plus(collector(lake, days, **patience).collect(UID, NAME))


def collect_dropped(lake: Lake, days: Days) -> Collected:
    return DroppedCollector(lake.store, lake.catalog, days.now, DAY).collect()


def build(lake: Lake, number: int) -> str:
    lake.add([item(f"i{number}", {"v": [1, 0, 0, number]})])
    version = lake.build(f"build-{number}").version
    assert version is not None
    return version


def folders(lake: Lake) -> set[str]:
    root = f"{locations.collection_root(UID)}versions/"
    return {key.removeprefix(root).split("/")[0] for key in lake.store.objects if key.startswith(root)}


def test_old_versions_go_and_the_newest_stay(lake: Lake, days: Days) -> None:
    made = []
    for number in range(1, 6):
        made.append(build(lake, number))
        days.now += DAY

    assert collector(lake, days, versions=2).collect(UID, NAME).versions == ()
    collected = collect(lake, days, versions=2)

    assert collected.versions == tuple(made[:3])
    assert folders(lake) == set(made[3:]) == {pointer.version for pointer in lake.catalog.versions(UID)}
    assert collected.objects > 0
    assert lake.ids(k=10) == [f"i{number}" for number in range(1, 6)]
    with pytest.raises(NotFound):
        lake.catalog.roll_back(UID, expected=made[-1], version=made[0])
    assert collector(lake, days, versions=2).collect(UID, NAME).objects == 0


def test_within_the_grace_period_nothing_goes(lake: Lake, days: Days) -> None:
    for number in range(1, 6):
        build(lake, number)
    before = dict(lake.store.objects)
    days.now += DAY / 2

    assert collector(lake, days, versions=1).collect(UID, NAME).objects == 0
    assert lake.store.objects == before
    assert [version.condemned_at for version in lake.catalog.versions(UID)] == [None] * 5


def test_the_version_that_was_gone_back_to_stays_whatever_its_age(lake: Lake, days: Days) -> None:
    made = []
    for number in range(1, 6):
        made.append(build(lake, number))
        days.now += DAY
    lake.catalog.roll_back(UID, expected=made[-1], version=made[0])
    days.now += DAY

    collected = collect(lake, days, versions=1)

    assert collected.versions == tuple(made[1:4])
    assert lake.ids(k=10) == ["i1"]


def test_what_a_merge_has_replaced_goes_and_what_the_log_has_stays(lake: Lake, days: Days) -> None:
    for number in range(3):
        lake.add([item(f"i{number}", {"v": [1, 0, 0, number]})])
    taken: list[object] = [lake.catalog.snapshot(UID).pending]

    def choose(pending: object) -> object:
        return taken.pop() if taken else ()

    compact(lake.store, lake.catalog, UID, lake.schema, choose, now=days.now)  # type: ignore[arg-type]
    days.now += 10 * DAY
    assert collector(lake, days).collect(UID, NAME).objects == 0  # a dead letter may still come
    days.now += 10 * DAY
    assert collector(lake, days).collect(UID, NAME).objects == 0  # whoever began before may still be reading
    days.now += DAY

    collected = collector(lake, days).collect(UID, NAME)

    assert collected.objects == 9  # items, delta and ids of three
    assert lake.ids(k=10) == ["i0", "i1", "i2"]
    assert build(lake, 9)
    assert lake.ids(k=10) == ["i0", "i1", "i2", "i9"]


def test_orphans_and_artefacts_go_after_their_time(lake: Lake, days: Days) -> None:
    build(lake, 1)
    root = locations.collection_root(UID)
    for key in ("segments/x.seg", "segments/x.ids", "versions/000009-zz/00000.shard", "builds/dead/rows-00000"):
        lake.store.put(root + key, b"x")
    before = len(lake.store.objects)
    assert collector(lake, days).collect(UID, NAME).objects == 0

    days.now += 2 * DAY
    assert collector(lake, days).collect(UID, NAME).objects == 2
    days.now += 15 * DAY
    assert collect(lake, days).objects == 2

    records = list(lake.store.list(locations.erasures_root(UID)))
    assert len(records) == 2
    assert len(lake.store.objects) == before - 4 + 2 + 1  # and the memory of what waits
    assert lake.ids(k=10) == ["i1"]


def test_a_dropped_collection_goes_whole_and_no_other(lake: Lake, days: Days) -> None:
    build(lake, 1)
    lake.catalog.create_collection(CollectionRow(name="other", uid="u2", body="{}", created_at="t"))
    lake.store.put("data/u2/segments/x.seg", b"x")
    lake.store.put("inbox/films/a.jsonl", b"x")
    lake.catalog.drop_collection(NAME)
    assert collect_dropped(lake, days).objects == 0
    days.now += 2 * DAY

    collected = collect_dropped(lake, days)

    assert collected.objects > 3
    assert sorted(lake.store.objects) == ["data/u2/segments/x.seg", "inbox/films/a.jsonl"]
    assert lake.catalog.pointer(UID) is None
    assert lake.catalog.segments(UID) == []


def _kill_after(count: int) -> Callable[[str], None]:
    left = [count]

    def delete(key: str) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1

    return delete


@pytest.mark.parametrize("count", range(8))
def test_a_collector_killed_anywhere_leaves_what_is_needed_and_the_next_one_ends_it(
    lake: Lake, days: Days, count: int
) -> None:
    for number in range(1, 5):
        build(lake, number)
        days.now += 2 * DAY
    delete, check = lake.store.delete, _kill_after(count)
    lake.store.delete = lambda key: (check(key), delete(key))[1]  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        collect(lake, days, versions=1)
    lake.store.delete = delete  # type: ignore[method-assign]
    assert lake.ids(k=10) == ["i1", "i2", "i3", "i4"]

    collector(lake, days, versions=1).collect(UID, NAME)

    assert folders(lake) == {pointer.version for pointer in lake.catalog.versions(UID)}
    assert len(folders(lake)) == 1
    assert lake.ids(k=10) == ["i1", "i2", "i3", "i4"]


def received(lake: Lake, days: Days, key: str, state: ReceiptState) -> str:
    """Writes a file to the inbox, with what became of it; returns its key."""
    lake.store.put(key, b"{}")
    at = days.now.isoformat()
    receipt = Receipt(source=key, etag="e", state=state, accepted=1, rejected=0, finished_at=at)
    lake.catalog.put_receipt(UID, receipt)
    return key


def test_batches_of_requests_go_once_they_are_in_and_other_files_stay(lake: Lake, days: Days) -> None:
    def name(uid: str, called: str) -> str:
        return locations.api_batch(NAME, locations.batch_id(uid, days.now.date(), called))

    done = received(lake, days, name(UID, "done"), ReceiptState.DONE)
    again = received(lake, days, name(UID, "again"), ReceiptState.DONE)
    failed = received(lake, days, name(UID, "failed"), ReceiptState.FAILED)
    dropped = received(lake, days, f"inbox/{NAME}/films.jsonl", ReceiptState.DONE)
    waits = name(UID, "waits")
    for key in (waits, name("another-incarnation", "x")):
        lake.store.put(key, b"{}")
    days.now += 14 * DAY
    lake.store.put(again, b"{}")  # and its event is still on its way
    young = received(lake, days, name(UID, "young"), ReceiptState.DONE)
    assert collector(lake, days).collect(UID, NAME).objects == 0
    days.now += 2 * DAY

    assert collector(lake, days).collect(UID, NAME).objects == 2
    days.now += 30 * DAY
    assert collector(lake, days).collect(UID, NAME).objects == 1  # the young one

    left = {info.key for info in lake.store.list("inbox/")}
    assert left == {again, failed, dropped, waits}
    assert {done, young}.isdisjoint(left)


def test_the_batches_of_a_dropped_collection_go_with_it(lake: Lake, days: Days) -> None:
    build(lake, 1)
    own = locations.api_batch(NAME, locations.batch_id(UID, days.now.date(), "x"))
    other = locations.api_batch("other", locations.batch_id("u2", days.now.date(), "x"))
    for key in (own, other):
        lake.store.put(key, b"{}")
    lake.catalog.drop_collection(NAME)
    days.now += 2 * DAY

    assert lake.catalog.dropped_collections()

    collect_dropped(lake, days)

    assert list(lake.store.objects) == [other]
    assert lake.catalog.dropped_collections() == []


def test_a_collection_that_was_dropped_before_it_took_anything_in_leaves_nothing(lake: Lake, days: Days) -> None:
    own = locations.api_batch(NAME, locations.batch_id(UID, days.now.date(), "x"))
    lake.store.put(own, b"{}")
    lake.catalog.drop_collection(NAME)
    assert collect_dropped(lake, days).objects == 0
    days.now += 2 * DAY

    assert collect_dropped(lake, days).objects == 1
    assert lake.store.objects == {}
    assert lake.catalog.dropped_collections() == []


@pytest.mark.parametrize("count", range(9))
def test_a_dropped_collection_goes_whole_though_its_collector_is_killed(lake: Lake, days: Days, count: int) -> None:
    build(lake, 1)
    lake.store.put(locations.api_batch(NAME, locations.batch_id(UID, days.now.date(), "x")), b"{}")
    lake.catalog.drop_collection(NAME)
    days.now += 2 * DAY
    before, after = Fuse(None, Killed), Fuse(count, Killed)
    catalog, store = FusedCatalog(lake.catalog, before, after), FusedStore(lake.store, before, after)
    with pytest.raises(Killed):
        DroppedCollector(store, catalog, days.now, DAY).collect()

    collect_dropped(lake, days)

    assert lake.store.objects == {}
    assert (lake.catalog.dropped_collections(), lake.catalog.versions(UID)) == ([], [])


def test_what_an_alias_lets_go_of_stays_for_the_grace_period(lake: Lake, days: Days) -> None:
    made = []
    for number in range(1, 4):
        made.append(build(lake, number))
        days.now += DAY
    live = Alias(alias="live", version=made[0], changed_at="t")
    lake.catalog.set_alias(UID, live, expected=None)
    days.now += 9 * DAY
    assert collect(lake, days, versions=1).versions == (made[1],)

    lake.catalog.set_alias(UID, replace(live, version=made[2]), expected=made[0])
    assert collector(lake, days, versions=1).collect(UID, NAME).versions == ()
    assert lake.catalog.roll_back(UID, expected=made[2], version=made[0]).version == made[0]
    lake.catalog.roll_back(UID, expected=made[0], version=made[2])

    assert collector(lake, days, versions=1).collect(UID, NAME).versions == ()
    assert collect(lake, days, versions=1).versions == (made[0],)


def test_the_shard_map_of_a_version_that_is_gone_goes_with_its_objects(lake: Lake, days: Days) -> None:
    build(lake, 1)
    left = replace(lake.shards[0], key=locations.shard(UID, "000009-zz", 0))
    lake.catalog._of(UID).shards["000009-zz"] = {0: left}
    lake.store.put(left.key, b"x")
    days.now += 2 * DAY

    assert collector(lake, days).collect(UID, NAME).objects == 1

    assert lake.catalog.shard_rows(UID, "000009-zz") == []


def test_segments_that_a_build_is_reading_outlive_a_purge(lake: Lake, days: Days) -> None:
    for number in range(4):
        build(lake, number)
        lake.add([item("i0", {"v": [1, 0, 0, number]})])
    days.now += 30 * DAY
    read = {row.key for row in lake.catalog.segments(UID) if not row.is_mark}
    collect(lake, days, versions=1)
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=days.now, min_share=0)

    assert collector(lake, days, versions=1).collect(UID, NAME).objects == 0
    assert read <= set(lake.store.objects)
    days.now += DAY
    assert collector(lake, days, versions=1).collect(UID, NAME).objects > 0
    assert not read <= set(lake.store.objects)
