"""Both clients against one fake API: each law holds for the synchronous and for the asynchronous one."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import shardlake
from shardlake import AsyncClient, Client
from shardlake.client import Build, Hit, LocalFile, UploadProgress, answers
from shardlake.client.surface import ClientOperations, CollectionOperations, CollectionsOperations
from shardlake.errors import Conflict, DeadlineExceeded, InternalError, InvalidInput, NotFound, Unavailable
from tests.unit.fake_api import BASE, SCHEMA, FakeApi, answer, error, hit

Call = Callable[[Any], Any]


class Both:
    """Runs a call on a client of one kind; pauses are counted and not waited for."""

    def __init__(self, api: FakeApi, *, asynchronous: bool) -> None:
        self.api = api
        self.asynchronous = asynchronous
        self.pauses: list[float] = []

    def __call__(self, call: Call, **options: Any) -> Any:
        if self.asynchronous:
            return asyncio.run(self._awaited(call, options))
        with Client(BASE, transport=httpx.MockTransport(self.api), sleep=self.pauses.append, **options) as client:
            return call(client)

    async def _awaited(self, call: Call, options: dict[str, Any]) -> Any:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        async def serve(request: httpx.Request) -> httpx.Response:
            await request.aread()
            return self.api(request)

        async with AsyncClient(BASE, transport=httpx.MockTransport(serve), sleep=sleep, **options) as client:
            return await call(client)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi(collections={"c": {"name": "c", "schema": SCHEMA, "rows": 3, "version": "000001-aa"}})


@pytest.fixture(params=["sync", "async"])
def on(request: pytest.FixtureRequest, api: FakeApi) -> Both:
    return Both(api, asynchronous=request.param == "async")


def test_a_search_answers_hits_in_order_with_what_it_cost(on: Both, api: FakeApi) -> None:
    api.hits = [hit("a", 0.9, colour="red"), hit("b", 0.5)]

    got = on(lambda client: client.collection("c").search(text="red", filter={"colour": "red"}, k=2))

    assert [one.id for one in got] == ["a", "b"]
    assert got[0] == Hit(id="a", score=0.9, scores={"visual": 0.9}, attributes={"colour": "red"})
    assert (len(got), got.partial, got.version) == (2, False, "000001-aa")
    assert (got.shards.requested, got.shards.searched, got.shards.failed) == (2, 2, ())
    assert got.stats.took_ms["total"] == 21
    assert got.raw["hits"][0]["id"] == "a"
    assert api.paths() == ["POST /v1/collections/c/search"]
    assert api.body() == {"query": {"text": "red"}, "filter": {"colour": "red"}, "k": 2}


def test_a_batch_answers_one_result_a_search(on: Both, api: FakeApi) -> None:
    got = on(lambda client: client.collection("c").search_batch([{"text": "a"}, {"k": 1}]))

    assert len(got) == 2
    assert api.body() == {"searches": [{"query": {"text": "a"}}, {"k": 1}]}


def test_a_bad_search_of_a_batch_is_an_entry_and_spoils_no_other(on: Both, api: FakeApi) -> None:
    good = {"hits": [], "partial": False, "shards": {"requested": 1, "searched": 1, "failed": []}}
    bad = {"error": {"kind": "invalid-filter", "message": "no such operator", "details": {"place": "filter.a"}}}
    api.before = lambda _request: answer(200, {"results": [good, bad]})

    first, second = on(lambda client: client.collection("c").search_batch([{}, {"filter": {"a": {"$x": 1}}}]))

    assert first.hits == ()
    assert isinstance(second, InvalidInput)
    assert second.context == {"place": "filter.a"}


def test_creating_twice_is_the_same_collection_and_another_schema_a_conflict(on: Both) -> None:
    first = on(lambda client: client.collections.create("new", SCHEMA))
    again = on(lambda client: client.collections.create("new", SCHEMA))

    assert (first.created, again.created) == (True, False)
    with pytest.raises(Conflict):
        on(lambda client: client.collections.create("new", {"spaces": {}}))


def test_collections_are_listed_described_and_dropped(on: Both) -> None:
    assert [one.name for one in on(lambda client: client.collections.list())] == ["c"]
    assert on(lambda client: client.collection("c").describe()) == on(lambda client: client.collections.get("c"))

    on(lambda client: client.collections.drop("c"))

    with pytest.raises(NotFound):
        on(lambda client: client.collections.get("c"))


def test_items_encode_health_and_versions_have_typed_answers(on: Both, api: FakeApi) -> None:
    assert on(lambda client: client.collection("c").upsert([{"id": "a"}])).accepted == 1
    assert on(lambda client: client.encode("clip", ["words"])).vectors == [[0.6, 0.8]]
    assert on(lambda client: client.health())["status"] == "ok"
    assert [one.version for one in on(lambda client: client.collection("c").versions())] == ["000001-aa"]
    assert on(lambda client: client.collection("c").rollback("000001-aa")).current
    assert on(lambda client: client.collection("c").get_item("a/b"))["id"] == "a/b"
    page = on(lambda client: client.collection("c").scan_items(limit=1))
    assert ([one["id"] for one in page.items], page.after) == (["a/b"], "a/b")
    assert on(lambda client: client.collection("c").scan_items(after="c")).after is None


def test_a_trace_is_asked_for_page_by_page(on: Both, api: FakeApi) -> None:
    found = on(lambda client: client.collection("c").trace_item("a"))
    assert api.body() == {"id": "a", "after": "data/u/segments/s.seg"}
    assert (found.looked_through, found.beside["batches"], found.is_gone) == (4, 3, False)
    assert [one["holds"] for one in found.holders] == ["item", "id"]
    assert [one["what"] for one in found.past["steps"]] == ["replaced"]
    assert on(lambda client: client.collection("c").trace_item("gone")).is_gone


def test_aliases_have_typed_answers(on: Both, api: FakeApi) -> None:
    on(lambda client: client.collection("c").set_alias("live"))
    found = on(lambda client: client.collection("c").set_alias("live", "000002-bb"))
    assert (found.alias, found.version) == ("live", "000002-bb")
    assert on(lambda client: client.collection("c").aliases()) == [found]

    on(lambda client: client.collection("c").drop_alias("live"))

    with pytest.raises(NotFound) as caught:
        on(lambda client: client.collection("c").drop_alias("live"))
    assert caught.value.kind == "alias-not-found"


def test_what_changes_items_can_be_waited_for(on: Both, api: FakeApi) -> None:
    def changed(wait: bool) -> list[str]:
        answers = [
            on(lambda client: client.collection("c").upsert([{"id": "a"}], wait=wait)),
            on(lambda client: client.collection("c").patch_items([{"id": "a", "attributes": {"x": 1}}], wait=wait)),
            on(lambda client: client.collection("c").delete_items(["a"], wait=wait)),
        ]
        return [f"{one.searchable} {seen.url.query.decode()}" for one, seen in zip(answers, api.seen[-3:], strict=True)]

    assert changed(False) == ["soon "] * 3
    assert changed(True) == ["now wait=true"] * 3


def test_items_are_deleted_by_ids_or_by_a_filter(on: Both, api: FakeApi) -> None:
    by_ids = on(lambda client: client.collection("c").delete_items(["a", "b"]))
    assert (api.body(), by_ids.accepted, by_ids.batch_id) == ({"ids": ["a", "b"]}, 2, "d1")
    by_filter = on(lambda client: client.collection("c").delete_items(filter={"x": {"$gt": 1}}))
    assert (api.body(), by_filter.accepted, by_filter.batch_id) == ({"filter": {"x": {"$gt": 1}}}, 0, None)
    with pytest.raises(InvalidInput, match="either"):
        on(lambda client: client.collection("c").delete_items())


def test_the_token_goes_to_the_api_and_never_to_the_store(on: Both, api: FakeApi) -> None:
    on(lambda client: client.collection("c").upload([LocalFile(name="a.png", source=b"x")]), token="t")

    by_host = {one.url.host: one.headers.get("authorization") for one in api.seen}
    assert by_host == {"shardlake.test": "Bearer t", "store.test": None}


def test_a_name_with_a_slash_stays_one_name(on: Both, api: FakeApi) -> None:
    with pytest.raises(NotFound):
        on(lambda client: client.collections.get("../health"))

    assert api.seen[-1].url.raw_path == b"/v1/collections/..%2Fhealth"


def test_a_busy_api_is_asked_again_and_a_build_is_not_started_twice(on: Both, api: FakeApi) -> None:
    api.before = lambda _request: error(503, "store-unavailable", "for now")

    with pytest.raises(Unavailable):
        on(lambda client: client.collections.list())
    assert len(api.seen) == 3
    with pytest.raises(Unavailable):
        on(lambda client: client.collection("c").start_build())
    assert len(api.seen) == 4


def test_an_answer_outside_the_contract_is_an_error(on: Both, api: FakeApi) -> None:
    api.before = lambda _request: answer(200, {"hello": "world"})

    with pytest.raises(InternalError, match="SHARDLAKE_URL"):
        on(lambda client: client.collection("c").search(text="a"))


def test_a_build_is_followed_to_its_end(on: Both, api: FakeApi) -> None:
    api.builds["build-1"] = [
        {"build_id": "build-1", "state": "running", "progress": 0.5, "stage": "train"},
        {"build_id": "build-1", "state": "done", "progress": 1.0, "stage": "commit", "version": "000002-bb"},
    ]
    seen: list[Build] = []

    started = on(lambda client: client.collection("c").start_build())
    done = on(lambda client: client.collection("c").wait_for_build(started.build_id, on_progress=seen.append))

    assert (done.state, done.version) == ("done", "000002-bb")
    assert [one.progress for one in seen] == [0.5, 1.0]
    assert len(on.pauses) == 1


@pytest.mark.parametrize("asked", [{}, {"distributed": False}, {"distributed": True, "retry": "build-0"}])
def test_a_build_is_asked_for_as_it_was_said(on: Both, api: FakeApi, asked: dict[str, object]) -> None:
    on(lambda client: client.collection("c").start_build(**asked))

    assert json.loads(api.seen[-1].content) == asked


def test_a_build_that_fails_is_an_answer_that_says_why(on: Both, api: FakeApi) -> None:
    why = {"kind": "store-unavailable", "message": "gone", "details": {}}
    api.builds["b"] = [{"build_id": "b", "state": "failed", "progress": 0.1, "error": why}]

    assert on(lambda client: client.collection("c").wait_for_build("b")).error == why


def test_waiting_for_a_build_ends_when_its_time_is_gone(on: Both, api: FakeApi) -> None:
    api.builds["b"] = [{"build_id": "b", "state": "running", "progress": 0.1}]

    with pytest.raises(DeadlineExceeded):
        on(lambda client: client.collection("c").wait_for_build("b", wait_s=5))
    assert sum(on.pauses) >= 5


def test_sidecars_stand_before_their_pictures_are_sent(on: Both, api: FakeApi) -> None:
    files = [LocalFile(name=f"{i}.png", source=b"%d" % i, sidecar=b"{}") for i in range(20)]

    report = on(lambda client: client.collection("c").upload(files))

    puts = [one.url.path for one in api.seen if one.method == "PUT"]
    assert {one.endswith(".json") for one in puts[:20]} == {True}
    assert {one.endswith(".png") for one in puts[20:]} == {True}
    assert (report.accepted, report.rejected, report.failed) == (20, 0, ())


def test_a_file_that_stands_already_is_not_sent_again(on: Both, api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "a"}\n')
    files = [LocalFile(name="a.jsonl", source=path)]

    first = on(lambda client: client.collection("c").upload(files))
    api.seen.clear()
    second = on(lambda client: client.collection("c").upload(files))

    assert (first.unchanged, second.unchanged) == (0, 1)
    assert second.accepted == 1
    assert api.paths() == ["POST /v1/collections/c/uploads:status"]


def test_a_picture_is_sent_again_only_when_it_or_its_sidecar_changed(on: Both, api: FakeApi) -> None:
    def upload(picture: bytes, sidecar: bytes) -> list[str]:
        api.seen.clear()
        file = LocalFile(name="a.png", source=picture, sidecar=sidecar)
        assert on(lambda client: client.collection("c").upload([file])).accepted == 1
        return [path for path in api.paths() if path.startswith("PUT")]

    both = ["PUT /inbox/c/a.png.json", "PUT /inbox/c/a.png"]
    assert upload(b"1", b"{}") == both
    assert upload(b"1", b"{}") == []
    assert upload(b"1", b'{"a": 1}') == both
    assert upload(b"2", b'{"a": 1}') == both


def test_a_picture_is_waited_for_until_its_sidecar_was_read(on: Both, api: FakeApi) -> None:
    api.ingest = lambda key, _body: {"etag": "older"} if key.endswith(".json") else {"accepted": 1, "rejected": 0}

    with pytest.raises(DeadlineExceeded):
        on(
            lambda client: client.collection("c").upload(
                [LocalFile(name="a.png", source=b"x", sidecar=b"{}")], wait_s=3
            )
        )


def test_progress_tells_every_byte_and_every_file_once(on: Both, api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(bytes(600_000))
    files = [LocalFile(name="a.jsonl", source=path), LocalFile(name="b.jsonl", source=b"xyz")]
    told: dict[str, list[int]] = {"bytes": [], "sent": [], "taken": []}
    progress = UploadProgress(on_bytes=told["bytes"].append, on_sent=told["sent"].append, on_taken=told["taken"].append)

    on(lambda client: client.collection("c").upload(files, progress=progress))
    on(lambda client: client.collection("c").upload(files, progress=progress))

    assert {name: sum(amounts) for name, amounts in told.items()} == {"bytes": 1_200_006, "sent": 4, "taken": 4}


def test_refused_lines_and_unreadable_files_are_reported_by_name(on: Both, api: FakeApi) -> None:
    outcomes = {
        "inbox/c/a.jsonl": {"accepted": 2, "rejected": 1},
        "inbox/c/b.parquet": {"state": "failed", "accepted": 0, "rejected": 0, "error": "k: m"},
    }
    api.ingest = lambda key, _body: outcomes[key]
    files = [LocalFile(name="a.jsonl", source=b"1"), LocalFile(name="b.parquet", source=b"2")]

    report = on(lambda client: client.collection("c").upload(files))

    assert (report.accepted, report.rejected) == (2, 1)
    assert [(one.name, one.error) for one in report.failed] == [("b.parquet", "k: m")]


def test_files_that_are_never_taken_in_end_the_wait(on: Both, api: FakeApi) -> None:
    api.ingest = lambda _key, _body: {"etag": "of-an-older-body"}

    with pytest.raises(DeadlineExceeded, match="not yet taken in"):
        on(lambda client: client.collection("c").upload([LocalFile(name="a.png", source=b"x")], wait_s=3))


def test_many_files_go_in_windows_that_one_request_can_hold(on: Both, api: FakeApi) -> None:
    files = [LocalFile(name=f"{i:04d}.png", source=b"p", sidecar=b"{}") for i in range(600)]

    report = on(lambda client: client.collection("c").upload(files))

    assert report.accepted == 600
    assert api.paths().count("POST /v1/collections/c/uploads") == 3


def test_a_put_that_fails_for_good_ends_the_upload(on: Both, api: FakeApi) -> None:
    api.before = lambda request: httpx.Response(403, content=b"<Error/>") if request.method == "PUT" else None
    files = [LocalFile(name=f"{i}.png", source=b"p") for i in range(50)]

    with pytest.raises(shardlake.ShardlakeError) as caught:
        on(lambda client: client.collection("c").upload(files, parallel=2))

    assert caught.value.kind == "forbidden"
    assert api.paths().count("PUT /inbox/c/0.png") == 1


def test_a_misspelt_search_parameter_is_refused_before_anything_is_sent(on: Both, api: FakeApi) -> None:
    with pytest.raises(InvalidInput, match="txt"):
        on(lambda client: client.collection("c").search(txt="a"))

    assert api.seen == []


@pytest.mark.parametrize("operations", [ClientOperations, CollectionsOperations, CollectionOperations])
def test_every_operation_is_documented_and_shows_its_parameters(operations: type) -> None:
    for name, operation in vars(operations).items():
        if name.startswith("_"):
            continue
        assert operation.__doc__, name
        assert next(iter(inspect.signature(operation).parameters)) == "self"


def test_the_page_about_the_client_names_every_operation_and_its_code_is_code() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "client.md").read_text()
    operations = [vars(one) for one in (ClientOperations, CollectionsOperations, CollectionOperations)]
    names = [name for one in operations for name in one if not name.startswith("_")]

    assert [name for name in names if f".{name}(" not in page] == []
    for block in page.split("```python")[1:]:
        compile(block.partition("```")[0], "docs/client.md", "exec")


def test_unknown_numbers_of_a_newer_server_are_kept_in_raw_only() -> None:
    stats = {"lists_probed": 1, "took_ms": {}, "watts": 3}
    raw = {"hits": [], "partial": False, "shards": {"requested": 0, "searched": 0, "failed": []}, "stats": stats}

    got = answers.to_search(raw)

    assert got.stats.lists_probed == 1
    assert got.raw["stats"] == stats
