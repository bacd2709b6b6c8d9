"""What the api answers when all is well, held against the models of the OpenAPI document."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import orjson
import pytest

from shardlake.catalog.base import BuildState, Pointer, Receipt, ReceiptState, SegmentRow
from shardlake.contracts import answers
from shardlake.testing import WrappedCatalog, add_segment
from tests.small_world import PICTURES, VECTORS, SmallWorld, picture, recorded

NAME = "films"
BASE = f"/v1/collections/{NAME}"


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def uid(world: SmallWorld) -> str:
    return world.catalog.get_collection(NAME).uid


def segment(number: int, rows: int) -> SegmentRow:
    return SegmentRow(
        segment_id=f"s{number}", order=f"{number}", key=f"k{number}", rows=rows, bytes=1, source="x", created_at="t"
    )


def pointer(world: SmallWorld, version: str) -> Pointer:
    key = f"data/{uid(world)}/versions/{version}/manifest.json"
    return Pointer(
        version=version,
        manifest_key=key,
        rows=5,
        bytes=100,
        shards=2,
        committed_at="2026-11-23T12:00:00Z",
        build_id="b",
    )


def test_the_same_body_again_is_200_and_means_the_same_in_another_spelling(world: SmallWorld) -> None:
    spelt_out = {
        "attributes": {"price": {"type": "float", "multi": False}, "colour": {"type": "keyword"}},
        "sharding": {"target_rows": 1_000_000},
        "spaces": {"v": {"metric": "cosine", "dimension": 4, "index": {"type": "ivf_pq"}}},
    }

    again = world.call("PUT", BASE, spelt_out)

    assert again.status == 200
    assert again.json == world.call("GET", BASE).json
    answers.CollectionAnswer.model_validate(again.json)


def test_the_order_of_spaces_has_a_meaning(world: SmallWorld) -> None:
    spaces = {"a": {"dimension": 2}, "b": {"dimension": 3}}
    world.create("pairs", {"spaces": spaces})

    other = world.call("PUT", "/v1/collections/pairs", {"spaces": dict(reversed(spaces.items()))})

    assert other.kind == "name-taken"


def test_a_dimension_left_out_is_the_encoders() -> None:
    world = SmallWorld()

    made = world.call("PUT", BASE, PICTURES)

    assert made.status == 201
    assert made.json["schema"]["spaces"]["visual"]["dimension"] == 8


def test_encoders_are_asked_for_once_a_process() -> None:
    world = SmallWorld()

    world.create("one", PICTURES)
    world.create("two", PICTURES)

    assert world.invoker.calls["encode"] == 1


def test_collections_are_listed_by_name_with_rows_and_version(world: SmallWorld) -> None:
    world.create("another", VECTORS)
    world.catalog.commit(uid(world), expected=None, pointer=pointer(world, "000001-aa"), shards=[])

    listed = world.call("GET", "/v1/collections").json

    answers.CollectionsAnswer.model_validate(listed)
    assert listed["collections"] == [
        {"name": "another", "rows": 0, "version": None},
        {"name": NAME, "rows": 5, "version": "000001-aa"},
    ]


def test_pending_counts_what_the_current_version_does_not_hold(world: SmallWorld) -> None:
    counted = orjson.dumps({"statusCode": 200, "body": '{"stats": {"rows_passing": 17}}'})
    world.invoker.functions["router"] = lambda payload: counted
    for number in range(3):
        add_segment(world.catalog, uid(world), segment(number, rows=10 + number))
    before = world.call("GET", BASE).json["pending"]
    current = pointer(world, "000001-aa")
    world.catalog.commit(uid(world), expected=None, pointer=replace(current, through=2), shards=[])

    after = world.call("GET", BASE).json

    assert before == {"segments": 3, "items": 33}
    assert after["pending"] == {"segments": 1, "items": 12}
    assert (after["rows"], after["version"], after["shards"], after["bytes"]) == (17, "000001-aa", 2, 100)


def test_where_nobody_can_count_no_number_is_said(world: SmallWorld) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))
    refused = {"error": {"kind": "no-shard-answered", "message": "no", "details": {}}}
    for reply in (b"null", orjson.dumps({"statusCode": 503, "body": orjson.dumps(refused).decode()})):
        world.invoker.functions["router"] = lambda payload, reply=reply: reply
        assert world.call("GET", BASE).status == 503


def test_what_is_dropped_while_it_is_counted_is_not_listed(world: SmallWorld) -> None:
    world.create("another", VECTORS)
    add_segment(world.catalog, uid(world), segment(0, rows=10))
    route = world.invoker.functions["router"]

    def dropping(payload: bytes) -> bytes:
        assert world.call("DELETE", BASE).status == 202
        return route(payload)

    world.invoker.functions["router"] = dropping

    answer = world.call("GET", "/v1/collections")

    assert (answer.status, [one["name"] for one in answer.json["collections"]]) == (200, ["another"])


def test_a_dropped_name_is_free_again_and_has_nothing_of_before(world: SmallWorld) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))

    dropped = world.call("DELETE", BASE)
    world.create(NAME, PICTURES)

    assert (dropped.status, dropped.json) == (202, {"name": NAME, "state": "dropped"})
    assert world.call("GET", BASE).json["pending"]["segments"] == 0


def test_items_are_written_to_the_inbox_under_a_name_from_their_content(world: SmallWorld) -> None:
    items = [{"id": "a", "vectors": {"v": [1, 2, 3, 4]}}, {"id": "b", "attributes": {"colour": "red", "price": None}}]

    first = world.call("POST", f"{BASE}/items", {"items": items})
    again = world.call("POST", f"{BASE}/items", {"items": items}, base64=True)

    assert (first.status, again.status) == (202, 202)
    assert first.json == again.json
    answers.AcceptedAnswer.model_validate(first.json)
    (key,) = world.keys("inbox/")
    assert key == f"inbox/{NAME}/.api/{first.json['batch_id']}.jsonl"
    assert [json.loads(line) for line in world.objects.objects[key].splitlines()] == items


def test_an_image_in_an_item_is_taken_when_a_space_reads_images() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    image = {"base64": b64encode(picture()).decode()}

    taken = world.call("POST", f"{BASE}/items", {"items": [{"id": "a", "media": {"text": "red", "image": image}}]})

    assert taken.status == 202


def test_details_name_every_bad_item_by_index_and_id(world: SmallWorld) -> None:
    items = [{"id": "a"}, {"id": "b", "x": 1}, 7, {"id": "d", "vectors": {"v": [1]}}]

    refused = world.call("POST", f"{BASE}/items", {"items": items})

    assert [(one["index"], one["id"]) for one in refused.json["error"]["details"]["items"]] == [
        (1, "b"),
        (2, None),
        (3, "d"),
    ]


def test_uploads_are_places_in_the_collections_inbox(world: SmallWorld) -> None:
    names = ["a.jsonl", "deep/folder/b.PNG", "b.png.json", "c.jsonl.gz", "d.parquet"]

    places = world.call("POST", f"{BASE}/uploads", {"files": [{"name": name, "bytes": 5} for name in names]})

    answers.UploadsAnswer.model_validate(places.json)
    assert [place["key"] for place in places.json["uploads"]] == [f"inbox/{NAME}/{name}" for name in names]
    assert all(place["key"] in place["url"] for place in places.json["uploads"])


def test_receipts_are_answered_for_files_that_have_one(world: SmallWorld) -> None:
    key = f"inbox/{NAME}/a.jsonl"
    world.catalog.put_receipt(
        uid(world),
        Receipt(source=key, etag="e", state=ReceiptState.DONE, accepted=3, rejected=1, finished_at="t"),
    )

    found = world.call("POST", f"{BASE}/uploads:status", {"keys": [key, f"inbox/{NAME}/b.jsonl"]})

    answers.ReceiptsAnswer.model_validate(found.json)
    assert found.json["receipts"] == {key: {"etag": "e", "state": "done", "accepted": 3, "rejected": 1, "error": None}}


@pytest.mark.parametrize("body", [None, {}, b"  "])
def test_a_build_is_queued_and_started(world: SmallWorld, body: object) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))

    started = world.call("POST", f"{BASE}/builds", body)
    world.invoker.run_started()

    assert started.status == 202
    answers.BuildAnswer.model_validate(started.json)
    assert (started.json["state"], started.json["version"], started.json["progress"]) == ("queued", None, 0)
    assert world.builds == [{"collection": NAME, "build_id": started.json["build_id"]}]
    assert world.call("GET", f"{BASE}/builds/{started.json['build_id']}").json == started.json


@pytest.mark.parametrize("distributed", [True, False])
def test_where_a_build_runs_is_handed_on_as_it_was_asked_for(world: SmallWorld, distributed: bool) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))

    started = world.call("POST", f"{BASE}/builds", {"distributed": distributed})
    world.invoker.run_started()

    assert started.status == 202
    assert world.builds == [{"collection": NAME, "build_id": started.json["build_id"], "distributed": distributed}]


def test_a_failed_build_is_retried_under_its_own_id(world: SmallWorld) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))
    build_id = world.call("POST", f"{BASE}/builds").json["build_id"]
    failed = replace(
        world.catalog.get_build(uid(world), build_id), state=BuildState.FAILED, error="{}", progress=0.4, stage="write"
    )
    world.catalog.put_build(uid(world), failed)
    world.invoker.run_started()
    world.builds.clear()

    retried = world.call("POST", f"{BASE}/builds", {"retry": build_id, "distributed": True})
    world.invoker.run_started()

    assert retried.status == 202
    answers.BuildAnswer.model_validate(retried.json)
    assert (retried.json["build_id"], retried.json["state"], retried.json["progress"]) == (build_id, "queued", 0)
    assert retried.json["error"] is None
    (message,) = world.builds
    assert message.pop("attempt") == retried.json["updated_at"]
    assert message == {"collection": NAME, "build_id": build_id, "distributed": True}
    assert list(world.catalog._of(uid(world)).builds) == [build_id]


@pytest.mark.parametrize("state", [BuildState.QUEUED, BuildState.RUNNING, BuildState.DONE])
def test_only_what_has_failed_is_retried(world: SmallWorld, state: BuildState) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))
    build_id = world.call("POST", f"{BASE}/builds").json["build_id"]
    row = replace(world.catalog.get_build(uid(world), build_id), state=state)
    world.catalog.put_build(uid(world), row)

    refused = world.call("POST", f"{BASE}/builds", {"retry": build_id})

    assert (refused.status, refused.kind) == (400, "invalid-request")
    assert world.catalog.get_build(uid(world), build_id) == row


def test_a_build_that_could_not_be_started_is_failed_with_its_error(world: SmallWorld) -> None:
    add_segment(world.catalog, uid(world), segment(0, rows=10))
    del world.invoker.functions["build"]

    refused = world.call("POST", f"{BASE}/builds")

    assert (refused.status, refused.kind) == (503, "function-unavailable")
    (build,) = world.catalog._of(uid(world)).builds.values()
    assert build.state is BuildState.FAILED
    followed = world.call("GET", f"{BASE}/builds/{build.build_id}").json
    answers.BuildAnswer.model_validate(followed)
    assert followed["error"]["kind"] == "function-unavailable"


def test_versions_are_newest_first(world: SmallWorld) -> None:
    first, second = pointer(world, "000001-aa"), pointer(world, "000002-bb")
    world.catalog.commit(uid(world), expected=None, pointer=first, shards=[])
    world.catalog.commit(uid(world), expected="000001-aa", pointer=second, shards=[])

    history = world.call("GET", f"{BASE}/versions").json

    answers.VersionsAnswer.model_validate(history)
    assert history["current"] == "000002-bb"
    assert [one["version"] for one in history["versions"]] == ["000002-bb", "000001-aa"]


@pytest.mark.parametrize(
    "space", [{"space": "clip"}, {"space": "films/visual"}, {"space": "visual", "collection": NAME}]
)
def test_encode_answers_unit_vectors_in_order(space: dict[str, str]) -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)

    made = world.call("POST", "/v1/encode", {**space, "inputs": [{"text": "red"}, {"text": "blue"}, {"text": "red"}]})

    answers.EncodeAnswerBody.model_validate(made.json)
    first, second, third = made.json["vectors"]
    assert first == third != second
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-5)
    assert made.json["dimension"] == 8
    assert made.json["model"]["encoder"] == "clip"


def test_health_says_the_versions_and_asks_nobody(world: SmallWorld) -> None:
    calls = sum(world.invoker.calls.values())

    health = world.call("GET", "/v1/health")

    answers.HealthAnswer.model_validate(health.json)
    assert sum(world.invoker.calls.values()) == calls


def test_the_console_is_a_page_that_loads_nothing_from_elsewhere(world: SmallWorld) -> None:
    page = world.call("GET", "/")

    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_a_stage_before_the_path_is_no_part_of_it(world: SmallWorld) -> None:
    event = recorded("http_api_v2")
    event["rawPath"] = "/prod/v1/health"
    event["requestContext"]["stage"] = "prod"

    assert world.send(event).status == 200


def test_a_rest_api_event_is_read_too(world: SmallWorld) -> None:
    assert world.send(recorded("rest_api_v1")).status == 200


@pytest.mark.parametrize("event", [{}, {"requestContext": {}}, {"Records": []}, {"requestContext": None}])
def test_an_event_of_something_else_is_refused(world: SmallWorld, event: dict[str, object]) -> None:
    answer = world.send(event)

    assert (answer.status, answer.kind) == (400, "invalid-request")


def test_a_body_that_is_not_the_base64_it_claims_is_refused(world: SmallWorld) -> None:
    event = recorded("http_api_v2") | {"body": "§", "isBase64Encoded": True}

    assert world.send(event).kind == "invalid-request"


def test_a_wrong_method_says_which_are_right(world: SmallWorld) -> None:
    refused = world.call("POST", BASE)

    assert refused.status == 405
    assert refused.headers["Allow"] == "DELETE, GET, PUT"


class _Broken(WrappedCatalog):
    """A catalog with a bug."""

    def get_collection(self, name: str) -> object:  # type: ignore[override]
        raise ZeroDivisionError(name)


def test_a_bug_is_an_answer_of_ours_and_one_line_with_its_stack(world: SmallWorld) -> None:
    world.api = type(world.api)(
        settings=world.api.settings,
        catalog=_Broken(world.catalog),
        store=world.store,
        invoker=world.invoker,
        now=world.now,
        new_id=world.api.new_id,
    )
    before = len(world.lines())

    answer = world.call("GET", BASE)

    assert (answer.status, answer.kind) == (500, "internal")
    assert answer.json["error"]["details"] == {"request_id": "r-1"}
    assert "ZeroDivision" not in answer.text
    (line,) = world.lines()[before:]
    assert line["outcome"] == "internal"
    assert "ZeroDivisionError" in json.dumps(line)


def test_a_dependency_that_fails_is_503_by_kind() -> None:
    world = SmallWorld()
    del world.invoker.functions["encode"]

    answer = world.call("PUT", BASE, PICTURES)

    assert (answer.status, answer.kind) == (503, "function-unavailable")


def test_each_request_writes_one_line_without_what_the_user_sent(world: SmallWorld) -> None:
    before = len(world.lines())

    world.call("POST", f"{BASE}/items", {"items": [{"id": "secret-id", "vectors": {"v": [1, 2, 3, 4]}}]})
    world.call("POST", f"{BASE}/items", {"items": [{"id": "secret-id", "x": "secret-value"}]})

    good, bad = world.lines()[before:]
    assert (good["outcome"], good["status"], good["route"], good["collection"]) == ("ok", 202, "post_items", NAME)
    assert (bad["outcome"], bad["status"]) == ("invalid-items", 400)
    assert "secret" not in json.dumps([good, bad])
