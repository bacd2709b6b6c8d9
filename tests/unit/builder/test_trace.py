"""Where an item still lies: what a trace finds, why it is there, and what was done to remove it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.collect import Collector, Patience
from builder.compact import compact
from builder.erasures import record
from builder.purge import purge
from builder.trace import Holds, Inbox, KeptBy, Trace, Tracer
from builder.trace_steps import Past, Step, _read
from shardlake.catalog.base import Alias, BuildState
from shardlake.format import locations
from shardlake.format.container import Container
from shardlake.format.erasures import ERASURE_KIND, Deed, Erasure, decode_erasure, digest_of, encode_erasure, window
from shardlake.testing import CountingStore, MemoryStore
from shardlake.types import AttributeType
from tests.fuses import Fuse, FusedStore, Killed
from tests.lake import EPOCH, NAME, UID, Lake, item, schema

DAY = timedelta(days=1)
PATIENCE = Patience(versions=1)


class Days:
    """A clock of days. It begins when the segments of a lake are written."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat(EPOCH)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def lake(tmp_path: Path, days: Days) -> Lake:
    return Lake(schema(), tmp_path, store=MemoryStore(now=days), now=days)


def put(lake: Lake, *names: str) -> None:
    lake.add([item(name, {"v": [1, 0, 0, len(name)]}) for name in names])


def build(lake: Lake, number: int) -> str:
    row = lake.build(f"build-{number}")
    assert row.state is BuildState.DONE
    assert row.version is not None
    return row.version


def tracer(lake: Lake, days: Days, page_objects: int = 500) -> Tracer:
    return Tracer(
        store=lake.store,
        catalog=lake.catalog,
        uid=UID,
        name=NAME,
        now=days.now,
        patience=PATIENCE,
        page_objects=page_objects,
    )


def trace(lake: Lake, days: Days, item_id: str) -> Trace:
    return tracer(lake, days).trace(item_id)


def steps_of(traced: Trace) -> tuple[Step, ...]:
    assert traced.past is not None
    assert (traced.past.since, traced.past.unreadable) == (None, 0)
    return traced.past.steps


def tidy(lake: Lake, days: Days) -> None:
    """Collects and purges as after a build, and again a day later."""
    for _ in range(2):
        Collector(lake.store, lake.catalog, days.now, PATIENCE).collect(UID, NAME)
        days.now += DAY
    purge(lake.store, lake.catalog, UID, lake.schema, now=days.now, min_share=0)


def found(traced: Trace) -> set[tuple[str, str, str]]:
    """Returns what holds something, as (kind of object, what, why)."""
    return {(one.object.split("/")[2], one.holds, one.kept_by) for one in traced.holders}


def test_an_item_that_lives_is_in_the_log_and_in_the_current_version(lake: Lake, days: Days) -> None:
    put(lake, "a", "b")
    assert found(trace(lake, days, "a")) == {("segments", "item", "log"), ("segments", "id", "log")}
    build(lake, 1)

    traced = trace(lake, days, "a")

    assert found(traced) == {
        ("segments", "item", "log"),
        ("segments", "id", "log"),
        ("versions", "item", "current"),
    }
    assert steps_of(traced) == ()
    assert traced.next is None
    assert found(trace(lake, days, "c")) == set()
    assert trace(lake, days, "c").looked_through == traced.looked_through == 4


def test_a_deletion_is_followed_to_the_object_that_was_removed_last(lake: Lake, days: Days) -> None:
    put(lake, "a", "secret")
    put(lake, "b")
    old = build(lake, 1)
    days.now += DAY
    lake.delete("secret")
    current = build(lake, 2)
    assert ("versions", "item", "history") in found(trace(lake, days, "secret"))
    days.now += 2 * DAY
    tidy(lake, days)  # the first version goes, then the segments are written again
    traced = trace(lake, days, "secret")
    assert {one.what for one in steps_of(traced)} == {Deed.REPLACED, Deed.FORGOTTEN, Deed.REMOVED}
    left = [one for one in traced.holders if one.holds is Holds.ITEM]
    assert [one.kept_by for one in left] == [KeptBy.GRACE] * 2  # items and delta of the old segment
    assert {one.until for one in left} == {"2026-12-09T12:00:00.000Z"}

    days.now += 20 * DAY
    tidy(lake, days)
    days.now += 20 * DAY
    tidy(lake, days)

    traced = trace(lake, days, "secret")
    assert found(traced) == set()
    steps = [(one.what, one.versions, len(one.objects)) for one in steps_of(traced)]
    assert (Deed.FORGOTTEN, (old,), 0) in steps
    gone = {key for one in steps_of(traced) for key in one.objects}
    assert {key.split("/")[2] for key in gone} == {"segments", "versions"}
    assert locations.segment(UID, "segment-0001") in gone
    assert not any(key.startswith(locations.version_root(UID, current)) for key in gone)
    assert gone.isdisjoint(lake.store.objects)
    assert [one.at for one in steps_of(traced)] == sorted(one.at for one in steps_of(traced))
    assert steps_of(trace(lake, days, "never")) == ()
    assert lake.ids(k=10) == ["a", "b"]


def test_an_item_that_expires_is_followed_like_a_deleted_one(tmp_path: Path, days: Days) -> None:
    timed = schema(attributes={"ends": AttributeType.DATETIME}, ttl="ends")
    lake = Lake(timed, tmp_path, store=MemoryStore(now=days), now=days)
    lake.add([item("secret", {"v": [1, 0, 0, 1]}, ends=(days.now + DAY).isoformat()), item("b")])
    old = build(lake, 1)
    days.now += 2 * DAY
    tidy(lake, days)  # the version that has it is the current one
    assert [one.what for one in steps_of(trace(lake, days, "secret"))] == [Deed.REPLACED]
    assert steps_of(trace(lake, days, "b")) == ()
    build(lake, 2)
    days.now += 2 * DAY
    tidy(lake, days)
    assert (Deed.FORGOTTEN, (old,)) in [(one.what, one.versions) for one in steps_of(trace(lake, days, "secret"))]
    days.now += 20 * DAY
    for _ in range(3):
        tidy(lake, days)
        days.now += 20 * DAY

    traced = trace(lake, days, "secret")

    assert found(traced) == set()
    gone = {key for one in steps_of(traced) for key in one.objects}
    assert {key.split("/")[2] for key in gone} == {"segments", "versions"}
    assert not [key for key, body in lake.store.objects.items() if b"secret" in body]
    assert lake.ids(k=10) == ["b"]


def test_an_id_is_in_no_record_as_it_was_written(lake: Lake, days: Days) -> None:
    test_a_deletion_is_followed_to_the_object_that_was_removed_last(lake, days)

    assert not [key for key, body in lake.store.objects.items() if b"secret" in body]


def test_a_version_with_an_alias_keeps_what_it_has(lake: Lake, days: Days) -> None:
    put(lake, "a", "secret")
    old = build(lake, 1)
    lake.catalog.set_alias(UID, Alias(alias="live", version=old, changed_at="t"), expected=None)
    lake.delete("secret")
    assert build(lake, 2)
    days.now += 30 * DAY
    tidy(lake, days)

    traced = trace(lake, days, "secret")

    assert ("versions", "item", "alias") in found(traced)
    assert not [one for one in steps_of(traced) if one.what is Deed.FORGOTTEN]
    assert not [key for key, body in lake.store.objects.items() if b'"what":"forgotten"' in body]


def test_what_was_written_down_and_did_not_come_to_pass_counts_for_nothing(lake: Lake, days: Days) -> None:
    put(lake, "a")
    version = build(lake, 1)
    key = locations.segment(UID, "segment-0001")
    told = {"ids": digest_of("a").reshape(1, 2), "of": np.zeros(1, np.uint32), "at": "2026-11-24T00:00:00.000Z"}
    told |= {"objects": (key,)}
    record(lake.store, UID, Erasure(what=Deed.REPLACED, into="x", begins=1, floor=9, **told))  # type: ignore[arg-type]
    record(lake.store, UID, Erasure(what=Deed.REMOVED, **told))  # type: ignore[arg-type]
    record(lake.store, UID, Erasure(what=Deed.FORGOTTEN, at="2026-11-24", versions=((version, 1),)))

    assert steps_of(trace(lake, days, "a")) == ()

    lake.store.delete(key)
    assert [one.what for one in steps_of(trace(lake, days, "a"))] == [Deed.REMOVED]


def test_what_compaction_replaced_is_told_when_it_is_removed(lake: Lake, days: Days) -> None:
    put(lake, "a")
    put(lake, "b")
    taken: list[object] = [lake.catalog.snapshot(UID).pending]

    def choose(pending: object) -> object:
        return taken.pop() if taken else ()

    compact(lake.store, lake.catalog, UID, lake.schema, choose, now=days.now)  # type: ignore[arg-type]
    assert ("segments", "item", "grace") in found(trace(lake, days, "a"))
    days.now += 16 * DAY
    tidy(lake, days)

    traced = trace(lake, days, "a")

    assert found(traced) == {("segments", "item", "log"), ("segments", "id", "log")}
    assert [(one.what, one.objects) for one in steps_of(traced)] == [
        (Deed.REMOVED, (locations.segment(UID, "segment-0001"),))
    ]


def test_pages_together_are_what_one_page_is(lake: Lake, days: Days) -> None:
    for number in range(4):
        put(lake, "a", f"i{number}")
        build(lake, number)
    whole = trace(lake, days, "a")

    pages, after = [], None
    while not pages or after is not None:
        pages.append(tracer(lake, days, page_objects=3).trace("a", after))
        after = pages[-1].next

    assert len(pages) == -(-whole.looked_through // 3)
    assert [one for page in pages for one in page.holders] == list(whole.holders)
    assert sum(page.looked_through for page in pages) == whole.looked_through


def test_what_cannot_be_looked_into_may_have_it(lake: Lake, days: Days) -> None:
    put(lake, "a")
    root = locations.collection_root(UID)
    for key in ("segments/x.seg", "segments/x.ids", "versions/000009-zz/00000.shard", "builds/dead/rows-00000"):
        lake.store.put(root + key, b"x")
    lake.store.put(f"{root}versions/000009-zz/manifest.json", b"a")

    assert found(trace(lake, days, "b")) == {
        ("segments", "unknown", "grace"),
        ("versions", "unknown", "grace"),
        ("builds", "unknown", "build"),
    }


def test_requests_in_the_inbox_are_counted(lake: Lake, days: Days) -> None:
    lake.store.put(f"inbox/{NAME}/.api/b.jsonl", b"{}")
    days.now += DAY
    lake.store.put(f"inbox/{NAME}/.api/c.jsonl", b"{}")

    traced = trace(lake, days, "a")

    assert traced.beside == Inbox(batches=2, oldest="2026-11-23T12:00:00.000Z")


def test_a_record_is_read_as_it_was_written() -> None:
    ids = np.stack([digest_of("a"), digest_of("b"), digest_of("a")])
    written = Erasure(
        what=Deed.REPLACED,
        at="t",
        objects=("x", "y", "z"),
        ids=ids,
        of=np.asarray([0, 1, 2], np.uint32),
        into="w",
        begins=3,
        floor=7,
        versions=(("v", 2),),
    )

    file = Container(encode_erasure(written), ERASURE_KIND)
    read = decode_erasure(file.meta, file.array("id"), file.array("of"))

    assert read.had(digest_of("a")) == ("x", "z")
    assert read.had(digest_of("c")) == ()
    assert read.objects == written.objects
    assert (read.what, read.into, read.begins, read.floor, read.versions) == (Deed.REPLACED, "w", 3, 7, (("v", 2),))


@given(st.integers(0, 3_000), st.integers(0, 2**32))
def test_an_id_among_many_lies_in_its_window(rows: int, seed: int) -> None:
    names = [f"{seed}-{number}" for number in range(rows)]
    ids = np.stack([digest_of(name) for name in names]) if names else np.empty((0, 2), np.uint64)
    made = Erasure(what=Deed.REMOVED, at="t", objects=("x",), ids=ids, of=np.zeros(rows, np.uint32)).sorted_by_id()

    assert (np.diff(made.ids[:, 0].astype(object)) >= 0).all()
    for name in [*names[:5], "none"]:
        first, last = window(digest_of(name), rows)
        assert 0 <= first <= last <= rows
        inside = (made.ids[first:last] == digest_of(name)).all(axis=1).sum()
        assert inside == (made.ids == digest_of(name)).all(axis=1).sum()


def test_an_id_of_a_large_record_is_found_by_small_reads() -> None:
    ids = np.stack([digest_of(f"i{number}") for number in range(20_000)])
    store = MemoryStore()
    made = Erasure(what=Deed.REMOVED, at="t", objects=("x",), ids=ids, of=np.zeros(20_000, np.uint32))
    store.put("e", encode_erasure(made))
    lopsided = np.array(ids)
    lopsided[:, 0] = np.arange(20_000)  # no digests: whatever they are, they are found
    store.put("l", encode_erasure(replace(made, ids=lopsided)))
    counting = CountingStore(store)

    assert all(_read(counting, digest_of(f"i{n}"), "e").had == ("x",) for n in range(100))  # type: ignore[union-attr]
    assert _read(counting, digest_of("none"), "e").had == ()  # type: ignore[union-attr]
    assert counting.bytes_read < 101 * 120_000
    assert all(_read(store, lopsided[n], "l").had == ("x",) for n in (0, 7, 19_999))  # type: ignore[union-attr]


def test_a_record_that_cannot_be_read_is_counted(lake: Lake, days: Days) -> None:
    put(lake, "a")
    lake.store.put(locations.erasure(UID, "2026-x"), b"nonsense")

    past = trace(lake, days, "a").past

    assert past is not None
    assert (past.steps, past.unreadable) == ((), 1)


def test_an_item_that_lives_is_found_though_it_is_compacted_and_purged_between_two_pages(
    lake: Lake, days: Days
) -> None:
    for number in range(8):
        put(lake, f"live{number}")
    days.now += 40 * DAY
    seen, after = [], None
    for number in range(100):
        page = tracer(lake, days, page_objects=1).trace("live7", after)
        seen += page.holders
        after = page.next
        if number == 3:
            compact(lake.store, lake.catalog, UID, lake.schema, now=days.now)
            Collector(lake.store, lake.catalog, days.now, PATIENCE).collect(UID, NAME)
        if after is None:
            break

    assert any(one.holds is Holds.ITEM for one in seen)


@pytest.mark.parametrize("count", range(12))
def test_nothing_is_left_of_what_a_trace_says_is_gone_though_its_collector_is_killed(
    tmp_path: Path, days: Days, count: int
) -> None:
    lake = Lake(schema(attributes={"note": AttributeType.TEXT}), tmp_path, store=MemoryStore(now=days), now=days)
    lake.add([item("secret", {"v": [1, 0, 0, 1]}, note="unheardofword"), item("a", {"v": [1, 0, 0, 1]})])
    build(lake, 1)
    lake.delete("secret")
    build(lake, 2)
    days.now += 60 * DAY
    fused = FusedStore(lake.store, Fuse(None, Killed), Fuse(count, Killed, frozenset({"delete"})))
    for _ in range(4):
        with suppress(Killed):
            Collector(fused, lake.catalog, days.now, PATIENCE).collect(UID, NAME)
        purge(lake.store, lake.catalog, UID, lake.schema, now=days.now, min_share=0)
        days.now += DAY

        traced = trace(lake, days, "secret")
        holding = {key for key, body in lake.store.objects.items() if b"unheardofword" in body}
        assert holding == set() or any(one.holds is not Holds.ID for one in traced.holders)
        gone = {key for one in steps_of(traced) if one.what is Deed.REMOVED for key in one.objects}
        assert not [key for key in lake.store.objects if key.startswith(tuple(gone))]
    assert trace(lake, days, "secret").past != Past()


def test_an_item_that_was_written_again_is_not_told_as_one_that_was_erased(lake: Lake, days: Days) -> None:
    put(lake, "a", "b")
    put(lake, "a")
    build(lake, 1)
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=days.now, min_share=0) == 1

    assert steps_of(trace(lake, days, "a")) == ()
    assert ("segments", "item", "log") in found(trace(lake, days, "a"))
