"""What is deleted or overwritten leaves the bucket, once no kept version needs it; and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builder.collect import Collector, Patience
from builder.purge import purge
from builder.trace import Tracer
from shardlake.catalog.base import BuildState
from shardlake.format.erasures import Deed
from shardlake.types import AttributeType
from tests.flow.test_killed import _fuses
from tests.fuses import Fuse, FusedCatalog, FusedStore, Killed
from tests.lake import EPOCH, NAME, UID, Lake, item, schema

NOW = datetime.fromisoformat(EPOCH)
LATER = NOW + timedelta(days=16)
NO_PATIENCE = Patience(versions=1, grace=timedelta(0), segments=timedelta(0))


def collect(lake: Lake) -> None:
    Collector(lake.store, lake.catalog, datetime.now(UTC) + timedelta(days=100), NO_PATIENCE).collect(UID, NAME)


def put(lake: Lake, *names: str, note: str = "") -> None:
    lake.add([item(name, {"v": [1, 0, 0, len(name)]}, note=note) for name in names])


def build(lake: Lake, number: int) -> None:
    assert lake.build(f"build-{number}").state is BuildState.DONE


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(schema(attributes={"note": AttributeType.KEYWORD}), tmp_path)


def bytes_of(lake: Lake, text: str) -> list[str]:
    """Returns the objects that hold a text."""
    return [key for key, body in lake.store.objects.items() if text.encode() in body]


def test_a_deleted_item_is_in_no_object_any_more(lake: Lake) -> None:
    put(lake, "a", "secret-one", note="hidden-words")
    put(lake, "b", "c")
    build(lake, 1)
    lake.delete("secret-one")
    put(lake, "a", note="plain")
    build(lake, 2)
    assert bytes_of(lake, "secret-one")

    collect(lake)  # the first version goes
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 2
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 1  # the deletion itself
    collect(lake)

    assert bytes_of(lake, "secret-one") == bytes_of(lake, "hidden-words") == []
    assert lake.ids(k=10) == ["a", "b", "c"]
    build(lake, 3)
    assert lake.ids(k=10) == ["a", "b", "c"]
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 0


def test_a_deletion_stays_while_an_event_may_come_late(lake: Lake) -> None:
    put(lake, "a", "b")
    lake.delete("a")
    build(lake, 1)

    assert purge(lake.store, lake.catalog, UID, lake.schema, now=NOW + timedelta(days=14), min_share=0) == 1
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=NOW + timedelta(days=14), min_share=0) == 0
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 1
    build(lake, 2)
    assert lake.ids(k=10) == ["b"]


def test_ids_that_segments_have_lost_leave_them_though_all_rows_are_needed(lake: Lake) -> None:
    put(lake, "a", "secret-one")
    put(lake, *(f"i{number}" for number in range(9)))
    build(lake, 1)
    lake.delete("secret-one")
    build(lake, 2)
    collect(lake)  # the first version goes

    assert purge(lake.store, lake.catalog, UID, lake.schema, now=NOW, min_share=0) == 1  # the item
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 1  # the deletion, and the id
    build(lake, 3)
    collect(lake)

    assert bytes_of(lake, "secret-one") == []
    assert lake.ids(k=20) == ["a", *(f"i{number}" for number in range(9))]


def test_a_version_that_can_be_gone_back_to_keeps_what_it_holds(lake: Lake) -> None:
    put(lake, "a", "b")
    build(lake, 1)
    lake.delete("a")
    build(lake, 2)

    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 0

    first, second = lake.catalog.versions(UID)
    lake.catalog.roll_back(UID, expected=second.version, version=first.version)
    build(lake, 3)
    assert lake.ids(k=10) == ["a", "b"]


def test_what_is_needed_for_the_most_part_is_left_alone(lake: Lake) -> None:
    put(lake, *(f"i{number}" for number in range(10)))
    lake.delete("i0")
    build(lake, 1)

    assert purge(lake.store, lake.catalog, UID, lake.schema, now=NOW) == 0
    put(lake, *(f"i{number}" for number in range(10)))
    build(lake, 2)
    collect(lake)
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=NOW) == 11
    build(lake, 3)
    assert lake.ids(k=100) == sorted(f"i{number}" for number in range(10))


def test_nothing_built_is_nothing_to_purge(lake: Lake) -> None:
    put(lake, "a")
    put(lake, "a")

    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0) == 0


def test_purging_killed_anywhere_and_run_again(tmp_path: Path) -> None:
    def made() -> Lake:
        lake = Lake(schema(), tmp_path)
        for number in range(4):
            put(lake, f"i{number % 2}", f"j{number}")
        lake.delete("j1")
        build(lake, 1)
        return lake

    def run(lake: Lake, before: Fuse, after: Fuse) -> None:
        store, catalog = FusedStore(lake.store, before, after), FusedCatalog(lake.catalog, before, after)
        purge(store, catalog, UID, lake.schema, now=LATER, min_share=0)

    expected = ["i0", "i1", "j0", "j2", "j3"]
    counter = Fuse(None, Killed)
    run(made(), counter, Fuse(None, Killed))
    assert counter.calls >= 20
    for before, after in _fuses(counter.calls):
        lake = made()
        with pytest.raises(Killed):
            run(lake, before, after)
        while purge(lake.store, lake.catalog, UID, lake.schema, now=LATER, min_share=0):
            assert lake.ids(k=10) == expected
        build(lake, 2)
        assert lake.ids(k=10) == expected
        collect(lake)
        assert bytes_of(lake, "j1") == []
        assert lake.ids(k=10) == expected
        traced = Tracer(store=lake.store, catalog=lake.catalog, uid=UID, name=NAME, now=LATER).trace("j1")
        assert traced.holders == ()
        assert traced.past is not None
        assert {one.what for one in traced.past.steps} >= {Deed.REPLACED, Deed.REMOVED}
        assert {key for one in traced.past.steps for key in one.objects}.isdisjoint(lake.store.objects)


def test_one_item_that_was_deleted_among_many_goes_when_no_event_can_come_late(lake: Lake) -> None:
    put(lake, "secret-one", *(f"i{number}" for number in range(30)))
    build(lake, 1)
    lake.delete("secret-one")
    put(lake, "i1")
    build(lake, 2)
    collect(lake)

    assert purge(lake.store, lake.catalog, UID, lake.schema, now=NOW + timedelta(days=14)) == 0
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER) == 2  # the item, and what was overwritten
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER) == 1  # the deletion
    assert purge(lake.store, lake.catalog, UID, lake.schema, now=LATER) == 0
    build(lake, 3)
    collect(lake)

    assert bytes_of(lake, "secret-one") == []
    assert lake.ids(k=100) == sorted(f"i{number}" for number in range(30))
