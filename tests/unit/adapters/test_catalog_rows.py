"""Rows of the catalog as a table keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.catalog.base import (
    BuildRow,
    BuildState,
    CollectionRow,
    Pointer,
    Receipt,
    ReceiptState,
    SegmentRow,
    ShardRow,
)
from shardlake.catalog.ledger import Ledger
from shardlake.catalog.rows import bounded, from_item, to_item
from shardlake.errors import FormatError
from shardlake.limits import MAX_ZONE_MAPS_BYTES

text = st.text(max_size=20)
count = st.integers(0, 2**63 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
bound = st.one_of(int64, st.floats(allow_nan=False, allow_infinity=False), text)

ROWS = st.one_of(
    st.builds(CollectionRow, name=text, uid=text, body=text, created_at=text),
    st.builds(
        Pointer,
        version=text,
        manifest_key=text,
        rows=count,
        bytes=count,
        shards=count,
        committed_at=text,
        build_id=text,
    ),
    st.builds(
        ShardRow,
        shard_id=count,
        key=text,
        bytes=count,
        footer_offset=count,
        checksum=text,
        rows=count,
        lists=st.dictionaries(text, st.tuples(count, count), max_size=3),
        zone_maps=st.dictionaries(text, st.tuples(bound, bound), max_size=3),
        summaries=st.dictionaries(text, st.fixed_dictionaries({"present": count, "missing": count}), max_size=3),
    ),
    st.builds(SegmentRow, segment_id=text, order=text, key=text, rows=count, bytes=count, source=text, created_at=text),
    st.builds(
        Ledger,
        source=text,
        etag=text,
        order=text,
        part_bytes=count,
        part_lines=count,
        cut=count,
        next_start=count,
        total=st.none() | count,
        parts=st.lists(st.tuples(count, count, count, st.booleans()), max_size=3).map(tuple),
        error=st.none() | text,
        closed_at=st.none() | text,
    ),
    st.builds(
        Receipt,
        source=text,
        etag=text,
        state=st.sampled_from(ReceiptState),
        accepted=count,
        rejected=count,
        finished_at=text,
        error=st.none() | text,
    ),
    st.builds(
        BuildRow,
        build_id=text,
        state=st.sampled_from(BuildState),
        progress=st.floats(0, 1),
        stage=text,
        version=st.none() | text,
        error=st.none() | text,
        created_at=text,
        updated_at=text,
    ),
)

SHARD = ShardRow(shard_id=1, key="k", bytes=1, footer_offset=1, checksum="c", rows=1, lists={"v": (0, 1)}, zone_maps={})


@given(ROWS)
def test_a_row_comes_back_as_it_was(
    row: CollectionRow | Pointer | ShardRow | SegmentRow | Receipt | BuildRow,
) -> None:
    assert from_item(type(row), to_item(row)) == row


def test_numbers_keep_their_kind() -> None:
    row = replace(SHARD, zone_maps={"int": (1, 2**53 + 1), "float": (1.0, 0.1 + 0.2)})

    zones = from_item(ShardRow, to_item(row)).zone_maps

    assert [type(value) for value in (*zones["int"], *zones["float"])] == [int, int, float, float]
    assert zones == row.zone_maps


def test_none_is_absent() -> None:
    row = Receipt(source="s", etag="e", state=ReceiptState.DONE, accepted=1, rejected=0, finished_at="t")

    assert "error" not in to_item(row)


def test_an_attribute_of_a_newer_writer_is_left_alone() -> None:
    assert from_item(ShardRow, {**to_item(SHARD), "new": {"S": "x"}, "pk": {"S": "p"}}) == SHARD


@pytest.mark.parametrize(
    "damage",
    [{"key": None}, {"rows": {"S": "seven"}}, {"rows": {"N": "x"}}, {"lists": {"S": "{"}}, {"lists": {"S": "[1]"}}],
    ids=str,
)
def test_a_row_that_cannot_be_read_is_a_format_error(damage: dict[str, dict[str, str] | None]) -> None:
    item = {name: value for name, value in {**to_item(SHARD), **damage}.items() if value is not None}

    with pytest.raises(FormatError):
        from_item(ShardRow, item)


def test_the_longest_zone_maps_are_left_out_first() -> None:
    short = {f"a{number:02d}": ("a", "b") for number in range(10)}
    row = replace(SHARD, zone_maps={"long": ("x" * MAX_ZONE_MAPS_BYTES, "y"), **short})

    assert bounded(row).zone_maps == short
    assert bounded(SHARD) is SHARD
