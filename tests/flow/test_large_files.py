"""Files that are taken in by parts: what stands afterwards is what one run would have left, whoever did which part."""

from __future__ import annotations

import json
import random

import orjson
import pytest

from shardlake import limits
from shardlake.testing import MemoryStore, WrappedStore
from tests.large_files import (
    INBOX,
    ITEMS,
    KEY,
    KINDS,
    LINES,
    LINES_A_PART,
    NAME,
    STATE,
    done,
    file_of,
    films,
    found,
    item,
    parts_of,
    receipt,
    rejects,
    small_parts,
    uid,
)
from tests.small_world import SmallWorld


@pytest.fixture(autouse=True)
def _parts_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


@pytest.fixture
def world() -> SmallWorld:
    return films()


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


def test_parts_that_come_last_first_are_settled_without_keeping_all_ids(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ingest.log.MAX_IDS_KEPT", 7)
    world.deliver(world.drop(*file_of("jsonl")))

    for message in reversed(parts_of(world)):
        assert world.deliver(world.message(message)) == []

    assert found(world) == STATE
    (known,) = world.ingest.log._known.values()
    assert len(known.last) <= 7 + limits.MAX_SEGMENT_ROWS


def test_equal_parts_of_a_file_are_not_taken_for_one(world: SmallWorld) -> None:
    prices = [1] * LINES_A_PART + [2] * LINES_A_PART + [1] * LINES_A_PART
    items = [{**item(number % LINES_A_PART), "attributes": {"price": price}} for number, price in enumerate(prices)]

    world.deliver(world.drop(*file_of("jsonl", items)))
    assert world.work_off() == []

    assert set(found(world).values()) == {1}


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
