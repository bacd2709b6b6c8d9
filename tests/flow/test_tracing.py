"""A deletion followed over HTTP, from the request to the collection after which no object has the item."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from builder.collect import Patience
from functions.build import tracing
from functions.build.service import Builds
from shardlake.observability import Observer
from tests.lake import queued
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
OBSERVER = Observer("tracing", stream=io.StringIO())
BASE = f"/v1/collections/{NAME}"


class Building:
    """The build function of a small world, as its handler serves it."""

    def __init__(self, world: SmallWorld, scratch: Path) -> None:
        self.world = world
        self.scratch = scratch
        self.name = NAME
        self.builds = Builds(
            store=world.objects,
            catalog=world.catalog,
            part_rows=1_000,
            threads=1,
            clock=lambda: (datetime.now(UTC) + timedelta(days=20)).isoformat(),
            patience=Patience(versions=1, grace=timedelta(0), segments=timedelta(0)),
        )
        world.invoker.functions["build"] = self.trace

    def trace(self, payload: bytes) -> bytes:
        event = {**orjson.loads(payload), "collection": self.name}
        return orjson.dumps(tracing.respond(event, lambda: self.builds, observer=OBSERVER, request_id="r"))

    def run(self, build_id: str) -> None:
        self.world.catalog.put_build(self.world.catalog.get_collection(NAME).uid, queued(build_id))
        self.builds.run(NAME, build_id, scratch=self.scratch)
        self.builds.collect(NAME)


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def deliver(world: SmallWorld, seen: set[str]) -> None:
    """Has the queue deliver what was written to the inbox since."""
    keys = [key for key in world.keys("inbox/") if key not in seen]
    seen.update(keys)
    assert world.deliver(world.event(*keys)) == []


def holders(world: SmallWorld, item_id: str) -> list[dict[str, Any]]:
    answer = world.call("POST", f"{BASE}/items:trace", {"id": item_id})
    assert answer.status == 200, answer.text
    assert answer.json["id"] == item_id
    found: list[dict[str, Any]] = answer.json["holders"]
    return found


def test_a_deleted_item_is_traced_until_nothing_of_it_is_left(world: SmallWorld, tmp_path: Path) -> None:
    building, seen = Building(world, tmp_path), set[str]()
    items = [{"id": name, "vectors": {"v": [1, 0, 0, 1]}} for name in ("kept", "a strange/id ü")]
    world.call("POST", f"{BASE}/items", {"items": items})
    deliver(world, seen)
    building.run("b1")
    assert {one["kept_by"] for one in holders(world, "a strange/id ü")} == {"log", "current"}

    world.call("POST", f"{BASE}/items:delete", {"ids": ["a strange/id ü"]})
    deliver(world, seen)
    for number in range(2, 5):
        world.call("POST", f"{BASE}/items", {"items": [{"id": "kept", "vectors": {"v": [1, 0, 0, number]}}]})
        deliver(world, seen)
        building.run(f"b{number}")

    left = holders(world, "a strange/id ü")
    assert [one for one in left if one["holds"] != "id"] == []
    steps = world.call("POST", f"{BASE}/items:trace", {"id": "a strange/id ü"}).json["past"]["steps"]
    assert {one["what"] for one in steps} >= {"replaced", "removed"}
    assert holders(world, "kept")


def test_a_build_function_that_fails_is_a_failure(world: SmallWorld, tmp_path: Path) -> None:
    for reply in (b"nonsense", b"[]", b'{"build_id": "b"}'):
        world.invoker.functions["build"] = lambda payload, reply=reply: reply
        answer = world.call("POST", f"{BASE}/items:trace", {"id": "a"})
        assert (answer.status, answer.kind) == (503, "function-unavailable")
    building = Building(world, tmp_path)
    building.name = "none"
    assert world.call("POST", f"{BASE}/items:trace", {"id": "a"}).kind == "collection-not-found"
    world.invoker.functions["build"] = lambda payload: b'{"error": {"kind": "store-unavailable", "message": "m"}}'
    assert world.call("POST", f"{BASE}/items:trace", {"id": "a"}).kind == "store-unavailable"
