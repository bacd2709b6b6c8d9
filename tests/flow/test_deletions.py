"""Deletions, by file, by id and by filter, from the request to the search that must not find them; and waiting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from builder.collect import GRACE_OF_SEGMENTS
from builder.compact import compact
from builder.purge import purge
from functions.api.searching import ATTEMPTS
from functions.build.service import Builds
from functions.ingest.events import MAX_AGE, drops_of
from shardlake.catalog.base import BuildState, SegmentRow
from shardlake.contracts.collection import schema_of_body
from shardlake.format.segment import decode_segment
from tests.lake import queued
from tests.small_world import VECTORS, Answer, SmallWorld

NAME = "films"
BASE = f"/v1/collections/{NAME}"
INBOX = f"inbox/{NAME}/"


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def put(world: SmallWorld, *numbers: int, price: float | None = None) -> Answer:
    items = [
        {"id": f"i{n}", "attributes": {"price": n if price is None else price}, "vectors": {"v": [n + 1, 0, 0, 1]}}
        for n in numbers
    ]
    return world.call("POST", f"{BASE}/items", {"items": items})


def delete(world: SmallWorld, body: dict[str, Any], **query: str) -> Answer:
    return world.call("POST", f"{BASE}/items:delete", body, query=query or None)


def deliver_all(world: SmallWorld, seen: set[str]) -> None:
    """Has the queue deliver what was written to the inbox since."""
    keys = [key for key in world.keys(INBOX) if key not in seen]
    seen.update(keys)
    if keys:
        assert world.deliver(world.event(*keys)) == []


def unseen(world: SmallWorld, seen: set[str]) -> dict[str, Any]:
    """Returns the event of what was written to the inbox since, still to be delivered."""
    keys = [key for key in world.keys(INBOX) if key not in seen]
    seen.update(keys)
    return world.event(*keys)


def merge(world: SmallWorld) -> int:
    """Compacts all that is pending into one segment; returns how many are fewer."""
    row = world.catalog.get_collection(NAME)
    schema = schema_of_body(row.body)

    def everything(rows: Sequence[SegmentRow]) -> Sequence[SegmentRow]:
        return rows if len(rows) > 1 else ()

    return compact(world.objects, world.catalog, row.uid, schema, everything, now=world.now())


def build(world: SmallWorld, build_id: str, scratch: Path) -> str:
    """Builds; returns the version."""
    world.catalog.put_build(world.catalog.get_collection(NAME).uid, queued(build_id))
    builds = Builds(
        store=world.objects,
        catalog=world.catalog,
        part_rows=1_000,
        threads=1,
        clock=lambda: world.now().isoformat(),
    )
    row = builds.run(NAME, build_id, scratch=scratch)
    assert row.state is BuildState.DONE, row.error
    assert row.version is not None
    return row.version


def ids(world: SmallWorld, **body: Any) -> list[str]:
    answer = world.call("POST", f"{BASE}/search", {"k": 100, **body})
    assert answer.status == 200, answer.text
    return [hit["id"] for hit in answer.json["hits"]]


def test_what_was_put_is_found_without_a_build_and_what_was_deleted_is_not(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, 1, 2, 3)
    deliver_all(world, seen)
    assert ids(world) == ["i1", "i2", "i3"]

    answer = delete(world, {"ids": ["i2", "i2", "never"]})
    assert (answer.status, answer.json["accepted"], answer.json["searchable"]) == (202, 2, "soon")
    assert ids(world) == ["i1", "i2", "i3"]
    deliver_all(world, seen)

    assert ids(world) == ["i1", "i3"]
    assert world.call("GET", f"{BASE}/items/i2").status == 404
    assert world.call("GET", BASE).json["rows"] == 2
    assert world.call("GET", "/v1/collections").json["collections"][0]["rows"] == 2


def test_a_deleted_item_can_be_put_again_and_deleted_again(world: SmallWorld) -> None:
    for _ in range(2):
        put(world, 1)
        world.deliver(world.event(world.keys(f"{INBOX}.api/")[0]))
        assert ids(world) == ["i1"]
        delete(world, {"ids": ["i1"]})
        world.deliver(world.event(*(key for key in world.keys(INBOX) if key.endswith(".deletes.jsonl"))))
        assert ids(world) == []


def test_a_file_of_ids_deletes_them_and_bad_lines_stop_no_good_one(world: SmallWorld) -> None:
    put(world, 1, 2, 3)
    deliver_all(world, set())
    lines = [b'{"id":"i1"}', b"nonsense", b'{"id":"i3","more":1}', b'{"id":""}', b'{"id":"i2"}']

    assert world.deliver(world.drop(f"{INBOX}deletes/gone.jsonl", b"\n".join(lines))) == []

    assert ids(world) == ["i3"]
    (rejected,) = world.keys("rejected/")
    refused = [orjson.loads(line) for line in world.objects.objects[rejected].splitlines()]
    assert [(one["line"], one["kind"]) for one in refused] == [
        (2, "invalid-json"),
        (3, "invalid-item"),
        (4, "invalid-item"),
    ]
    assert world.call("GET", BASE).json["rejected"] == 3


def test_another_kind_of_file_in_deletes_is_refused(world: SmallWorld) -> None:
    world.deliver(world.drop(f"{INBOX}deletes/gone.parquet", b"x"))

    status = world.call("POST", f"{BASE}/uploads:status", {"keys": [f"{INBOX}deletes/gone.parquet"]})
    assert status.json["receipts"][f"{INBOX}deletes/gone.parquet"]["state"] == "failed"


def test_a_filter_deletes_all_that_pass_it_page_by_page(world: SmallWorld) -> None:
    seen: set[str] = set()
    for start in range(0, 2_500, 500):
        put(world, *range(start, start + 500))
    deliver_all(world, seen)

    answer = delete(world, {"filter": {"price": {"$lt": 2_400}}})
    assert answer.json["accepted"] == 2_400
    deliver_all(world, seen)

    assert ids(world, k=1000) == sorted(f"i{n}" for n in range(2_400, 2_500))


def test_an_item_written_after_its_filter_was_answered_stays(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, 1, 2)
    deliver_all(world, seen)

    assert delete(world, {"filter": {"price": {"$lt": 10}}}).json["accepted"] == 2
    deletes = [key for key in world.keys(INBOX) if key.endswith(".deletes.jsonl")]
    seen.update(deletes)
    put(world, 2, price=50)
    deliver_all(world, seen)  # it overtakes the deletion
    assert world.deliver(world.event(*deletes)) == []

    assert ids(world) == ["i2"]
    assert ids(world, filter={"price": {"$gt": 40}}) == ["i2"]


def test_an_item_that_the_filter_did_not_see_stays_though_the_deletion_overtakes_it(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, 1, 2)
    deliver_all(world, seen)
    put(world, 2, price=50)
    on_its_way = unseen(world, seen)

    assert delete(world, {"filter": {"price": {"$lt": 10}}}).json["accepted"] == 2
    deliver_all(world, seen)
    assert world.deliver(on_its_way) == []

    assert ids(world) == ["i2"]


@pytest.mark.parametrize("merged", [False, True])
def test_what_was_written_before_what_the_filter_found_stays_gone_when_it_arrives_late(
    world: SmallWorld, merged: bool
) -> None:
    seen: set[str] = set()
    put(world, 2, price=1)
    late = unseen(world, seen)
    put(world, 2, price=5)
    deliver_all(world, seen)
    delete(world, {"filter": {"price": {"$lt": 10}}})
    deliver_all(world, seen)
    if merged:
        assert merge(world) == 1

    assert world.deliver(late) == []

    assert ids(world) == []


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("change", ["delete", "patch"])
def test_what_is_late_does_not_undo_a_change_though_what_was_changed_is_purged(
    world: SmallWorld, tmp_path: Path, change: str, merged: bool
) -> None:
    seen: set[str] = set()
    put(world, 2, price=1)
    late = unseen(world, seen)
    put(world, 2, price=5)
    deliver_all(world, seen)
    if change == "delete":
        assert delete(world, {"filter": {"price": 5}}).status == 202
    else:
        patches = [{"id": "i2", "attributes": {"price": 7}}]
        assert world.call("PATCH", f"{BASE}/items", {"items": patches}).status == 202
    deliver_all(world, seen)
    if merged:
        assert merge(world) == 1
    build(world, "b1", tmp_path)
    row = world.catalog.get_collection(NAME)
    fewer = purge(world.objects, world.catalog, row.uid, schema_of_body(row.body), now=world.now(), min_share=0)
    assert fewer == (0 if merged else 1)

    assert world.deliver(late) == []

    assert ids(world, filter={"price": {"$ne": 7}}) == []


@pytest.mark.parametrize("is_built", [False, True])
def test_a_filter_sees_a_version_and_what_is_pending_alike(world: SmallWorld, tmp_path: Path, is_built: bool) -> None:
    seen: set[str] = set()
    put(world, 1, 2, 3)
    deliver_all(world, seen)
    build(world, "b1", tmp_path)
    put(world, 3, 4)
    deliver_all(world, seen)
    if is_built:
        build(world, "b2", tmp_path)

    assert delete(world, {"filter": {"price": {"$gte": 2}}}).json["accepted"] == 3
    deletion = unseen(world, seen)
    put(world, 4, price=50)
    deliver_all(world, seen)
    assert world.deliver(deletion) == []

    assert ids(world) == ["i1", "i4"]
    assert world.call("GET", BASE).json["rows"] == 2


def test_what_comes_more_than_two_weeks_late_is_not_taken_in(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, 1)
    late = unseen(world, seen)
    put(world, 2)
    on_time = unseen(world, seen)
    assert world.deliver(on_time) == []
    world.pass_time(MAX_AGE)

    assert world.deliver(on_time) == []
    assert world.deliver(late) == []

    assert ids(world) == ["i2"]
    sources = [drops_of(event["Records"][0]["body"])[0].key for event in (late, on_time)]
    receipts = world.catalog.receipts(world.catalog.get_collection(NAME).uid, sources)
    assert [receipts[key].state for key in sources] == ["failed", "done"]
    assert "14 days ago" in str(receipts[sources[0]].error)
    assert MAX_AGE < GRACE_OF_SEGMENTS


def test_what_a_rollback_has_set_aside_shields_nothing_from_a_filter(world: SmallWorld, tmp_path: Path) -> None:
    seen: set[str] = set()
    put(world, 1, 2)
    deliver_all(world, seen)
    first = build(world, "b1", tmp_path)
    put(world, 2, price=5)
    deliver_all(world, seen)
    build(world, "b2", tmp_path)
    assert world.call("POST", f"{BASE}/rollback", {"version": first}).status == 200

    assert delete(world, {"filter": {"price": {"$lt": 10}}}).json["accepted"] == 2
    deliver_all(world, seen)

    assert ids(world) == []
    assert world.call("GET", BASE).json["rows"] == 0


@pytest.mark.parametrize("times", [1, ATTEMPTS])
def test_a_compaction_between_two_pages_has_the_filter_looked_up_anew(world: SmallWorld, times: int) -> None:
    seen: set[str] = set()
    for start in range(0, 1_500, 500):
        put(world, *range(start, start + 500))
        deliver_all(world, seen)
    route, merges = world.invoker.functions["router"], 0

    def compacting(payload: bytes) -> bytes:
        nonlocal merges
        reply = route(payload)
        if merges < times and orjson.loads(orjson.loads(payload)["body"])["cursor"] is None:
            merges += 1
            put(world, 5_000 + merges)
            deliver_all(world, seen)
            assert merge(world) > 0
        return reply

    world.invoker.functions["router"] = compacting
    before = world.keys(INBOX)

    answer = delete(world, {"filter": {"price": {"$lt": 1_400}}})

    if times == ATTEMPTS:
        assert (answer.status, answer.kind) == (429, "throttled")
        assert not any(key.endswith(".deletes.jsonl") for key in world.keys(INBOX))
    else:
        assert answer.json["accepted"] == 1_400
        assert len(world.keys(INBOX)) == len(before) + 2  # the item put meanwhile, and the deletion


def test_a_file_of_ids_without_time_left_is_left_for_the_next_run() -> None:
    world = SmallWorld(remaining_ms=0)
    world.create(NAME, VECTORS)
    lines = b"\n".join(b'{"id":"i%d"}' % number for number in range(10_001))

    assert world.deliver(world.drop(f"{INBOX}deletes/gone.jsonl", lines)) == ["m-0"]

    assert world.catalog.log_head(world.catalog.get_collection(NAME).uid).sequence == 0


def test_ids_that_were_named_are_deleted_by_the_order_of_writing(world: SmallWorld) -> None:
    put(world, 1)
    item_event = world.event(world.keys(INBOX)[0])
    delete(world, {"ids": ["i1"]})
    deletes = [key for key in world.keys(INBOX) if key.endswith(".deletes.jsonl")]
    assert world.deliver(world.event(*deletes)) == []

    assert world.deliver(item_event) == []  # late: it was written before the deletion

    assert ids(world) == []


def test_nothing_that_passes_is_nothing_to_do(world: SmallWorld) -> None:
    answer = delete(world, {"filter": {"price": {"$lt": 10}}})

    assert (answer.status, answer.json["accepted"], answer.json["batch_id"]) == (202, 0, None)
    assert world.keys(INBOX) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "invalid-request"),
        ({"ids": ["a"], "filter": {}}, "invalid-request"),
        ({"ids": []}, "invalid-request"),
        ({"ids": [""]}, "invalid-request"),
        ({"ids": ["a\x00"]}, "invalid-item"),
        ({"ids": [1]}, "invalid-request"),
        ({"filter": {"nothing": 1}}, "invalid-filter"),
        ({"filter": {"price": {"$near": 1}}}, "invalid-filter"),
    ],
)
def test_a_bad_deletion_is_refused_and_writes_nothing(world: SmallWorld, body: dict[str, Any], kind: str) -> None:
    put(world, 1)
    deliver_all(world, set())
    before = world.keys(INBOX)

    answer = delete(world, body)

    assert (answer.status, answer.kind) == (400, kind)
    assert world.keys(INBOX) == before


def test_the_empty_filter_deletes_everything(world: SmallWorld) -> None:
    seen: set[str] = set()
    put(world, 1, 2)
    deliver_all(world, seen)

    assert delete(world, {"filter": {}}).json["accepted"] == 2
    deliver_all(world, seen)

    assert ids(world) == []
    assert world.call("GET", BASE).json["rows"] == 0


def test_who_waits_is_answered_when_it_can_be_searched(world: SmallWorld) -> None:
    seen: set[str] = set()
    world.while_idle = lambda: deliver_all(world, seen)
    item = {"id": "i1", "attributes": {"price": 1}, "vectors": {"v": [1, 0, 0, 0]}}

    for _ in range(2):  # the receipt of the same batch, sent before, is not taken for this one's
        seen.update(world.keys(INBOX))
        answer = world.call("POST", f"{BASE}/items", {"items": [item]}, query={"wait": "true"})
        assert (answer.status, answer.json["accepted"], answer.json["searchable"]) == (200, 1, "now")
        assert ids(world) == ["i1"]
        gone = delete(world, {"ids": ["i1"]}, wait="true")
        assert (gone.status, gone.json["searchable"]) == (200, "now")
        assert ids(world) == []


def test_who_waits_too_long_is_told_that_it_will_be_searched(world: SmallWorld) -> None:
    answer = put(world, 1)
    waited = world.call(
        "POST", f"{BASE}/items", {"items": [{"id": "i1", "vectors": {"v": [1, 0, 0, 0]}}]}, query={"wait": "true"}
    )

    assert (answer.status, waited.status, waited.json["searchable"]) == (202, 202, "soon")
    assert world.call("POST", f"{BASE}/items", {"items": [{"id": "x"}]}, query={"wait": "perhaps"}).status == 400


def test_a_segment_of_deletions_has_no_vectors_and_no_items(world: SmallWorld) -> None:
    delete(world, {"ids": ["b", "a"]})
    deliver_all(world, set())

    (row,) = world.catalog.segments(world.catalog.get_collection(NAME).uid)
    segment = decode_segment(world.objects.objects[row.key])
    assert segment.ids == ["b", "a"]
    assert segment.deleted.all()
    assert row.delta is None
    assert ids(world) == []
