"""Large files that are overwritten, given up, cut short or no such file: the rest gives way, or a receipt says why."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from functions.ingest.events import MAX_DELIVERIES
from shardlake import limits
from shardlake.catalog.base import ReceiptState
from shardlake.testing import MemoryStore, WrappedStore
from tests.large_files import (
    BROKEN_ENCODE,
    INBOX,
    ITEMS,
    KEY,
    LINES,
    NAME,
    STATE,
    done,
    file_of,
    films,
    found,
    parts_of,
    receipt,
    small_parts,
    uid,
)
from tests.small_world import PICTURES, VECTORS, SmallWorld


@pytest.fixture(autouse=True)
def _parts_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


@pytest.fixture
def world() -> SmallWorld:
    return films()


def test_a_file_that_is_overwritten_gives_way(world: SmallWorld) -> None:
    old = world.drop(KEY, file_of("jsonl")[1])
    world.deliver(old)
    stale = parts_of(world)
    world.deliver(world.message(stale[0]))

    new = world.drop(KEY, file_of("jsonl", [{**one, "attributes": {"price": 7}} for one in ITEMS])[1])
    assert world.deliver(world.message(stale[1])) == []
    world.deliver(new)
    for message in [*stale, *parts_of(world), *stale]:
        assert world.deliver(world.message(message)) == []
    world.deliver(old)
    assert world.work_off() == []

    assert set(found(world).values()) == {7}
    assert done(world, KEY).accepted == LINES


def test_a_late_event_of_an_earlier_write_stops_no_later_one(world: SmallWorld) -> None:
    old, new = (world.drop(*file_of("jsonl")) for _ in range(2))
    world.deliver(new)

    assert world.deliver(old) == []
    assert world.lines()[-1]["files_gone"] == 1
    assert world.work_off() == []

    assert done(world, KEY).accepted == LINES
    assert {row.order[:24] for row in world.catalog.segments(uid(world))} == {time_of(new)}


def time_of(event: dict[str, Any]) -> str:
    return str(json.loads(event["Records"][0]["body"])["Records"][0]["eventTime"])


def test_parts_of_other_bytes_give_way_though_the_write_is_the_same(world: SmallWorld) -> None:
    event = world.drop(*file_of("jsonl"))
    world.deliver(event)
    stale = parts_of(world)
    world.objects.put(KEY, b"\n" + file_of("jsonl")[1])
    world.deliver(event)  # before the event of the new bytes: the ledger is of that write, and of these bytes

    for message in stale:
        assert world.deliver(world.message(message)) == []
    assert found(world) == {}

    assert world.work_off() == []
    assert found(world) == STATE


def test_the_same_bytes_dropped_again_are_a_new_write(world: SmallWorld) -> None:
    key, body = file_of("jsonl")
    world.deliver(world.drop(key, body))
    stale = parts_of(world)
    world.deliver(world.drop(f"{INBOX}b.jsonl", orjson.dumps({"id": "i00", "attributes": {"price": -1}})))

    world.deliver(world.drop(key, body))
    assert world.work_off() == []
    before = world.catalog.segments(uid(world))
    for message in stale:
        assert world.deliver(world.message(message)) == []

    assert found(world) == STATE
    assert world.catalog.segments(uid(world)) == before


def test_a_file_that_is_gone_and_a_collection_that_is_another_are_nothing(world: SmallWorld) -> None:
    event = world.drop(*file_of("jsonl"))
    world.deliver(event)
    parts = parts_of(world)
    body = world.objects.objects.pop(KEY)
    assert world.deliver(world.message(parts[0])) == []

    world.objects.put(KEY, body)
    world.call("DELETE", f"/v1/collections/{NAME}")
    assert world.deliver(world.message(parts[1])) == []
    world.create(NAME, VECTORS)
    assert world.deliver(world.message(parts[2])) == []
    world.deliver(event)
    assert world.deliver(world.message(parts[3])) == []

    assert found(world) == {}
    assert receipt(world, KEY) is None


class _Overtaken(WrappedStore):
    """While a part is first read, the file is overwritten."""

    world: SmallWorld | None = None

    def before(self, operation: str, key: str) -> None:
        if operation == "get_ranges" and key == KEY and self.world is not None:
            world, self.world = self.world, None
            world.objects.put(KEY, world.objects.objects[KEY].replace(b'"price":', b'"price":1'))


def test_a_part_is_of_one_file_whoever_overwrites_it() -> None:
    stores: list[_Overtaken] = []

    def wrap(inner: MemoryStore) -> _Overtaken:
        stores.append(_Overtaken(inner))
        return stores[0]

    world = films(wrap=wrap)
    world.deliver(world.drop(*file_of("jsonl")))
    parts = parts_of(world)
    stores[0].world = world

    assert world.deliver(world.message(parts[0])) == []

    assert found(world) == {}
    assert world.lines()[-2]["files_gone"] == 1 or world.lines()[-1]["files_gone"] == 1


def test_a_part_that_is_given_up_fails_the_file_and_may_be_taken_in_after_all() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    lines = [orjson.dumps({"id": f"i{number}", "media": {"text": f"{number}"}}) for number in range(12)]
    world.deliver(world.drop(KEY, b"\n".join(lines)))
    parts = parts_of(world)
    world.deliver(world.message(parts[0]))
    world.encode.broken = BROKEN_ENCODE
    given_up = world.message(parts[1])
    given_up["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(MAX_DELIVERIES)

    assert world.deliver(given_up) == ["m-0"]
    assert receipt(world, KEY) is None, "a part is still to come"
    world.encode.broken = None
    world.deliver(world.message(parts[2]))

    told = receipt(world, KEY)
    assert told is not None
    assert (told.state, told.accepted) == (ReceiptState.FAILED, 7)
    assert told.error == "encoder-unavailable: the model cannot be loaded"

    assert world.deliver(world.message(parts[1])) == []
    assert (done(world, KEY).accepted, done(world, KEY).error) == (12, None)


def test_cutting_that_is_given_up_fails_the_file_and_may_go_on_after_all(world: SmallWorld) -> None:
    world.deliver(world.drop(*file_of("jsonl")))
    (beginning,) = world.queue.waiting
    world.queue.waiting = []
    event = world.message(beginning)
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(MAX_DELIVERIES)
    queue, world.ingest = world.queue, replace(world.ingest, queue=_Down())

    assert world.deliver(event) == ["m-0"]
    told = receipt(world, KEY)
    assert told is not None
    assert (told.state, told.accepted) == (ReceiptState.FAILED, 0)

    world.ingest = replace(world.ingest, queue=queue)
    assert world.deliver(world.message(beginning)) == []
    assert world.work_off() == []
    assert done(world, KEY).accepted == LINES


class _Down:
    def send(self, bodies: list[str]) -> None:
        raise ConnectionError("the queue is down")


def test_a_file_of_too_many_parts_says_so_and_keeps_what_was_cut(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ingest.parts.PARTS_AT_ONCE", 2)
    monkeypatch.setattr(limits, "MAX_FILE_PARTS", 4)

    world.deliver(world.drop(*file_of("jsonl")))
    assert world.work_off() == []

    told = receipt(world, KEY)
    assert told is not None
    assert (told.state, told.accepted) == (ReceiptState.FAILED, 20)
    assert told.error == "invalid-file: the file has more than 4 parts: drop it as several files"


def test_a_large_compressed_file_cut_short_keeps_what_was_whole(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ingest.lines.CHUNK_BYTES", 1_000)
    many = [{**one, "attributes": {"colour": f"{number * number * 7919}"}} for number, one in enumerate(ITEMS * 40)]
    key, body = file_of("jsonl.gz", many)

    world.deliver(world.drop(key, body[: len(body) // 2]))
    assert world.work_off() == []

    told = receipt(world, key)
    assert told is not None
    assert told.state is ReceiptState.FAILED
    assert told.error == "invalid-file: the file is not whole gzip"
    assert 100 < told.accepted < len(many)
    assert told.accepted == sum(row.rows for row in world.catalog.segments(uid(world)))


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_a_large_file_that_is_none_of_its_kind_fails(world: SmallWorld, kind: str) -> None:
    key = f"{INBOX}a.{kind}"

    world.deliver(world.drop(key, b"x" * 1_000))
    assert world.work_off() == []

    told = receipt(world, key)
    assert told is not None
    assert told.state is ReceiptState.FAILED
    assert str(told.error).startswith("invalid-file")


@pytest.mark.parametrize(
    "body",
    [
        '{"shardlake": "another"}',
        '{"shardlake": "part-of-a-file"}',
        '{"shardlake": "part-of-a-file", "drop": {"key": "k", "written_at": "", "sequencer": ""}, "uid": "u", '
        '"etag": "e", "part": {"number": -1, "start": 0, "stop": 0, "line": 1, "lines": 1}}',
        '{"shardlake": "part-of-a-file", "drop": {"key": "k", "written_at": "", "sequencer": ""}, "uid": "u", '
        '"etag": "e", "part": []}',
    ],
)
def test_a_message_that_is_no_work_of_ours_is_delivered_again(world: SmallWorld, body: str) -> None:
    assert world.deliver(world.message(body)) == ["m-0"]
    assert world.lines()[-1]["outcome"] == "malformed-file"


def test_work_on_what_is_no_file_of_the_inbox_is_nothing(world: SmallWorld) -> None:
    world.deliver(world.drop(*file_of("jsonl")))
    body = world.queue.waiting[0].replace(KEY, "data/x")

    assert world.deliver(world.message(body)) == []
