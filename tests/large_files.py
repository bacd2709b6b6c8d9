"""A collection, and files that are large because little is."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake import limits
from shardlake.catalog.base import Receipt, ReceiptState
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
INBOX = f"inbox/{NAME}/"
KEY = f"{INBOX}a.jsonl"
LINES, LINES_A_PART = 47, 5
KINDS = ["jsonl", "jsonl.gz", "parquet"]
BROKEN_ENCODE = {"error": {"kind": "encoder-unavailable", "message": "the model cannot be loaded", "details": {}}}


def films(**told: Any) -> SmallWorld:
    made = SmallWorld(**told)
    made.create(NAME, VECTORS)
    return made


def item(number: int) -> dict[str, Any]:
    # Each id comes twice, far apart: the later line wins, in whatever order the parts are done.
    return {"id": f"i{number % 30:02d}", "attributes": {"price": number}, "vectors": {"v": [number + 1, 1, 0, 0]}}


ITEMS = [item(number) for number in range(LINES)]
STATE = {one["id"]: one["attributes"]["price"] for one in ITEMS}


def file_of(kind: str, items: list[dict[str, Any]] = ITEMS) -> tuple[str, bytes]:
    lines = b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in items)
    if kind == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(items), file, row_group_size=7)
        return f"{INBOX}a.parquet", file.getvalue()
    return f"{INBOX}a.{kind}", gzip.compress(lines) if kind.endswith("gz") else lines


def found(world: SmallWorld) -> dict[str, float]:
    answer = world.call("POST", f"/v1/collections/{NAME}/search", {"k": 1000})
    assert answer.status == 200, answer.text
    return {hit["id"]: hit["attributes"]["price"] for hit in answer.json["hits"]}


def uid(world: SmallWorld) -> str:
    return world.catalog.get_collection(NAME).uid


def receipt(world: SmallWorld, key: str) -> Receipt | None:
    return world.catalog.receipts(uid(world), [key]).get(key)


def done(world: SmallWorld, key: str) -> Receipt:
    made = receipt(world, key)
    assert made is not None
    assert (made.state, made.etag) == (ReceiptState.DONE, world.objects.head(key).etag)
    return made


def parts_of(world: SmallWorld) -> list[str]:
    """Has a file cut, and returns the messages of its parts."""
    found: list[str] = []
    while waiting := world.queue.waiting:
        world.queue.waiting = []
        found += [body for body in waiting if json.loads(body)["part"] is not None]
        for body in waiting:
            assert json.loads(body)["part"] is not None or world.deliver(world.message(body)) == []
    return found


def rejects(world: SmallWorld) -> list[dict[str, Any]]:
    keys = world.keys("rejected/")
    return [json.loads(line) for key in keys for line in world.objects.objects[key].splitlines()]


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes files of some hundred bytes large, and their parts and segments small."""
    monkeypatch.setattr(limits, "WHOLE_FILE_BYTES", 100)
    monkeypatch.setattr(limits, "WHOLE_PACKED_FILE_BYTES", 100)
    monkeypatch.setattr(limits, "PART_LINES", LINES_A_PART)
    monkeypatch.setattr(limits, "MAX_SEGMENT_ROWS", 3)
