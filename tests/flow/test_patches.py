"""Changes of attributes: made of the item as it is, vectors kept, none lost to another writer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from functions.ingest import intake
from tests.flow.test_deletions import BASE, INBOX, NAME, deliver_all, ids, merge, unseen
from tests.small_world import VECTORS, Answer, SmallWorld


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def put(world: SmallWorld, *items: dict[str, Any]) -> None:
    assert world.call("POST", f"{BASE}/items", {"items": list(items)}).status == 202


def patch(world: SmallWorld, *items: dict[str, Any], **query: str) -> Answer:
    return world.call("PATCH", f"{BASE}/items", {"items": list(items)}, query=query or None)


def stored(world: SmallWorld, name: str) -> dict[str, Any]:
    found: dict[str, Any] = world.call("GET", f"{BASE}/items/{name}").json
    return found


RED = {"id": "a", "attributes": {"colour": "red", "price": 1}, "vectors": {"v": [0, 3, 4, 0]}}


def test_a_patch_changes_what_it_names_and_keeps_the_rest(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, RED, {"id": "b", "attributes": {"colour": "red"}})
    deliver_all(world, seen)

    answer = patch(world, {"id": "a", "attributes": {"price": 7.5}}, {"id": "b", "attributes": {"colour": None}})
    assert (answer.status, answer.json["accepted"], answer.json["searchable"]) == (202, 2, "soon")
    deliver_all(world, seen)

    one = stored(world, "a")
    assert one["attributes"] == {"colour": "red", "price": 7.5}
    assert one["vectors"]["v"] == pytest.approx([0, 0.6, 0.8, 0])
    assert stored(world, "b") == {"id": "b", "attributes": {}, "vectors": {}}
    assert ids(world, filter={"price": {"$gt": 7}}) == ["a"]
    assert ids(world, filter={"colour": "red"}) == ["a"]


@pytest.mark.parametrize("merged", [False, True])
def test_what_arrives_late_does_not_undo_a_patch(world: SmallWorld, merged: bool) -> None:
    seen: set[str] = set()
    put(world, {**RED, "attributes": {"price": 9}})
    late = unseen(world, seen)
    put(world, RED)
    deliver_all(world, seen)
    patch(world, {"id": "a", "attributes": {"price": 2}})
    deliver_all(world, seen)
    if merged:
        assert merge(world) == 1

    assert world.deliver(late) == []

    assert stored(world, "a")["attributes"] == {"colour": "red", "price": 2}


def test_patches_of_one_item_follow_one_another_and_repetitions_change_nothing(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, RED)
    deliver_all(world, seen)
    patch(world, {"id": "a", "attributes": {"price": 2}}, {"id": "a", "attributes": {"colour": "blue"}})
    event = world.event(*(key for key in world.keys(INBOX) if key not in seen))

    for _ in range(3):
        assert world.deliver(event) == []

    assert stored(world, "a")["attributes"] == {"colour": "blue", "price": 2}
    assert world.catalog.log_head(world.catalog.get_collection(NAME).uid).sequence == 2


def test_two_writers_of_one_item_both_get_through(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    put(world, RED)
    deliver_all(world, seen)
    patch(world, {"id": "a", "attributes": {"price": 2}})
    patch(world, {"id": "a", "attributes": {"colour": "blue"}})
    first, second = (key for key in world.keys(INBOX) if key not in seen)
    look_up = intake.patched
    others = [world.event(second)]

    def overtaken(*asked: Any) -> Any:
        made = look_up(*asked)
        if others:  # another writer is faster, between the look-up and the commit
            assert world.deliver(others.pop()) == []
        return made

    monkeypatch.setattr(intake, "patched", overtaken)
    assert world.deliver(world.event(first)) == []

    assert stored(world, "a")["attributes"] == {"colour": "blue", "price": 2}


def test_a_patch_of_no_item_is_rejected_and_the_others_are_made(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, RED)
    deliver_all(world, seen)
    world.while_idle = lambda: deliver_all(world, seen)

    answer = patch(
        world, {"id": "never", "attributes": {"price": 1}}, {"id": "a", "attributes": {"price": 9}}, wait="true"
    )

    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (200, 1, 1)
    assert stored(world, "a")["attributes"]["price"] == 9
    (rejected,) = world.keys("rejected/")
    (line,) = [orjson.loads(one) for one in world.objects.objects[rejected].splitlines()]
    assert (line["line"], line["id"], line["kind"]) == (1, "never", "item-not-found")


def test_a_deleted_item_is_none_to_patch_and_a_patch_brings_none_back(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, RED)
    deliver_all(world, seen)
    world.call("POST", f"{BASE}/items:delete", {"ids": ["a"]})
    deliver_all(world, seen)
    patch(world, {"id": "a", "attributes": {"price": 9}})
    deliver_all(world, seen)

    assert ids(world) == []


def test_attributes_stay_within_their_bound(world: SmallWorld) -> None:
    seen: set[str] = set()
    world.create("texts", {"spaces": {"v": {"dimension": 4}}, "attributes": {n: {"type": "text"} for n in "xy"}})
    big = "a" * 40_000
    world.call("POST", "/v1/collections/texts/items", {"items": [{"id": "a", "attributes": {"x": big}}]})
    world.deliver(world.event(*world.keys("inbox/texts/")))
    seen.update(world.keys("inbox/texts/"))

    world.call("PATCH", "/v1/collections/texts/items", {"items": [{"id": "a", "attributes": {"y": big}}]})
    world.deliver(world.event(*(key for key in world.keys("inbox/texts/") if key not in seen)))

    (rejected,) = world.keys("rejected/")
    assert orjson.loads(world.objects.objects[rejected])["kind"] == "invalid-item"
    assert world.call("GET", "/v1/collections/texts/items/a").json["attributes"] == {"x": big}
