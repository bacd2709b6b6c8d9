"""What is refused for good, and what is tried again: only what an item itself is wrong about is the item's loss."""

from __future__ import annotations

import json

import pytest

from tests.small_world import PICTURES, VECTORS, SmallWorld

NAME = "shots"
BATCH = {"items": [{"id": "old", "vectors": {"v": [1, 2, 3, 4]}}]}


def items_in(world: SmallWorld) -> int:
    return sum(row.rows for row in world.catalog.segments(world.catalog.get_collection(NAME).uid))


@pytest.mark.parametrize("names_an_input", [False, True])
def test_a_role_that_is_refused_costs_no_item(names_an_input: bool) -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    one = json.dumps({"id": "i0", "media": {"text": "a boot"}}).encode()
    assert world.deliver(world.drop(f"inbox/{NAME}/first.jsonl", one)) == []  # the encoders are known from here on
    lines = [json.dumps({"id": f"i{number}", "media": {"text": "a boot"}}).encode() for number in range(3)]
    event = world.drop(f"inbox/{NAME}/a.jsonl", b"\n".join(lines))
    entries = [{"index": 1, "kind": "forbidden", "message": "refused our credentials"}]
    details = {"index": 1, "errors": entries} if names_an_input else {}
    world.encode.broken = {"error": {"kind": "forbidden", "message": "refused our credentials", "details": details}}

    assert world.deliver(event) == ["m-0"]
    world.encode.broken = None
    assert world.deliver(event) == []

    assert items_in(world) == 4
    assert world.keys("rejected/") == []


def test_items_accepted_for_a_dropped_collection_are_not_taken_in_by_the_next_of_its_name() -> None:
    world = SmallWorld()
    world.create(NAME, VECTORS)
    assert world.call("POST", f"/v1/collections/{NAME}/items", BATCH).status == 202
    late = world.event(*world.keys("inbox/"))
    world.call("DELETE", f"/v1/collections/{NAME}")
    world.create(NAME, VECTORS)

    assert world.deliver(late) == []
    assert items_in(world) == 0

    assert world.call("POST", f"/v1/collections/{NAME}/items", BATCH).status == 202
    world.deliver(world.event(*world.keys("inbox/")))
    assert items_in(world) == 1
