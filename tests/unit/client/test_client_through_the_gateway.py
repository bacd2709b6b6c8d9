"""The client against the functions' own code: what one side writes, the other reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from shardlake.client import LocalFile
from shardlake.errors import Conflict, InvalidInput, NotFound, NotImplementedYet
from shardlake.testing.gateway import event_of, response_of
from tests.unit.in_process import InProcess

SCHEMA: dict[str, Any] = {
    "spaces": {"own": {"dimension": 8, "metric": "cosine", "index": {"type": "flat"}}},
    "attributes": {"price": {"type": "float"}},
}


@pytest.fixture
def deployment(tmp_path: Path) -> InProcess:
    return InProcess(scratch=tmp_path)


def lines(count: int, *, start: int = 0) -> bytes:
    vectors = np.random.default_rng(start).standard_normal((count, 8)).tolist()
    items = [
        {"id": f"item-{start + i:04d}", "attributes": {"price": float(i)}, "vectors": {"own": vector}}
        for i, vector in enumerate(vectors)
    ]
    return b"".join(orjson.dumps(item) + b"\n" for item in items)


def test_files_go_in_and_a_build_makes_a_version_of_them(deployment: InProcess) -> None:
    with deployment.client() as client:
        assert client.collections.create("c", SCHEMA).created
        collection = client.collection("c")
        bad_line = b'{"id": "x", "attributes": {"price": "dear"}}\n'

        report = collection.upload([LocalFile(name="a.jsonl", source=lines(40) + bad_line)])
        before = collection.describe()
        done = collection.wait_for_build(collection.start_build().build_id)
        after = collection.describe()

    assert (report.accepted, report.rejected, report.failed) == (40, 1, ())
    assert f"rejected/c/a.jsonl-{report.files[0].etag}.jsonl" in deployment.store.objects
    assert (before.version, before.pending_items, before.rejected) == (None, 40, 1)
    assert (done.state, done.error) == ("done", None)
    assert (after.version, after.rows, after.pending_items) == (done.version, 40, 0)
    assert [(one.version, one.current) for one in collection_versions(deployment)] == [(done.version, True)]


def test_after_a_rollback_what_came_since_is_set_aside(deployment: InProcess) -> None:
    with deployment.client() as client:
        client.collections.create("c", SCHEMA)
        collection = client.collection("c")

        def built(name: str, count: int, start: int) -> str:
            collection.upload([LocalFile(name=name, source=lines(count, start=start))])
            done = collection.wait_for_build(collection.start_build().build_id)
            assert done.version is not None
            return done.version

        first, second = built("a.jsonl", 30, 0), built("b.jsonl", 10, 30)
        back = collection.rollback(first)
        described = collection.describe()
        assert (back.version, back.rows, back.current) == (first, 30, True)
        assert (described.version, described.rows, described.pending_items) == (first, 30, 0)
        assert collection.rollback(second).rows == 40
        assert collection.rollback(first).rows == 30
        third = built("c.jsonl", 5, 40)
        assert collection.describe().rows == 35
        history = [(one.version, one.current) for one in collection.versions()]
    assert history == [(third, True), (second, False), (first, False)]
    assert [version[:6] for version, _ in history] == ["000003", "000002", "000001"]


def collection_versions(deployment: InProcess) -> Any:
    with deployment.client() as client:
        return client.collection("c").versions()


def test_an_unchanged_file_is_known_by_the_receipt_of_the_real_functions(deployment: InProcess) -> None:
    file = LocalFile(name="a.jsonl", source=lines(3))
    with deployment.client() as client:
        client.collections.create("c", SCHEMA)
        first = client.collection("c").upload([file])
        second = client.collection("c").upload([file])

    assert (first.unchanged, second.unchanged, second.accepted) == (0, 1, 3)


def test_errors_of_the_functions_arrive_as_they_were_raised(deployment: InProcess) -> None:
    with deployment.client() as client:
        client.collections.create("c", SCHEMA)
        with pytest.raises(Conflict, match="another schema"):
            client.collections.create("c", SCHEMA | {"attributes": {}})
        with pytest.raises(NotFound) as missing:
            client.collections.get("nowhere")
        with pytest.raises(InvalidInput) as refused:
            client.collection("c").upsert([{"id": "a", "attributes": {"price": "dear"}}])
        with pytest.raises(Conflict) as nothing:
            client.collection("c").start_build()
        with pytest.raises(NotImplementedYet):
            client.collection("c").upsert([{"id": "a", "media": {"audio": {"base64": "aaaa"}}}])

    assert missing.value.kind == "collection-not-found"
    assert refused.value.context["items"][0]["id"] == "a"  # type: ignore[index]
    assert nothing.value.kind == "nothing-to-build"


def test_posted_items_are_accepted_and_deletions_too(deployment: InProcess) -> None:
    items = [orjson.loads(line) for line in lines(5).splitlines()]
    with deployment.client() as client:
        client.collections.create("c", SCHEMA)
        collection = client.collection("c")
        accepted = collection.upsert(items)
        waited = collection.upsert(items, wait=True)
        deleted = collection.delete_items(["item-0000", "item-0001"], wait=True)
        rows = collection.describe().rows
        found = collection.delete_items(filter={"price": {"$gte": 3}}, wait=True)
        left = [item["id"] for item in collection.scan_items().items]

    assert (accepted.accepted, accepted.searchable) == (5, "soon")
    assert accepted.message
    assert (waited.accepted, waited.searchable) == (5, "now")
    assert (deleted.accepted, deleted.searchable) == (2, "now")
    assert rows == 3
    assert (found.accepted, found.searchable) == (2, "now")
    assert left == ["item-0002"]


def test_an_event_carries_text_as_it_is_and_the_rest_in_base64() -> None:
    json = httpx.Request("POST", "http://g.test/v1/x?a=1&b=%20", json={"a": "é"})
    binary = httpx.Request("POST", "http://g.test/v1/x", content=b"\xff", headers={"content-type": "image/png"})

    assert event_of(json, json.read())["body"] == '{"a":"é"}'
    assert event_of(json, json.read())["queryStringParameters"] == {"a": "1", "b": " "}
    assert event_of(binary, binary.read())["body"] == "/w=="
    assert event_of(binary, binary.read())["isBase64Encoded"] is True


def test_a_response_may_be_in_base64() -> None:
    response = response_of({"statusCode": 200, "body": "/w==", "isBase64Encoded": True})

    assert response.content == b"\xff"
