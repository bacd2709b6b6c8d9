"""Events that come twice, late and in any order leave what the order of writing says, for searches and for builds."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from builder.compact import compact
from shardlake.contracts.collection import schema_of_body
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
INBOX = f"inbox/{NAME}/"
IDS = 2_000
EVENTS = 10_000


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


@pytest.mark.parametrize("seed", range(1))
def test_the_state_is_that_of_the_order_of_writing(seed: int) -> None:
    draw = random.Random(seed)
    world = SmallWorld()
    world.create(NAME, VECTORS)
    messages, model = written(world, EVENTS, draw)
    deliveries = [*messages, *draw.sample(messages, EVENTS // 3)]
    draw.shuffle(deliveries)

    row = world.catalog.get_collection(NAME)
    while deliveries:
        batch = [deliveries.pop() for _ in range(min(len(deliveries), draw.randint(1, 5)))]
        records = [{**message, "messageId": f"m-{number}"} for number, message in enumerate(batch)]
        assert world.deliver({"Records": records}) == []
        if draw.random() < 0.1:  # late events are told from parts of what was merged
            compact(world.objects, world.catalog, row.uid, schema_of_body(row.body))

    assert found(world) == model
    assert world.catalog.log_head(row.uid).sequence == EVENTS
    compact(world.objects, world.catalog, row.uid, schema_of_body(row.body))
    assert found(world) == model
