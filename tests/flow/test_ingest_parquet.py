"""Parquet files through the ingest function: columns as an item's fields, nulls as missing, broken files by kind."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.ingest.objects import RangeFile
from shardlake.catalog.base import ReceiptState
from shardlake.format.segment import Segment, decode_segment
from shardlake.testing import FlakyStore
from tests.small_world import SmallWorld

NAME = "table"
KEY = f"inbox/{NAME}/rows.parquet"
SCHEMA = {
    "spaces": {"v": {"dimension": 4}},
    "attributes": {
        "colour": {"type": "keyword"},
        "tags": {"type": "keyword", "multi": True},
        "price": {"type": "float"},
        "stock": {"type": "int"},
        "on_sale": {"type": "bool"},
        "created": {"type": "datetime"},
        "place": {"type": "geo"},
    },
}


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, SCHEMA)
    return made


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def rows(number: int) -> pa.Table:
    return pa.table(
        {
            "id": [f"i{n}" for n in range(number)],
            "attributes": [
                {
                    "colour": "red" if n % 2 else None,
                    "tags": ["a", "b"],
                    "price": n / 2,
                    "stock": n,
                    "on_sale": True,
                    "created": datetime(2026, 1, 31, 12, tzinfo=UTC),
                    "place": [52.5, 13.4],
                }
                for n in range(number)
            ],
            "vectors": pa.array(
                [{"v": [1.0, 0, 0, float(n)]} for n in range(number)], pa.struct([("v", pa.list_(pa.float32()))])
            ),
        }
    )


def segment(world: SmallWorld) -> Segment:
    (row,) = world.catalog.segments(world.catalog.get_collection(NAME).uid)
    return decode_segment(world.objects.objects[row.key])


def receipt(world: SmallWorld) -> Any:
    return world.catalog.receipts(world.catalog.get_collection(NAME).uid, [KEY])[KEY]


def test_rows_become_items(world: SmallWorld) -> None:
    world.deliver(world.drop(KEY, parquet(rows(2_000), row_group_size=700)))

    found = segment(world)
    assert found.ids == [f"i{n}" for n in range(2_000)]
    assert json.loads(bytes(found.payload[: int(found.payload_offsets[1])]))["attributes"] == {
        "tags": ["a", "b"],
        "price": 0.0,
        "stock": 0,
        "on_sale": True,
        "created": "2026-01-31T12:00:00Z",
        "place": [52.5, 13.4],
    }
    np.testing.assert_allclose(found.spaces["v"].vectors[1], np.array([1, 0, 0, 1]) / np.sqrt(2), rtol=1e-6)


def test_a_map_is_an_object_and_a_missing_column_is_missing(world: SmallWorld) -> None:
    colours = pa.array([[("colour", "red")], [("colour", None)], None], pa.map_(pa.string(), pa.string()))

    world.deliver(world.drop(KEY, parquet(pa.table({"id": ["a", "b", "c"], "attributes": colours}))))

    assert segment(world).ids == ["a", "b", "c"]
    assert receipt(world).rejected == 0


def test_a_bad_row_never_stops_the_good_ones(world: SmallWorld) -> None:
    table = pa.table({"id": ["a", None, ""], "vectors": [{"v": [1.0, 2, 3, 4]}, {"v": [1.0, 2, 3, 4]}, None]})

    world.deliver(world.drop(KEY, parquet(table)))

    assert segment(world).ids == ["a"]
    lines = [json.loads(line) for line in world.objects.objects[world.keys("rejected/")[0]].splitlines()]
    assert [(line["line"], line["kind"]) for line in lines] == [(2, "invalid-item"), (3, "invalid-item")]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_that_is_none_gets_in(world: SmallWorld, value: float) -> None:
    vectors = pa.table({"id": ["a", "b"], "vectors": [{"v": [1.0, 2, 3, 4]}, {"v": [1.0, value, 3, 4]}]})

    world.deliver(world.drop(KEY, parquet(vectors)))

    assert segment(world).ids == ["a"]


def test_an_undeclared_column_refuses_its_rows(world: SmallWorld) -> None:
    world.deliver(world.drop(KEY, parquet(pa.table({"id": ["a"], "colour": ["red"]}))))

    assert (receipt(world).accepted, receipt(world).rejected) == (0, 1)


def broken_files() -> dict[str, bytes]:
    whole = parquet(rows(500), compression="none")
    flipped = bytearray(parquet(rows(500), compression="zstd"))
    flipped[100:140] = bytes(40)
    return {
        "empty": b"",
        "no parquet": b"hello",
        "cut short": whole[:-30],
        "half": whole[:2_000],
        "page": bytes(flipped),
    }


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_file_fails_by_kind_and_is_not_tried_again(world: SmallWorld, name: str) -> None:
    assert world.deliver(world.drop(KEY, broken_files()[name])) == []

    assert receipt(world).state is ReceiptState.FAILED
    assert receipt(world).error.startswith("invalid-file")


def test_a_store_that_fails_while_a_file_is_read_is_tried_again() -> None:
    world = SmallWorld(wrap=lambda inner: FlakyStore(inner, when=lambda doing, key: doing == "get_ranges"))
    world.create(NAME, SCHEMA)
    event = world.drop(KEY, parquet(rows(10)))

    assert world.deliver(event) == ["m-0"]
    assert world.deliver(event) == []
    assert receipt(world).accepted == 10


def test_values_that_json_does_not_have_refuse_their_row(world: SmallWorld) -> None:
    table = pa.table({"id": ["a"], "attributes": pa.array([{"colour": b"\xff"}])})

    world.deliver(world.drop(KEY, parquet(table)))

    assert receipt(world).rejected == 1


def test_a_range_file_reads_like_a_file(world: SmallWorld) -> None:
    world.objects.put("k", bytes(range(100)))

    with RangeFile(world.objects, world.objects.head("k")) as file:
        assert file.seek(-10, io.SEEK_END) == 90
        assert file.read(4) == bytes(range(90, 94))
        assert file.read() == bytes(range(94, 100))
        assert file.read(1) == b""
