"""Events that come twice, late and in any order leave what the order of writing says, for searches and for builds."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from builder.compact import compact
from shardlake.catalog.base import SegmentRow
from shardlake.contracts.collection import schema_of_body
from shardlake.format import locations
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
INBOX = f"inbox/{NAME}/"
IDS = 150
EVENTS = 400
WRITES = 150  # while filters delete


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def written(world: SmallWorld, count: int, draw: random.Random) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Writes files of items and of deletions; returns the message of each, and what stands in the end: id to price."""
    messages, model = [], {}
    for number in range(count):
        ids = [f"i{draw.randrange(IDS):03d}" for _ in range(draw.randint(1, 3))]
        if draw.random() < 0.25:
            key, lines = f"{INBOX}deletes/{number}.jsonl", [{"id": each} for each in ids]
            for each in ids:
                model.pop(each, None)
        else:
            items = [{"id": each, "attributes": {"price": number}, "vectors": {"v": [1, number, 0, 0]}} for each in ids]
            key, lines = f"{INBOX}{number}.jsonl", items
            model.update(dict.fromkeys(ids, number))
        event = world.drop(key, b"\n".join(map(orjson.dumps, lines)))
        messages.append(event["Records"][0])
    return messages, model


def found(world: SmallWorld) -> dict[str, int]:
    answer = world.call("POST", f"/v1/collections/{NAME}/search", {"k": 1000})
    assert answer.status == 200, answer.text
    return {hit["id"]: hit["attributes"]["price"] for hit in answer.json["hits"]}


@pytest.mark.parametrize("seed", range(3))
def test_the_state_is_that_of_the_order_of_writing(world: SmallWorld, seed: int) -> None:
    draw = random.Random(seed)
    messages, model = written(world, EVENTS, draw)
    deliveries = [*messages, *draw.sample(messages, EVENTS // 3)]
    draw.shuffle(deliveries)

    row = world.catalog.get_collection(NAME)
    while deliveries:
        batch = [deliveries.pop() for _ in range(min(len(deliveries), draw.randint(1, 5)))]
        records = [{**message, "messageId": f"m-{number}"} for number, message in enumerate(batch)]
        assert world.deliver({"Records": records}) == []
        if draw.random() < 0.1:  # late events are told from parts of what was merged
            compact(world.objects, world.catalog, row.uid, schema_of_body(row.body), now=world.now())

    assert found(world) == model
    assert world.catalog.log_head(row.uid).sequence == EVENTS
    compact(world.objects, world.catalog, row.uid, schema_of_body(row.body), now=world.now())
    assert found(world) == model


def delete_by_price(world: SmallWorld, low: int) -> tuple[set[tuple[str, int]], list[dict[str, Any]]]:
    """Deletes what costs so much or more; returns id and price of what the filter saw, and the messages of it."""
    saw = {(name, price) for name, price in found(world).items() if price >= low}
    position = world.catalog.log_head(world.catalog.get_collection(NAME).uid).sequence
    answer = world.call("POST", f"/v1/collections/{NAME}/items:delete", {"filter": {"price": {"$gte": low}}})
    assert answer.json["accepted"] == len(saw)
    key = locations.api_deletes(NAME, str(answer.json["batch_id"]), position)
    return saw, world.event(key)["Records"] if saw else []


@pytest.mark.parametrize("seed", range(5))
def test_an_item_stands_as_it_was_written_last_unless_a_filter_saw_just_that(world: SmallWorld, seed: int) -> None:
    draw = random.Random(seed)
    row = world.catalog.get_collection(NAME)
    waiting: list[dict[str, Any]] = []
    last: dict[str, int] = {}
    gone: set[tuple[str, int]] = set()

    def deliver() -> None:
        message = waiting.pop(draw.randrange(len(waiting)))
        assert world.deliver({"Records": [message]}) == []
        if draw.random() < 0.3:
            waiting.append(message)  # it comes twice
        if draw.random() < 0.15:
            compact(world.objects, world.catalog, row.uid, schema_of_body(row.body), now=world.now())

    for number in range(WRITES):
        names = {f"i{draw.randrange(40):02d}" for _ in range(draw.randint(1, 3))}
        items = [{"id": one, "attributes": {"price": number}, "vectors": {"v": [1, number, 0, 0]}} for one in names]
        waiting += world.drop(f"{INBOX}{number}.jsonl", b"\n".join(map(orjson.dumps, items)))["Records"]
        last.update(dict.fromkeys(names, number))
        if draw.random() < 0.2:
            saw, messages = delete_by_price(world, number - draw.randrange(40))
            gone |= saw
            waiting += messages
        while len(waiting) > draw.randrange(12):
            deliver()
    while waiting:
        deliver()

    expected = {name: number for name, number in last.items() if (name, number) not in gone}
    assert found(world) == expected
    assert len(expected) < len(last)  # filters have deleted something for good


def written_in_order(world: SmallWorld, *names: str) -> list[dict[str, Any]]:
    """Writes a file an item; returns the events."""
    return [
        world.drop(f"{INBOX}{name}.jsonl", orjson.dumps({"id": "a" if name[0] == "a" else name, "attributes": {}}))
        for name in names
    ]


def collect(world: SmallWorld, rows: list[SegmentRow]) -> None:
    """Removes the objects of segments."""
    for row in rows:
        for key in world.keys(row.key.removesuffix(".seg")):
            world.objects.delete(key)


def test_the_log_is_read_anew_where_what_is_known_of_it_was_merged_and_collected_since(world: SmallWorld) -> None:
    oldest, newer, late, newest = written_in_order(world, "a0", "a1", "b", "c")
    row = world.catalog.get_collection(NAME)
    for event in (newer, newest, late):  # what is late makes the process read the log, and the ids of the newest alone
        assert world.deliver(event) == []
    merged = world.catalog.segments(row.uid)
    schema = schema_of_body(row.body)
    fewer = compact(
        world.objects,
        world.catalog,
        row.uid,
        schema,
        lambda rows: rows if len(rows) > 1 else (),
        now=world.now(),
    )
    assert fewer == 2
    collect(world, merged)

    assert world.deliver(oldest) == []

    assert world.catalog.log_head(row.uid).sequence == 4


def test_a_late_file_is_not_taken_for_gone_where_a_segment_of_the_log_is_missing(world: SmallWorld) -> None:
    oldest, newest = written_in_order(world, "a0", "a1")
    assert world.deliver(newest) == []
    row = world.catalog.get_collection(NAME)
    collect(world, world.catalog.segments(row.uid))

    assert world.deliver(oldest) == ["m-0"]

    assert world.lines()[-1]["outcome"] == "malformed-file"
