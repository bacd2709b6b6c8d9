"""Items that expire, from the request that puts them to every way of asking for them, and to what comes late."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from builder.purge import purge
from shardlake.contracts.collection import schema_of_body
from tests.flow.test_deletions import BASE, INBOX, NAME, build, delete, deliver_all, ids, merge, unseen
from tests.small_world import SmallWorld

SCHEMA: dict[str, Any] = {
    "spaces": {"v": {"dimension": 2}, "w": {"dimension": 2, "metric": "l2"}},
    "attributes": {
        "ends": {"type": "datetime"},
        "title": {"type": "text"},
        "brand": {"type": "keyword"},
        "stock": {"type": "int"},
    },
    "ttl": "ends",
}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STATES = ["pending", "merged", "built", "built and overwritten"]


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, SCHEMA)
    return made


@pytest.fixture
def seen() -> set[str]:
    """What the queue has delivered."""
    return set()


def put(world: SmallWorld, name: str, ends: timedelta | None = None, **attributes: Any) -> None:
    """Puts an item that ends so long from now."""
    when = {} if ends is None else {"ends": (world.now() + ends).isoformat()}
    number = int(name[1:])
    body = {
        "id": name,
        "attributes": {"title": "red boots", "brand": "acme", "stock": number} | when | attributes,
        "vectors": {"v": [1, number], "w": [number, 0]},
    }
    assert world.call("POST", f"{BASE}/items", {"items": [body]}).status == 202


def filled(world: SmallWorld, seen: set[str], state: str, scratch: Path) -> None:
    """Puts i1 and i3, which end in an hour, i2, which ends in two, and i4, which never does."""
    put(world, "i1", HOUR, brand="bolt")
    deliver_all(world, seen)
    put(world, "i2", 2 * HOUR)
    deliver_all(world, seen)
    put(world, "i3", HOUR if state != "built and overwritten" else None)
    put(world, "i4")
    deliver_all(world, seen)
    if state == "merged":
        assert merge(world) > 0
    if state.startswith("built"):
        build(world, "b1", scratch)
    if state == "built and overwritten":
        put(world, "i3", HOUR)
        deliver_all(world, seen)


def search(world: SmallWorld, **body: Any) -> dict[str, Any]:
    answer = world.call("POST", f"{BASE}/search", {"k": 10, **body})
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


NEAR_V = {"query": {"vector": {"v": [1, 0]}}}
WAYS: dict[str, dict[str, Any]] = {
    "by id": {},
    "filtered": {"filter": {"stock": {"$lt": 9}}},
    "filtered by the time": {"filter": {"ends": {"$exists": True}}},
    "negated": {"filter": {"$not": {"ends": {"$gt": "2020-01-01T00:00:00Z"}}}},
    "nearest": {**NEAR_V, "k": 2},
    "exact": {**NEAR_V, "recall": 1},
    "other space": {"query": {"vector": {"w": [0, 0]}}, "k": 1},
    "words": {"match": {"title": "boots"}},
    "both": {**NEAR_V, "match": {"title": "red"}},
    "ranks": {**NEAR_V, "match": {"title": "red"}, "fusion": "rrf"},
    "both, filtered": {**NEAR_V, "match": {"title": "red"}, "filter": {"brand": "acme"}},
    "ranked": {"rank": "0 - stock"},
    "diverse": {**NEAR_V, "diversity": 0.5},
}
BEFORE = {
    "by id": ["i1", "i2", "i3", "i4"],
    "filtered": ["i1", "i2", "i3", "i4"],
    "filtered by the time": ["i1", "i2", "i3"],
    "negated": ["i4"],
    "nearest": ["i1", "i2"],
    "other space": ["i1"],
    "both, filtered": ["i2", "i3", "i4"],
}
AFTER = {
    "filtered by the time": ["i2"],
    "negated": ["i4"],
    "other space": ["i2"],
}


# What is found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_no_search_finds_what_has_expired(world: SmallWorld, seen: set[str], tmp_path: Path, state: str) -> None:
    filled(world, seen, state, tmp_path)
    for way, body in WAYS.items():
        assert sorted(ids(world, **body)) == BEFORE.get(way, ["i1", "i2", "i3", "i4"])[: body.get("k", 10)], way

    world.wait(HOUR)

    for way, body in WAYS.items():
        assert sorted(ids(world, **body)) == AFTER.get(way, ["i2", "i4"]), way
    batch = world.call("POST", f"{BASE}/search:batch", {"searches": [{"k": 10, **body} for body in WAYS.values()]})
    assert [[hit["id"] for hit in one["hits"]] for one in batch.json["results"]] == [
        ids(world, **body) for body in WAYS.values()
    ]
    world.wait(HOUR)
    assert ids(world) == ["i4"], "without anybody doing anything"


@pytest.mark.parametrize("state", STATES)
def test_nothing_counts_what_has_expired(world: SmallWorld, seen: set[str], tmp_path: Path, state: str) -> None:
    filled(world, seen, state, tmp_path)
    counted = {"facets": ["brand", "ends"], "filter": {"title": {"$exists": True}}}
    assert search(world, **counted)["facets"]["brand"] == {"acme": 3, "bolt": 1}
    assert world.call("GET", BASE).json["rows"] == 4

    world.wait(HOUR)

    answer = search(world, **counted)
    assert {value: n for value, n in answer["facets"]["brand"].items() if n} == {"acme": 2}
    assert sum(one["count"] for one in answer["facets"]["ends"]) == 1
    assert answer["stats"]["rows_passing"] == 2
    grouped = search(world, **NEAR_V, group_by={"attribute": "brand", "size": 3})
    assert [hit["id"] for hit in grouped["hits"]] == ["i2", "i4"]
    assert world.call("GET", BASE).json["rows"] == 2
    assert world.call("GET", "/v1/collections").json["collections"][0]["rows"] == 2


@pytest.mark.parametrize("state", STATES)
def test_an_expired_item_is_none_to_look_up_scan_or_name(
    world: SmallWorld, seen: set[str], tmp_path: Path, state: str
) -> None:
    filled(world, seen, state, tmp_path)
    assert world.call("GET", f"{BASE}/items/i3").status == 200
    assert ids(world, query={"like": ["i3"]}) != []

    world.wait(HOUR)

    assert world.call("GET", f"{BASE}/items/i3").kind == "item-not-found"
    assert world.call("GET", f"{BASE}/items/i2").status == 200
    assert [one["id"] for one in world.call("GET", f"{BASE}/items").json["items"]] == ["i2", "i4"]
    for example in ({"like": ["i2", "i3"]}, {"like": ["i2"], "unlike": ["i1"]}):
        refused = world.call("POST", f"{BASE}/search", {"query": example})
        assert (refused.status, refused.kind) == (404, "item-not-found")


def test_an_item_is_there_until_the_second_of_its_time_and_not_in_it(world: SmallWorld, seen: set[str]) -> None:
    put(world, "i1", ends=10 * MINUTE)
    deliver_all(world, seen)
    ends = search(world, include=["attributes"])["hits"][0]["attributes"]["ends"]
    now = world.now()

    world.wait(datetime.fromisoformat(ends) - now - timedelta(milliseconds=1))
    assert ids(world) == ["i1"]
    world.wait(timedelta(milliseconds=1))
    assert ids(world) == []


def test_a_collection_without_ttl_keeps_what_has_ended(seen: set[str]) -> None:
    world = SmallWorld()
    world.create(NAME, {name: value for name, value in SCHEMA.items() if name != "ttl"})
    put(world, "i1", -HOUR)
    deliver_all(world, seen)

    assert ids(world) == ["i1"]
    assert world.call("GET", BASE).json["rows"] == 1


# Changes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_written_again_with_a_later_time_it_is_there_again(
    world: SmallWorld, seen: set[str], tmp_path: Path, state: str
) -> None:
    filled(world, seen, state, tmp_path)
    world.wait(HOUR)
    put(world, "i3", HOUR, stock=30)
    put(world, "i1")
    deliver_all(world, seen)

    assert ids(world) == ["i1", "i2", "i3", "i4"]
    assert ids(world, filter={"stock": 30}) == ["i3"]
    world.wait(HOUR)
    assert ids(world) == ["i1", "i4"]


@pytest.mark.parametrize("state", STATES)
def test_what_an_expired_item_has_overwritten_does_not_come_back(
    world: SmallWorld, seen: set[str], tmp_path: Path, state: str
) -> None:
    filled(world, seen, state, tmp_path)
    put(world, "i4", -HOUR)  # it has expired when it comes
    put(world, "i2", MINUTE)
    deliver_all(world, seen)
    assert ids(world) == ["i1", "i2", "i3"]
    world.wait(3 * MINUTE)

    assert ids(world) == ["i1", "i3"]
    assert merge(world) > 0
    assert ids(world) == ["i1", "i3"]
    build(world, "b2", tmp_path)
    assert ids(world) == ["i1", "i3"]
    row = world.catalog.get_collection(NAME)
    purge(world.objects, world.catalog, row.uid, schema_of_body(row.body), now=world.now(), min_share=0)
    build(world, "b3", tmp_path)
    assert ids(world) == ["i1", "i3"]
    assert world.call("GET", BASE).json["rows"] == 2


@pytest.mark.parametrize("state", STATES)
def test_a_patch_of_an_expired_item_is_refused_and_one_of_another_lengthens_its_time(
    world: SmallWorld, seen: set[str], tmp_path: Path, state: str
) -> None:
    filled(world, seen, state, tmp_path)
    world.wait(HOUR)
    later = {"ends": (world.now() + 3 * HOUR).isoformat()}
    patches = [{"id": name, "attributes": later} for name in ("i2", "i3")]
    assert world.call("PATCH", f"{BASE}/items", {"items": patches}).status == 202
    deliver_all(world, seen)

    (rejected,) = world.keys("rejected/")
    (refused,) = [orjson.loads(line) for line in world.objects.objects[rejected].splitlines()]
    assert (refused["id"], refused["kind"]) == ("i3", "item-not-found")
    world.wait(2 * HOUR)
    assert ids(world) == ["i2", "i4"]
    assert world.call("GET", f"{BASE}/items/i2").json["vectors"]["w"] == [2, 0]


@pytest.mark.parametrize("state", STATES)
def test_a_deletion_by_filter_sees_no_expired_item(
    world: SmallWorld, seen: set[str], tmp_path: Path, state: str
) -> None:
    filled(world, seen, state, tmp_path)
    world.wait(HOUR)

    assert delete(world, {"filter": {"stock": {"$gte": 2}}}).json["accepted"] == 2
    deliver_all(world, seen)
    assert ids(world) == []
    assert delete(world, {"filter": {}}).json["accepted"] == 0


@pytest.mark.parametrize("end", ["merged", "built and purged"])
def test_what_comes_late_does_not_undo_what_has_expired(
    world: SmallWorld, seen: set[str], tmp_path: Path, end: str
) -> None:
    put(world, "i1", stock=7)
    late = unseen(world, seen)
    put(world, "i1", MINUTE)
    deliver_all(world, seen)
    put(world, "i2")
    deliver_all(world, seen)
    world.wait(3 * MINUTE)
    if end == "merged":
        assert merge(world) == 1
    else:
        build(world, "b1", tmp_path)
        row = world.catalog.get_collection(NAME)
        assert purge(world.objects, world.catalog, row.uid, schema_of_body(row.body), now=world.now(), min_share=0) == 1

    assert world.deliver(late) == []

    assert ids(world) == ["i2"]
    build(world, "b9", tmp_path)
    assert ids(world) == ["i2"]


def test_a_file_of_items_that_have_expired_already_is_taken_in_and_shows_nothing(
    world: SmallWorld, seen: set[str]
) -> None:
    lines = b"\n".join(b'{"id":"j%d","attributes":{"ends":"2020-01-01T00:00:00Z"}}' % number for number in range(5))

    assert world.deliver(world.drop(f"{INBOX}old.jsonl", lines)) == []

    assert ids(world) == []
    info = world.call("GET", BASE).json
    assert (info["rows"], info["rejected"]) == (0, 0)


# Snapshots, pages, aliases -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("body", [{}, {**NEAR_V, "recall": 1}, NEAR_V, {"match": {"title": "boots"}}])
def test_pages_of_a_cursor_go_on_without_what_has_expired_since(
    world: SmallWorld, seen: set[str], tmp_path: Path, state: str, body: dict[str, Any]
) -> None:
    for number in range(5, 9):
        put(world, f"i{number}", 2 * HOUR if number % 2 else None)
    filled(world, seen, state, tmp_path)
    whole = ids(world, **body)
    page = search(world, **body, k=2)
    assert [hit["id"] for hit in page["hits"]] == whole[:2]

    world.wait(HOUR)
    found: list[str] = []
    while page["cursor"] is not None:
        page = search(world, **body, k=2, cursor=page["cursor"])
        found += [hit["id"] for hit in page["hits"]]

    assert found == [name for name in whole[2:] if name not in {"i1", "i3"}]


def test_a_version_that_was_built_before_is_searched_as_of_now(
    world: SmallWorld, seen: set[str], tmp_path: Path
) -> None:
    filled(world, seen, "pending", tmp_path)
    first = build(world, "b1", tmp_path)
    assert world.call("PUT", f"{BASE}/aliases/live", {"version": first}).status == 200
    put(world, "i5")
    deliver_all(world, seen)
    build(world, "b2", tmp_path)

    def of(reference: str) -> list[str]:
        answer = world.call("POST", f"/v1/collections/{reference}/search", {"k": 10})
        return [hit["id"] for hit in answer.json["hits"]]

    assert of(f"{NAME}@{first}") == of(f"{NAME}@live") == ["i1", "i2", "i3", "i4"]
    world.wait(HOUR)
    assert of(f"{NAME}@{first}") == of(f"{NAME}@live") == ["i2", "i4"]
    assert world.call("GET", f"/v1/collections/{NAME}@live/items/i1").kind == "item-not-found"
    assert world.call("POST", f"{BASE}/rollback", {"version": first}).status == 200
    assert ids(world) == ["i2", "i4"]
    assert world.call("GET", BASE).json["rows"] == 2


# What is declared --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", ["nothing", "brand", "stock", 60])
def test_a_ttl_that_names_no_datetime_is_refused(ttl: object) -> None:
    answer = SmallWorld().call("PUT", f"/v1/collections/{NAME}", SCHEMA | {"ttl": ttl})

    assert (answer.status, answer.kind) == (400, "invalid-collection")
    assert answer.json["error"]["details"]["errors"][0]["at"] == "ttl"


def test_the_schema_shows_its_ttl_and_is_the_same_schema_with_it_only(world: SmallWorld) -> None:
    assert world.call("GET", BASE).json["schema"]["ttl"] == "ends"
    assert world.call("PUT", BASE, SCHEMA).status == 200
    without = {name: value for name, value in SCHEMA.items() if name != "ttl"}
    assert world.call("PUT", BASE, without).kind == "name-taken"
    world.create("others", without | {"ttl": None})
    assert "ttl" not in world.call("GET", "/v1/collections/others").json["schema"]
