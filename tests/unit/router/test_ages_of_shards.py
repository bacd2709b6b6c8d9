"""What of a version has expired: which shards are asked and told, and how deep, by what the shard map says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.router.expiry import as_of, moment
from functions.router.versions import Version, unbuilt
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import Expiry
from shardlake.types import AttributeType, Summary
from tests.lake import schema

SCHEMA = schema(attributes={"ends": AttributeType.DATETIME}, ttl="ends")
SECOND = 1_000_000
ROWS = 1_600
EVEN = [number * SECOND for number in range(1, 16)]  # a sixteenth of the values ends each second
UNKNOWN = Summary(present=ROWS, missing=0)


def shard(number: int, zone: tuple[int, int] | None, summary: Summary | None, rows: int = ROWS) -> ShardRow:
    """Returns the row of a shard or, with a number below zero, of a delta; the zone is in seconds."""
    ends = None if zone is None else (zone[0] * SECOND, zone[1] * SECOND)
    return ShardRow(
        shard_id=number,
        key=f"k{number}",
        bytes=1,
        footer_offset=1,
        checksum="",
        rows=rows,
        lists={"v": (0, 1)},
        zone_maps={} if ends is None else {"ends": ends},
        summaries={} if summary is None else {"ends": summary},
    )


def seen(*rows: ShardRow, now_s: float) -> Version:
    """Returns a version of these rows as it is searched at a time."""
    shards = tuple(row for row in rows if row.shard_id >= 0)
    deltas = tuple(row for row in rows if row.shard_id < 0)
    return as_of(replace(unbuilt("u", SCHEMA), shards=shards, deltas=deltas), SCHEMA, now_s)


def test_a_collection_without_ttl_is_searched_as_it_is() -> None:
    version = replace(unbuilt("u", schema()), shards=(shard(0, (1, 2), UNKNOWN),))

    assert as_of(version, schema(), 5.0) is version


@pytest.mark.parametrize(
    ("zone", "summary", "age"),
    [
        ((11, 20), UNKNOWN, "fresh"),
        ((10, 20), UNKNOWN, "aged"),  # at its time it has expired
        ((5, 10), UNKNOWN, "gone"),
        ((5, 10), Summary(present=ROWS - 1, missing=1), "aged"),  # one never does
        ((5, 10), None, "aged"),
        (None, None, "aged"),
        (None, UNKNOWN, "aged"),
        (None, Summary(present=0, missing=ROWS), "fresh"),
    ],
)
@pytest.mark.parametrize("number", [3, -3])
def test_zones_say_of_which_shards_and_deltas_some_may_have_expired_or_all_have(
    number: int, zone: tuple[int, int] | None, summary: Summary | None, age: str
) -> None:
    row, other = shard(number, zone, summary), shard(7, (90, 91), UNKNOWN)
    version = seen(row, other, now_s=10.7)

    assert (number in version.aged, number in version.gone) == (age == "aged", age == "gone")
    assert version.searched == ((other,) if age == "gone" else (row, other) if number > 0 else (other, row))
    told = Expiry(attribute="ends", moment_us=10 * SECOND, shards=(number,))
    assert version.expiry_of([row, other]) == (told if age == "aged" else None)
    assert version.expiry_of([other]) is None


@pytest.mark.parametrize(
    ("row", "is_worn"),
    [
        (shard(0, (0, 16), Summary(present=ROWS, missing=0, quantiles=EVEN)), False),  # 3 of 16
        (shard(0, (0, 16), Summary(present=ROWS, missing=0, quantiles=[0, *EVEN[:-1]])), True),  # 4 of 16
        (shard(0, (0, 16), Summary(present=ROWS // 2, missing=ROWS // 2, quantiles=[0, *EVEN[:-1]])), False),
        (shard(0, (0, 10**9), Summary(present=ROWS, missing=0, quantiles=[0] * 15)), True),  # one never does, nearly
        (shard(0, (0, 16), UNKNOWN), True),
        (shard(0, (0, 16), Summary(present=100, missing=ROWS - 100)), False),  # too few for quantiles
        (shard(0, None, None), True),
        (shard(0, (0, 16), None, rows=900), False),  # too few rows to go deep
        (shard(-1, (0, 16), None), False),  # scored row by row, as all deltas are
        (shard(0, (4, 16), UNKNOWN), False),  # nothing has expired
        (shard(0, (0, 3), UNKNOWN), False),  # everything has: it is not asked
    ],
)
def test_searches_go_as_under_a_filter_where_a_quarter_of_a_shard_has_expired(row: ShardRow, is_worn: bool) -> None:
    assert seen(row, shard(1, (90, 91), UNKNOWN), now_s=3.0).is_worn is is_worn


def test_a_moment_is_a_whole_second_before_1970_too() -> None:
    assert [moment(now_s) for now_s in (0.0, 0.999, 1.0, -0.5)] == [0, 0, SECOND, -SECOND]
