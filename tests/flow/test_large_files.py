"""Files that are taken in by parts: what stands afterwards is what one run would have left, whoever did which part."""

from __future__ import annotations

import gzip
import io
import json
import random
from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.ingest.events import MAX_DELIVERIES
from shardlake import limits
from shardlake.catalog.base import Receipt, ReceiptState
from shardlake.testing import MemoryStore, WrappedStore
from tests.small_world import PICTURES, VECTORS, SmallWorld

NAME = "films"
INBOX = f"inbox/{NAME}/"
KEY = f"{INBOX}a.jsonl"
LINES, LINES_A_PART = 47, 5
KINDS = ["jsonl", "jsonl.gz", "parquet"]
BROKEN = {"error": {"kind": "encoder-unavailable", "message": "the model cannot be loaded", "details": {}}}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WHOLE_FILE_BYTES", 100)
    monkeypatch.setattr(limits, "WHOLE_PACKED_FILE_BYTES", 100)
    monkeypatch.setattr(limits, "PART_LINES", LINES_A_PART)
    monkeypatch.setattr(limits, "MAX_SEGMENT_ROWS", 3)


@pytest.fixture
def world() -> SmallWorld:
    return films()


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_file_is_taken_in_by_parts_and_has_one_receipt(world: SmallWorld, kind: str) -> None:
    key, body = file_of(kind)

    assert world.deliver(world.drop(key, body)) == []
    assert receipt(world, key) is None
    assert world.work_off() == []

    assert found(world) == STATE
    assert (done(world, key).accepted, done(world, key).rejected) == (LINES, 0)
    rows = world.catalog.segments(uid(world))
    assert max(row.rows for row in rows) <= 3
    ledger = world.catalog.ledger(uid(world), key)
    assert ledger is not None
    assert len(ledger.parts) == -(-LINES // LINES_A_PART)
    lines = world.lines()
    assert sum(line.get("items_accepted", 0) for line in lines) == LINES
    assert sum(line.get("files_done", 0) for line in lines) == 1


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("seed", range(4))
def test_parts_that_come_twice_and_in_any_order_leave_what_the_file_says(kind: str, seed: int) -> None:
    draw, world = random.Random(seed), films()
    key, body = file_of(kind)
    event = world.drop(key, body)
    world.deliver(event)
    beginnings = list(world.queue.waiting)
    parts = parts_of(world)
    deliveries = [*parts, *draw.sample(parts, 5), *beginnings]
    draw.shuffle(deliveries)

    for number, message in enumerate(deliveries):
        assert world.deliver(world.message(message)) == []
        if number == len(deliveries) // 2:
            world.deliver(event)
    world.work_off()

    assert found(world) == STATE
    assert done(world, key).accepted == LINES


def test_what_is_done_is_not_done_again(world: SmallWorld) -> None:
    event = world.drop(*file_of("jsonl"))
    world.deliver(event)
    beginning = list(world.queue.waiting)
    parts = parts_of(world)
    for message in parts:
        world.deliver(world.message(message))
    before = (dict(world.objects.objects), world.catalog.segments(uid(world)), world.catalog.ledger(uid(world), KEY))
    told = done(world, KEY)

    for message in [*beginning, *parts]:
        assert world.deliver(world.message(message)) == []
    world.deliver(event)
    world.work_off()

    after = (dict(world.objects.objects), world.catalog.segments(uid(world)), world.catalog.ledger(uid(world), KEY))
    assert after == before
    assert done(world, KEY) == told


@pytest.mark.parametrize("kind", KINDS)
def test_refused_lines_are_named_by_their_place_in_the_file(world: SmallWorld, kind: str) -> None:
    items = [*ITEMS]
    for number in (0, 4, 5, 23, 46):  # the ends of parts, and of the file
        items[number] = {**items[number], "id": ""}
    key, body = file_of(kind, items)

    world.deliver(world.drop(key, body))
    assert world.work_off() == []

    assert sorted(one["line"] for one in rejects(world)) == [1, 5, 6, 24, 47]
    assert all(set(one) == {"line", "id", "kind", "message"} for one in rejects(world))
    assert (done(world, key).accepted, done(world, key).rejected) == (LINES - 5, 5)
    assert world.call("GET", f"/v1/collections/{NAME}").json["rejected"] == 5


def test_a_line_longer_than_a_part_and_one_that_is_too_long(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PART_BYTES", 100)
    long = {"id": "long", "attributes": {"colour": "x" * 1_000, "price": 1}, "vectors": {"v": [1, 0, 0, 0]}}
    too_long = b'{"id": "too long", "attributes": {"colour": "' + b"y" * limits.MAX_LINE_BYTES + b'"}}'
    body = b"\n".join([orjson.dumps(item(0)), orjson.dumps(long), b"{", too_long, b"", orjson.dumps(item(1))])

    world.deliver(world.drop(KEY, body))
    assert world.work_off() == []

    assert set(found(world)) == {"i00", "long", "i01"}
    assert [(one["line"], one["kind"]) for one in rejects(world)] == [(3, "invalid-json"), (4, "payload-too-large")]
    assert done(world, KEY).accepted == 3


def test_deletions_go_the_same_way(world: SmallWorld) -> None:
    world.deliver(world.drop(*file_of("jsonl")))
    world.work_off()
    ids = [{"id": f"i{number:02d}"} for number in range(29)]

    world.deliver(world.drop(f"{INBOX}deletes/a.jsonl", b"\n".join(map(orjson.dumps, ids))))
    assert world.work_off() == []

    assert set(found(world)) == {"i29"}


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
    world.deliver(world.drop(*file_of("jsonl")))
    parts = parts_of(world)
    body = world.objects.objects.pop(KEY)
    assert world.deliver(world.message(parts[0])) == []

    world.objects.put(KEY, body)
    world.call("DELETE", f"/v1/collections/{NAME}")
    assert world.deliver(world.message(parts[1])) == []
    world.create(NAME, VECTORS)
    assert world.deliver(world.message(parts[2])) == []

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
    world.encode.broken = BROKEN
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


class _Slow(WrappedStore):
    """Every segment takes some seconds to write."""

    world: SmallWorld | None = None

    def before(self, operation: str, key: str) -> None:
        if key.endswith(".seg") and operation == "put_if_absent" and self.world is not None:
            self.world.clock.advance(4)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz"])
def test_a_file_for_which_one_run_has_no_time_goes_on_in_others(kind: str) -> None:
    stores: list[_Slow] = []

    def wrap(inner: MemoryStore) -> _Slow:
        stores.append(_Slow(inner))
        return stores[0]

    world = films(wrap=wrap, remaining_ms=29_000)
    stores[0].world = world
    key, body = file_of(kind)
    runs = 0

    world.deliver(world.drop(key, body))
    while world.queue.waiting:
        batch, world.queue.waiting = world.queue.waiting[:10], world.queue.waiting[10:]
        event = world.message(batch[0])
        event["Records"] = [{**event["Records"][0], "messageId": body, "body": body} for body in batch]
        assert world.deliver(event) == [], "nothing is tried again: what there is no time for goes to the next run"
        runs += 1

    assert runs > 2
    assert found(world) == STATE
    assert done(world, key).accepted == LINES


def test_cutting_goes_on_in_another_run(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.ingest.parts.PARTS_AT_ONCE", 1)
    monkeypatch.setattr("functions.ingest.pace.Pace.is_short", lambda _: True)
    world.deliver(world.drop(*file_of("jsonl")))
    cuts = 0

    while any(json.loads(body)["part"] is None for body in world.queue.waiting):
        assert world.deliver(world.message(world.queue.waiting.pop())) == []
        cuts += 1
    assert world.work_off() == []

    assert cuts >= LINES // LINES_A_PART
    assert found(world) == STATE
    assert done(world, KEY).accepted == LINES


class _Counted(WrappedStore):
    """Counts the bytes that are read of the inbox, and the largest read."""

    total = largest = 0

    def seen(self, key: str, start: int, body: bytes) -> bytes:
        if key.startswith("inbox/"):
            self.total += len(body)
            self.largest = max(self.largest, len(body))
        return body


def test_a_file_is_read_twice_in_all_and_never_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.ingest.objects.READ_BYTES", 4_096)
    monkeypatch.setattr("functions.ingest.portions.CHUNK_BYTES", 4_096)
    monkeypatch.setattr("functions.ingest.lines.CHUNK_BYTES", 4_096)
    monkeypatch.setattr(limits, "PART_BYTES", 20_000)
    monkeypatch.setattr(limits, "PART_LINES", 1_000)
    monkeypatch.setattr(limits, "MAX_SEGMENT_ROWS", 1_000)
    stores: list[_Counted] = []

    def wrap(inner: MemoryStore) -> _Counted:
        stores.append(_Counted(inner))
        return stores[0]

    world = films(wrap=wrap)
    body = file_of("jsonl", [item(number) for number in range(3_000)])[1]

    world.deliver(world.drop(KEY, body))
    assert world.work_off() == []

    assert done(world, KEY).accepted == 3_000
    assert stores[0].total == 2 * len(body)
    assert stores[0].largest == 4_096


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
