"""An item that has expired leaves what is written as a deleted one does, and hides what it overwrote for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest

from builder.collect import Collector, Patience
from builder.compact import compact
from builder.expiry import MARGIN, expired_until, expiries, without_expired
from builder.purge import purge
from builder.survey import read_ids
from shardlake.catalog.base import BuildState
from shardlake.format import locations
from shardlake.format.overwrites import decode_overwrites, decode_parts
from shardlake.format.segment import NEVER_EXPIRES, SegmentItem, decode_segment
from shardlake.query.columns import build_column
from shardlake.query.summaries import MIN_QUANTILE_VALUES, QUANTILES, quantiles
from shardlake.types import AttributeSpec, AttributeType
from tests.lake import EPOCH, NAME, UID, Lake, item, schema, unit_rows

SCHEMA = schema(attributes={"ends": AttributeType.DATETIME, "note": AttributeType.KEYWORD}, ttl="ends")
START = datetime.fromisoformat(EPOCH)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
NO_PATIENCE = Patience(versions=1, grace=timedelta(0), segments=timedelta(0))


@dataclass(slots=True)
class Days:
    """A clock that a test moves."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def lake(tmp_path: Path, days: Days) -> Lake:
    return Lake(SCHEMA, tmp_path, now=days)


def one(name: str, ends: timedelta | None = None, note: str = "") -> SegmentItem:
    """Returns an item that ends so long after the start."""
    when = {} if ends is None else {"ends": (START + ends).isoformat()}
    return item(name, {"v": [1, 0, 0, len(name)]}, note=note, **when)


def merge(lake: Lake, days: Days) -> int:
    taken = [lake.catalog.snapshot(UID).pending]
    return compact(lake.store, lake.catalog, UID, SCHEMA, lambda _: taken.pop() if taken else (), now=days.now)


def purged(lake: Lake, days: Days, min_share: float = 0) -> int:
    return purge(lake.store, lake.catalog, UID, SCHEMA, now=days.now, min_share=min_share)


def build(lake: Lake, number: int) -> None:
    row = lake.build(f"build-{number}")
    assert row.state is BuildState.DONE, row.error


def collect(lake: Lake, days: Days) -> None:
    Collector(lake.store, lake.catalog, days.now + 100 * DAY, NO_PATIENCE).collect(UID, NAME)


def live(lake: Lake) -> list[str]:
    """Returns the ids of the items, not of the deletions, of all segments of the log."""
    rows = lake.catalog.segments(UID)
    segments = [decode_segment(lake.store.objects[row.key]) for row in rows if not row.is_mark]
    return sorted(each.id for segment in segments for each in segment.items() if not each.is_tombstone)


def holding(lake: Lake, text: str) -> list[str]:
    """Returns the objects that hold a text."""
    return [key for key, body in lake.store.objects.items() if text.encode() in body]


# When -----------------------------------------------------------------------------------------------


def test_a_moment_is_that_of_the_column_with_its_microseconds_and_offset() -> None:
    texts = ["2026-11-23T12:00:00.000001+02:00", "0001-01-01T00:00:00Z", None, "9999-12-31T23:59:59.999999Z"]
    items = [item(str(number), ends=text) if text else item(str(number)) for number, text in enumerate(texts)]
    column = build_column(AttributeSpec(name="ends", type=AttributeType.DATETIME), texts)

    found = expiries([*items, SegmentItem(id="gone", payload=b"", vectors={})], SCHEMA)

    assert found is not None
    assert found[[0, 1, 3]].tolist() == column.values[[0, 1, 3]].tolist()  # type: ignore[union-attr]
    assert found[[2, 4]].tolist() == [NEVER_EXPIRES] * 2
    assert expiries(items, schema()) is None


def test_what_is_written_spares_what_a_clock_that_lags_still_finds() -> None:
    items = [one("before", -MARGIN), one("at", timedelta(0)), one("never")]

    kept = without_expired(items, SCHEMA, expired_until(START))

    assert [each.is_tombstone for each in kept] == [True, False, False]
    assert [each.id for each in kept] == ["before", "at", "never"]
    assert without_expired(items, schema(), expired_until(START + DAY)) == items


def test_a_segment_says_when_its_items_expire_and_is_read_by_that(lake: Lake) -> None:
    lake.add([one("a", DAY), one("b"), SegmentItem(id="c", payload=b"", vectors={})])
    (row,) = lake.catalog.segments(UID)

    ids = read_ids(lake.store, row.key)

    assert ids.expires is not None
    assert ids.expires.tolist() == [int((START + DAY).timestamp()) * 1_000_000, NEVER_EXPIRES, NEVER_EXPIRES]
    assert ids.expired(expired_until(START + DAY)).tolist() == [False] * 3
    assert ids.expired(expired_until(START + DAY + MARGIN)).tolist() == [True, False, False]


def test_a_segment_of_a_collection_without_ttl_says_nothing_of_it(tmp_path: Path) -> None:
    plain = Lake(schema(attributes={"ends": AttributeType.DATETIME}), tmp_path)
    plain.add([one("a", -DAY)])
    (row,) = plain.catalog.segments(UID)

    assert b"expires" not in plain.store.objects[row.key]
    ids = read_ids(plain.store, row.key)
    assert ids.expires is None
    assert ids.expired(NEVER_EXPIRES).tolist() == [False]


# Compaction -----------------------------------------------------------------------------------------


def test_compaction_puts_a_deletion_in_the_place_of_an_item_that_has_expired(lake: Lake, days: Days) -> None:
    lake.add([one("a", note="older-words")])
    build(lake, 1)
    lake.add([one("a", DAY, "hidden-words"), one("b", 3 * DAY)])
    lake.add([one("c")])
    days.now += 2 * DAY

    assert merge(lake, days) == 1

    (row,) = lake.catalog.snapshot(UID).pending
    segment = decode_segment(lake.store.objects[row.key])
    assert [(each.id, each.is_tombstone) for each in segment.items()] == [("a", True), ("b", False), ("c", False)]
    assert row.delta is not None
    assert row.delta.rows == 2
    assert decode_overwrites(lake.store.objects[locations.overwrites(row.key)]) == [b"a", b"b", b"c"]
    assert lake.ids(k=10) == ["b", "c"], "the older one does not come back"
    build(lake, 2)
    assert lake.ids(k=10) == ["b", "c"]


def test_compaction_keeps_by_what_part_each_id_was_written_of_expired_ones_too(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY)])
    lake.add([one("b", DAY)])
    days.now += 2 * DAY
    merge(lake, days)

    (row,) = lake.catalog.snapshot(UID).pending
    parts = decode_parts(lake.store.objects[locations.overwrites(row.key)])
    assert [(part.sequence, part.ids) for part in parts] == [(1, {b"a"}), (2, {b"b"})]
    assert row.delta is None
    assert lake.ids(k=10) == []


def test_a_compaction_run_again_later_stands_by_what_the_first_one_wrote(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY, "hidden-words")])
    lake.add([one("b")])
    objects, rows = dict(lake.store.objects), lake.catalog.snapshot(UID).pending
    merge(lake, days)
    (first,) = lake.catalog.snapshot(UID).pending

    other = Lake(SCHEMA, lake.scratch, now=days)
    other.add([one("a", DAY, "hidden-words")])
    other.add([one("b")])
    assert dict(other.store.objects) == objects
    assert other.catalog.snapshot(UID).pending == rows
    other.store.objects.update(lake.store.objects)  # the first run died before its transaction
    days.now += 2 * DAY
    merge(other, days)

    assert other.catalog.snapshot(UID).pending == (first,)
    assert other.store.objects == lake.store.objects
    assert other.ids(k=10) == ["b"]


# Builds ---------------------------------------------------------------------------------------------


def test_a_build_leaves_out_what_has_expired_and_what_that_had_overwritten(lake: Lake, days: Days) -> None:
    lake.add([one("a", note="older-words"), one("b"), one("c", DAY), one("d", DAY)])
    lake.add([one("a", DAY, "hidden-words"), one("d", 3 * DAY)])
    days.now += 2 * DAY
    build(lake, 1)

    assert sum(row.rows for row in lake.shards) == 2
    assert [key for key in holding(lake, "-words") if "/shards/" in key] == []
    assert lake.ids(k=10) == ["b", "d"]
    lake.add([one("a", 4 * DAY)])
    assert lake.ids(k=10) == ["a", "b", "d"], "written again it is there again"
    days.now += 1.5 * DAY
    assert lake.ids(k=10) == ["a", "b"]
    build(lake, 2)
    assert sum(row.rows for row in lake.shards) == 2


def test_a_collection_of_which_all_has_expired_is_built_and_goes_on(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY), one("b", DAY)])
    build(lake, 1)
    days.now += 2 * DAY
    assert lake.ids(k=10) == []
    build(lake, 2)

    assert lake.ids(k=10) == []
    assert lake.get("items").json["items"] == []
    lake.add([one("a")])
    assert lake.ids(k=10) == ["a"]
    build(lake, 3)
    assert lake.ids(k=10) == ["a"]


# Purging --------------------------------------------------------------------------------------------


def test_an_item_that_has_expired_is_in_no_object_any_more(lake: Lake, days: Days) -> None:
    lake.add([one("a", note="older-words")])
    lake.add([one("a", DAY, "hidden-words"), one("b")])
    build(lake, 1)
    days.now += 2 * DAY
    build(lake, 2)
    collect(lake, days)  # the first version goes
    assert holding(lake, "hidden-words")

    assert purged(lake, days) == 2, (
        "the older one, and the expired, which is a deletion as long as an event may be late"
    )
    assert live(lake) == ["b"]
    assert purged(lake, days) == 0
    collect(lake, days)
    assert holding(lake, "-words") == []
    days.now += 16 * DAY
    assert purged(lake, days) == 1, "the deletion"
    build(lake, 3)
    assert lake.ids(k=10) == ["b"]


def test_one_that_expired_long_after_it_was_written_goes_at_once(lake: Lake, days: Days) -> None:
    lake.add([one("a", 20 * DAY), one("b")])
    build(lake, 1)
    days.now += 20 * DAY
    assert purged(lake, days) == 0, "by a clock that lags it is there"
    days.now += MARGIN

    assert purged(lake, days) == 1
    assert live(lake) == ["b"]
    assert purged(lake, days) == 0
    build(lake, 2)
    assert lake.ids(k=10) == ["b"]


def test_ids_of_what_has_expired_are_overwritten_as_long_as_an_event_may_be_late(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY), one("b")])
    build(lake, 1)
    days.now += 2 * DAY
    purged(lake, days)
    ids = [row for row in lake.catalog.segments(UID) if not row.is_mark]

    assert [decode_overwrites(lake.store.objects[locations.overwrites(row.key)]) for row in ids] == [[b"a", b"b"]]


def test_an_expired_item_overwrites_no_later_one_that_lives(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY)])
    lake.add([one("a", 9 * DAY)])
    build(lake, 1)
    days.now += 2 * DAY

    assert purged(lake, days) == 1
    build(lake, 2)
    assert lake.ids(k=10) == ["a"]


def test_purging_again_as_more_expires_makes_other_segments(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY), one("b", 2 * DAY), one("c")])
    build(lake, 1)
    for left in (["b", "c"], ["c"]):
        days.now += DAY + MARGIN
        assert purged(lake, days) == 1
        assert live(lake) == left
        assert lake.ids(k=10) == left


def test_few_that_have_expired_are_left_until_they_are_many(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY), *(one(f"i{number}") for number in range(9))])
    build(lake, 1)
    days.now += 2 * DAY

    assert purged(lake, days, min_share=0.3) == 0
    assert len(live(lake)) == 10


# What the shard map says ------------------------------------------------------------------------------


def test_the_shard_map_has_quantiles_of_times_where_there_are_many_of_them(lake: Lake) -> None:
    vectors = unit_rows(2 * MIN_QUANTILE_VALUES, 4)
    lake.built([item(f"i{n:04d}", {"v": row}, ends=(START + n * SECOND).isoformat()) for n, row in enumerate(vectors)])

    (row,) = lake.shards
    cuts = row.summaries["ends"]["quantiles"]
    assert len(cuts) == QUANTILES - 1
    expected = [
        int(START.timestamp() + number * len(vectors) // QUANTILES) * 1_000_000 for number in range(1, QUANTILES)
    ]
    assert cuts == expected
    assert "quantiles" not in row.summaries["note"]


def test_missing_times_are_in_no_quantile_and_few_times_have_none() -> None:
    spec = AttributeSpec(name="ends", type=AttributeType.DATETIME)
    texts = [f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}Z" for n in range(MIN_QUANTILE_VALUES)]

    def of(values: list[str | None]) -> list[int]:
        column = build_column(spec, values)
        return quantiles(column)  # type: ignore[arg-type]

    assert of([*texts[1:], None]) == []
    assert of([*texts, *[None] * 5_000]) == of(list(texts))  # type: ignore[arg-type]
    assert np.all(np.diff(of(list(texts))) > 0)


def test_what_is_stored_stays_as_it_was_given(lake: Lake, days: Days) -> None:
    lake.add([one("a", DAY, "n")])
    (row,) = lake.catalog.segments(UID)

    (kept,) = decode_segment(lake.store.objects[row.key]).items()
    assert orjson.loads(kept.payload)["attributes"] == {"note": "n", "ends": (START + DAY).isoformat()}
