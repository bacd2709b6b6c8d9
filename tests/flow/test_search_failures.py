"""What a search answers when something on its way fails: partial, named, and right in what it has."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shardlake.testing import CorruptStore, FlakyCatalog, FlakyStore, ManualClock, MissingStore, WrappedCatalog
from tests.flow.search_lake import DIMENSION, QUERY, ROWS, fresh, laws, nearest, rows_of
from tests.lake import Lake, by_shard, unit_rows

EXACT: dict[str, Any] = {"query": {"vector": {"v": QUERY}}, "recall": 1, "k": 10}
BROKEN = 1  # the shard that fails
Function = Callable[[bytes], bytes]


@pytest.fixture
def lake() -> Lake:
    """The collection, with containers that have seen nothing."""
    return fresh()


def _others(lake: Lake) -> list[int]:
    return sorted(set(range(ROWS)) - set(rows_of(lake, BROKEN)))


def _break(lake: Lake, function: Function) -> None:
    lake.invoker.functions["shard-search"] = by_shard(lake.leaf, {BROKEN: function})


def _raises(payload: bytes) -> bytes:
    raise RuntimeError("the function is broken")


def _answers(body: object) -> Function:
    return lambda payload: body if isinstance(body, bytes) else orjson.dumps(body)


def _error(kind: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": "x", "details": {}}}


GOOD_STATS = dict.fromkeys(
    ["lists_probed", "codes_scanned", "rows_refined", "rows_passing", "object_reads", "bytes_read"], 0
)
BROKEN_FUNCTIONS: dict[str, tuple[Function, str, bool]] = {
    "raises": (_raises, "function-unavailable", True),
    "answers no JSON": (_answers(b"<html>"), "function-unavailable", True),
    "answers nothing": (_answers(b""), "function-unavailable", True),
    "answers null": (_answers(None), "malformed-file", False),
    "answers a list": (_answers([1]), "malformed-file", False),
    "answers a number": (_answers(5), "malformed-file", False),
    "answers an empty object": (_answers({}), "malformed-file", False),
    "answers too many": (_answers({"answers": [{"hits": []}, {"hits": []}]}), "malformed-file", False),
    "answers answers that are none": (_answers({"answers": 1}), "malformed-file", False),
    "answers an answer that is none": (_answers({"answers": [7]}), "malformed-file", False),
    "answers hits without stats": (_answers({"answers": [{"hits": [], "strategy": ""}]}), "malformed-file", False),
    "answers hits that are none": (
        _answers({"answers": [{"hits": [["a"]], "stats": GOOD_STATS, "strategy": ""}]}),
        "malformed-file",
        False,
    ),
    "answers a hit without a score": (
        _answers({"answers": [{"hits": [["a", None, None, None]], "stats": GOOD_STATS, "strategy": ""}]}),
        "malformed-file",
        False,
    ),
    "answers an error": (_answers(_error("checksum-mismatch")), "checksum-mismatch", False),
    "answers an error for the search": (_answers({"answers": [_error("throttled")]}), "throttled", True),
    "answers an unknown error": (_answers(_error("no-such-kind")), "internal", False),
    "is bent by Lambda's own error": (_answers({"errorMessage": "x", "errorType": "y"}), "malformed-file", False),
}


@pytest.mark.parametrize("name", BROKEN_FUNCTIONS)
def test_a_failed_shard_makes_the_answer_partial_and_the_others_hits_are_right(lake: Lake, name: str) -> None:
    function, kind, retryable = BROKEN_FUNCTIONS[name]
    _break(lake, function)

    answer = lake.search(**EXACT)

    assert answer["partial"] is True
    assert answer["shards"] == {
        "requested": 3,
        "searched": 2,
        "failed": [{"shard": f"{BROKEN:05d}", "kind": kind, "retryable": retryable}],
    }
    assert [hit["id"] for hit in answer["hits"]] == nearest(QUERY, 10, _others(lake))
    assert laws(answer, 10) == []


@pytest.mark.parametrize("name", BROKEN_FUNCTIONS)
def test_who_requires_a_complete_answer_gets_an_error_that_names_the_shard(lake: Lake, name: str) -> None:
    function, kind, _ = BROKEN_FUNCTIONS[name]
    _break(lake, function)

    answer = lake.post("search", {**EXACT, "require_complete": True})

    assert (answer.status, answer.kind) == (503, "no-shard-answered")
    assert [(f["shard"], f["kind"]) for f in answer.json["error"]["details"]["failed"]] == [(f"{BROKEN:05d}", kind)]


def test_when_no_shard_answers_the_answer_is_an_error(lake: Lake) -> None:
    lake.invoker.functions["shard-search"] = _raises

    answer = lake.post("search", EXACT)

    assert (answer.status, answer.kind) == (503, "no-shard-answered")
    assert len(answer.json["error"]["details"]["failed"]) == 3


def test_a_function_that_is_not_there_is_no_answer(lake: Lake) -> None:
    del lake.invoker.functions["shard-search"]

    assert lake.post("search", EXACT).kind == "no-shard-answered"


def test_a_flipped_byte_in_a_shard_is_named_and_passes_when_the_object_is_whole_again(lake: Lake) -> None:
    row = lake.shards[BROKEN]
    extent = lake.opened(BROKEN).header.exact_extent("v", 0)
    lake.replace_containers(CorruptStore(lake.store, key=row.key, offset=extent.offset))

    damaged = lake.search(**EXACT)
    for container in lake.containers.values():
        container._cache._store = lake.store
    whole = lake.search(**EXACT)

    assert damaged["shards"]["failed"] == [{"shard": f"{BROKEN:05d}", "kind": "checksum-mismatch", "retryable": False}]
    assert [hit["id"] for hit in damaged["hits"]] == nearest(QUERY, 10, _others(lake))
    assert whole["partial"] is False
    assert [hit["id"] for hit in whole["hits"]] == nearest(QUERY, 10)


def test_a_missing_shard_object_is_named(lake: Lake) -> None:
    others = _others(lake)
    lake.replace_containers(MissingStore(lake.store, key=lake.shards[BROKEN].key))

    answer = lake.search(**EXACT)

    assert answer["shards"]["failed"] == [{"shard": f"{BROKEN:05d}", "kind": "object-not-found", "retryable": False}]
    assert [hit["id"] for hit in answer["hits"]] == nearest(QUERY, 10, others)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opens when the test ends, so that no thread is left behind."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_shard_that_sleeps_past_the_deadline_is_named_and_the_others_answer(
    lake: Lake, gate: threading.Event
) -> None:
    lake.search(**EXACT)  # warm, so that only the sleeper needs the time

    def sleeps(payload: bytes) -> bytes:
        gate.wait(30)
        return lake.leaf(payload)

    _break(lake, sleeps)
    answer = lake.search(**EXACT, timeout_ms=200)

    assert answer["shards"]["failed"] == [{"shard": f"{BROKEN:05d}", "kind": "deadline-exceeded", "retryable": False}]
    assert [hit["id"] for hit in answer["hits"]] == nearest(QUERY, 10, _others(lake))
    assert lake.invoker.calls["shard-search"] == 6, "a timeout is not asked again"


# A second try -----------------------------------------------------------------------------------------


class _Flaky:
    """A function that fails some times and then works."""

    def __init__(self, lake: Lake, failures: int, answer: Function = _raises) -> None:
        self.payloads: list[dict[str, Any]] = []
        self._lake = lake
        self._failures = failures
        self._answer = answer

    def __call__(self, payload: bytes) -> bytes:
        self.payloads.append(orjson.loads(payload))
        return (self._answer if len(self.payloads) <= self._failures else self._lake.leaf)(payload)


def test_a_failure_that_may_pass_is_asked_again_once_and_only_it(lake: Lake) -> None:
    flaky = _Flaky(lake, 1)
    _break(lake, flaky)

    answer = lake.search(**EXACT)

    assert answer["partial"] is False
    assert [hit["id"] for hit in answer["hits"]] == nearest(QUERY, 10)
    assert lake.invoker.calls["shard-search"] == 4
    assert answer["stats"]["invocations"] == 5


def test_a_failure_that_does_not_pass_is_asked_twice_and_no_more(lake: Lake) -> None:
    flaky = _Flaky(lake, 99)
    _break(lake, flaky)

    assert lake.search(**EXACT)["partial"] is True
    assert len(flaky.payloads) == 2


def test_a_failure_that_cannot_pass_is_not_asked_again(lake: Lake) -> None:
    flaky = _Flaky(lake, 99, _answers(_error("checksum-mismatch")))
    _break(lake, flaky)

    assert lake.search(**EXACT)["partial"] is True
    assert len(flaky.payloads) == 1


def test_only_the_searches_that_failed_are_asked_again(lake: Lake) -> None:
    def second_fails(payload: bytes) -> bytes:
        body = orjson.loads(lake.leaf(payload))
        body["answers"][1] = _error("throttled")
        return orjson.dumps(body)

    flaky = _Flaky(lake, 1, second_fails)
    _break(lake, flaky)
    queries = unit_rows(3, DIMENSION, 70)
    searches = [{"query": {"vector": {"v": q.tolist()}}, "recall": 1} for q in queries]

    results = lake.post("search:batch", {"searches": searches}).json["results"]

    assert [len(payload["searches"]) for payload in flaky.payloads] == [3, 1]
    for query, result in zip(queries, results, strict=True):
        assert [hit["id"] for hit in result["hits"]] == nearest(query, 10)


def test_without_time_for_a_second_try_there_is_none(lake: Lake) -> None:
    clock = lake.clock
    assert isinstance(clock, ManualClock)

    def slow_and_broken(payload: bytes) -> bytes:
        clock.advance(0.99)
        raise RuntimeError

    flaky = _Flaky(lake, 99, slow_and_broken)
    lake.search(**EXACT)
    _break(lake, flaky)

    lake.post("search", {**EXACT, "timeout_ms": 1000})

    assert len(flaky.payloads) == 1


def test_in_a_batch_a_failed_shard_is_partial_for_each_search_that_asked_it(lake: Lake) -> None:
    _break(lake, _raises)
    alone = rows_of(lake, 0)[0]
    searches = [EXACT, {"filter": {"number": alone}}, {**EXACT, "require_complete": True}]

    first, by_id, complete = lake.post("search:batch", {"searches": searches}).json["results"]

    assert first["partial"] is True
    assert [hit["id"] for hit in by_id["hits"]] == [f"{alone:05d}"]
    assert complete["error"]["kind"] == "no-shard-answered"


# Everything else on the way -----------------------------------------------------------------------------


def test_an_encoder_that_fails_is_the_search_s_error(lake: Lake) -> None:
    lake.invoker.functions["encode"] = _raises

    answer = lake.post("search", {"query": {"text": "x"}})

    assert (answer.status, answer.kind) == (503, "function-unavailable")
    assert lake.invoker.calls["shard-search"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        {"vectors": "AAAA", "count": 1, "dimension": 1, "model": {}},
        {"vectors": b64encode(bytes(4 * 8)).decode(), "count": 2, "dimension": 4, "model": {}},
        {"vectors": b64encode(b"\0\0\xc0\x7f" * 8).decode(), "count": 1, "dimension": 8, "model": {}},
        {"vectors": b64encode(b"\0\0\x80\x3f" * 4).decode(), "count": 1, "dimension": 4, "model": {}},
        [],
    ],
    ids=["no JSON", "short", "two for one", "not a number", "another dimension", "a list"],
)
def test_vectors_that_were_not_asked_for_are_an_error_of_ours_and_not_a_crash(lake: Lake, body: object) -> None:
    lake.invoker.functions["encode"] = _answers(body)

    answer = lake.post("search", {"query": {"text": "x"}})

    assert (answer.status, answer.kind) == (500, "malformed-file")


def test_one_encoder_s_failure_leaves_the_searches_by_vector_alone(lake: Lake) -> None:
    lake.invoker.functions["encode"] = _raises

    results = lake.post("search:batch", {"searches": [{"query": {"text": "x"}}, EXACT]}).json["results"]

    assert results[0]["error"]["kind"] == "function-unavailable"
    assert [hit["id"] for hit in results[1]["hits"]] == nearest(QUERY, 10)


def test_a_catalog_that_is_down_is_said_to_be_so(lake: Lake) -> None:
    router = replace(lake.router(), catalog=FlakyCatalog(lake.catalog))

    first = lake.post("search", EXACT, router=router)
    second = lake.post("search", EXACT, router=router)

    assert (first.status, first.kind) == (503, "catalog-unavailable")
    assert second.status == 200


@pytest.mark.parametrize("failures", [1, 2])
def test_a_store_that_is_down_spoils_nothing_that_the_router_keeps(lake: Lake, failures: int) -> None:
    router = lake.router(FlakyStore(lake.store, failures=failures))
    near = {"query": {"vector": {"v": QUERY}}}

    # Manifest and routing file are read side by side: both failures may meet one search.
    answer = lake.post("search", near, router=router)
    assert (answer.status, answer.kind) == (503, "store-unavailable")
    lake.post("search", near, router=router)

    assert lake.post("search", near, router=router).status == 200


@pytest.mark.parametrize("what", ["manifest.json", "v.router"])
def test_a_damaged_manifest_or_routing_file_is_an_error_and_is_read_again(lake: Lake, what: str) -> None:
    key = next(key for key in lake.store.objects if key.endswith(what))
    damaged = CorruptStore(lake.store, key=key, offset=3)
    if what == "v.router":
        damaged = CorruptStore(lake.store, key=key, offset=len(lake.store.objects[key]) - 60)
    router = lake.router(damaged)
    near = {"query": {"vector": {"v": QUERY}}}

    answer = lake.post("search", near, router=router)
    damaged._key = "nothing"
    later = lake.post("search", near, router=router)

    assert answer.status == 500
    assert answer.kind in {"malformed-file", "checksum-mismatch"}
    assert later.status == 200


def test_no_time_at_all_is_a_timeout(lake: Lake) -> None:
    answer = lake.post("search", EXACT, left_ms=0)

    assert (answer.status, answer.kind) == (504, "deadline-exceeded")


def test_an_answer_larger_than_a_function_may_give_is_the_caller_s_to_make_smaller(lake: Lake) -> None:
    _break(lake, _answers({"answers": [_error("answer-too-large")]}))

    answer = lake.post("search", EXACT)

    assert (answer.status, answer.kind) == (400, "answer-too-large")


def test_a_bug_is_a_500_with_a_kind_and_without_a_trace(lake: Lake) -> None:
    class Bug(WrappedCatalog):
        def before(self, operation: str) -> None:
            raise ZeroDivisionError(operation)

    router = replace(lake.router(), catalog=Bug(lake.catalog))

    answer = lake.post("search", EXACT, router=router)

    assert (answer.status, answer.kind) == (500, "internal")
    assert "ZeroDivision" not in answer.text
    assert "ZeroDivision" in lake.log.getvalue()
