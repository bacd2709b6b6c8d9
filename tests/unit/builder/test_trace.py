"""Where an item still lies: what a trace finds, why it is there, and what was done to remove it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from builder.collect import Collector, Patience
from builder.compact import compact
from builder.erasures import record
from builder.purge import purge
from builder.trace import Holds, KeptBy, Trace, Tracer
from shardlake.catalog.base import Alias, BuildState
from shardlake.format import locations
from shardlake.format.erasures import Deed, Erasure, decode_erasure, digest_of, encode_erasure
from shardlake.testing import MemoryStore
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


def tidy(lake: Lake, days: Days) -> None:
    """Collects and purges as after a build."""
    Collector(lake.store, lake.catalog, days.now, PATIENCE).collect(UID, NAME)
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
    assert traced.steps == ()
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
    assert {one.what for one in traced.steps} == {Deed.REPLACED, Deed.FORGOTTEN, Deed.REMOVED}
    left = [one for one in traced.holders if one.holds is Holds.ITEM]
    assert [one.kept_by for one in left] == [KeptBy.GRACE] * 2  # items and delta of the old segment
    assert {one.until for one in left} == {"2026-12-08T12:00:00.000Z"}

    days.now += 20 * DAY
    tidy(lake, days)
    days.now += 20 * DAY
    tidy(lake, days)

    traced = trace(lake, days, "secret")
    assert found(traced) == set()
    steps = [(one.what, one.versions, len(one.objects)) for one in traced.steps]
    assert (Deed.FORGOTTEN, (old,), 0) in steps
    gone = {key for one in traced.steps for key in one.objects}
    assert {key.split("/")[2] for key in gone} == {"segments", "versions"}
    assert locations.segment(UID, "segment-0001") in gone
    assert not any(key.startswith(locations.version_root(UID, current)) for key in gone)
    assert gone.isdisjoint(lake.store.objects)
    assert [one.at for one in traced.steps] == sorted(one.at for one in traced.steps)
    assert trace(lake, days, "never").steps == ()
    assert lake.ids(k=10) == ["a", "b"]


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
    assert not [one for one in traced.steps if one.what is Deed.FORGOTTEN]
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

    assert trace(lake, days, "a").steps == ()

    lake.store.delete(key)
    assert [one.what for one in trace(lake, days, "a").steps] == [Deed.REMOVED]


def test_what_compaction_replaced_is_told_when_it_is_removed(lake: Lake, days: Days) -> None:
    put(lake, "a")
    put(lake, "b")
    taken: list[object] = [lake.catalog.snapshot(UID).pending]
    compact(lake.store, lake.catalog, UID, lake.schema, lambda pending: taken.pop() if taken else ())  # type: ignore[return-value,arg-type]
    assert ("segments", "item", "grace") in found(trace(lake, days, "a"))
    days.now += 16 * DAY
    tidy(lake, days)

    traced = trace(lake, days, "a")

    assert found(traced) == {("segments", "item", "log"), ("segments", "id", "log")}
    assert [(one.what, one.objects) for one in traced.steps] == [
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

    assert (traced.batches, traced.oldest_batch) == (2, "2026-11-23T12:00:00.000Z")


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

    read = decode_erasure(encode_erasure(written))

    assert read.had(digest_of("a")) == ("x", "z")
    assert read.had(digest_of("c")) == ()
    assert read.objects == written.objects
    assert (read.what, read.into, read.begins, read.floor, read.versions) == (Deed.REPLACED, "w", 3, 7, (("v", 2),))
