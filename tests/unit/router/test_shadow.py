"""Live checks of recall: what is drawn, what they say, and what they keep to themselves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from functions.router import shadow
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind
from shardlake.limits import MAX_ASYNC_PAYLOAD_BYTES
from shardlake.observability import Observer
from shardlake.types import AttributeType
from tests.lake import NAME, SETTINGS, UID, Lake, item, items_of, schema, space, unit_rows

ROWS, DIMENSION = 4_000, 8
BASE = unit_rows(ROWS, DIMENSION, seed=1)
QUERY = {"vector": {"v": BASE[7].tolist()}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A collection with codes, so that a search is not exact."""
    attributes = {"number": AttributeType.INT, "secret": AttributeType.KEYWORD}
    items = [item(f"{i:05d}", {"v": row}, number=i, secret="rosebud") for i, row in enumerate(BASE)]
    return Lake(schema(space(DIMENSION), attributes=attributes), tmp_path_factory.mktemp("shadow")).built(items)


class _Sampling:
    """A router that draws what it is told to, and the function that it starts."""

    def __init__(self, lake: Lake, draw: Callable[[], float], rate: float = 0.5) -> None:
        self.lake = lake
        self.before = lake.log.tell()
        settings = dataclasses.replace(SETTINGS, recall_sample_rate=rate)
        self.router = dataclasses.replace(lake.router(), draw=draw, settings=settings)
        lake.invoker.functions["router"] = self._checked
        self.answers: list[dict[str, Any]] = []

    def search(self, **body: Any) -> dict[str, Any]:
        answer = self.lake.post("search", body, router=self.router)
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the checks."""
        self.lake.log.seek(self.before)
        lines = [json.loads(line) for line in self.lake.log.read().splitlines()]
        return [line for line in lines if line["operation"] == shadow.OPERATION]

    def _checked(self, payload: bytes) -> bytes:
        event = orjson.loads(payload)
        assert shadow.is_check(event)
        answer = shadow.respond(
            event,
            lambda: self.router,
            observer=Observer(f"check-{id(self)}-{len(self.answers)}", stream=self.lake.log),
            request_id="r-2",
            deadline=Deadline.after(10_000, clock=self.lake.clock),
        )
        self.answers.append(answer)
        return orjson.dumps(answer)


def test_a_drawn_search_is_checked_after_it_was_answered_and_reported_beside_its_promise(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0)

    hits = sampling.search(query=QUERY, k=5, recall=0.9)["hits"]

    assert sampling.lines() == [], "not before the answer"
    assert built.invoker.run_started() == 1, "a check starts no check"
    (line,) = sampling.lines()
    true = {f"{i:05d}" for i in np.argsort(-(BASE @ BASE[7]))[:5]}
    assert line["RecallMeasured"] == [len(true & {hit["id"] for hit in hits}) / 5]
    assert line["RecallPromised"] == [0.9]
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert set(metrics["Dimensions"][0]) == {"service", "collection", "band"}
    assert (line["collection"], line["band"]) == (NAME, "none")


@pytest.mark.parametrize(("below", "band"), [(3_900, "0.9"), (2_000, "0.45"), (400, "0.09"), (2, "0")])
def test_a_check_is_reported_by_how_much_its_filter_passes(built: Lake, below: int, band: str) -> None:
    sampling = _Sampling(built, lambda: 0.0)

    sampling.search(query=QUERY, filter={"number": {"$lt": below}})
    built.invoker.run_started()

    (line,) = sampling.lines()
    assert line["band"] == band
    assert line["RecallMeasured"][0] >= 0.9


def test_the_shadow_of_an_exact_answer_finds_all_of_it(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0)
    pointer = built.catalog.pointer(UID)
    assert pointer is not None
    body = {"query": QUERY, "k": 20, "recall": 1}
    found = tuple(hit["id"] for hit in sampling.search(**body)["hits"])

    answered = shadow.Answered(
        collection=NAME, pinned=pointer.version, rows=pointer.rows, body=body, promised=1.0, found=found
    )
    built.invoker.functions["router"](shadow.encode(answered))

    assert sampling.lines()[0]["RecallMeasured"] == [1.0]


def test_at_a_rate_of_zero_nothing_is_started(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0, rate=0.0)

    for _ in range(20):
        sampling.search(query=QUERY)

    assert built.invoker.run_started() == 0


def test_as_many_are_checked_as_the_draw_says(built: Lake) -> None:
    draws = iter([0.0, 0.49, 0.5, 0.99])
    sampling = _Sampling(built, lambda: next(draws), rate=0.5)

    for _ in range(4):
        sampling.search(query=QUERY)

    assert built.invoker.run_started() == 2


@pytest.mark.parametrize(
    "body", [{"query": QUERY, "recall": 1}, {"filter": {"number": 3}}, {"filter": {"number": {"$lt": 3}}, "k": 1}]
)
def test_what_is_exact_anyway_is_not_checked(built: Lake, body: dict[str, Any]) -> None:
    sampling = _Sampling(built, lambda: 0.0)

    sampling.search(**body)

    assert built.invoker.run_started() == 0


def test_an_overridden_plan_promises_nothing_and_is_measured_all_the_same(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0)

    sampling.search(query=QUERY, nprobe=1)
    built.invoker.run_started()

    (line,) = sampling.lines()
    assert "RecallPromised" not in line
    assert 0 <= line["RecallMeasured"][0] <= 1


def test_a_check_looks_at_the_version_that_answered(tmp_path: Path) -> None:
    lake = Lake(schema(space(DIMENSION), attributes={"number": AttributeType.INT}), tmp_path).built(items_of(BASE))
    sampling = _Sampling(lake, lambda: 0.0)
    sampling.search(query=QUERY, k=10)
    lake.add(items_of(BASE[:1].repeat(50, axis=0) + BASE[7], first=90_000))
    lake.build("build-2")

    lake.invoker.run_started()

    assert sampling.lines()[0]["RecallMeasured"][0] >= 0.9


def test_a_check_that_cannot_be_started_costs_the_answer_nothing(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0)
    del built.invoker.functions["router"]

    assert len(sampling.search(query=QUERY)["hits"]) == 10
    built.log.seek(sampling.before)
    assert ErrorKind.FUNCTION_UNAVAILABLE in built.log.read()


def test_a_query_too_large_to_send_on_is_answered_and_not_checked(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0)
    body = {"query": QUERY, "filter": {"secret": {"$in": ["x" * 1_000] * 270 + ["rosebud"]}}}
    assert len(orjson.dumps(body)) > MAX_ASYNC_PAYLOAD_BYTES

    answer = built.post("search", body, router=sampling.router)

    assert answer.status == 200, answer.text
    assert built.invoker.run_started() == 0


@pytest.mark.parametrize("event", [{}, {"collection": NAME}, {"collection": NAME, "pointer": {"version": 3}}, 7, None])
def test_an_event_that_is_no_check_is_refused_and_not_raised(built: Lake, event: object) -> None:
    sampling = _Sampling(built, lambda: 0.0)

    built.invoker.functions["router"](orjson.dumps({shadow.EVENT: event}))

    assert sampling.answers == [{"checked": False, "error": "InvalidInput"}]


def test_lines_of_checks_hold_no_vectors_texts_or_filters(built: Lake) -> None:
    sampling = _Sampling(built, lambda: 0.0)

    sampling.search(query=QUERY, filter={"secret": "rosebud"})
    built.invoker.run_started()

    text = json.dumps(sampling.lines())
    assert "rosebud" not in text
    assert str(QUERY["vector"]["v"][0])[:6] not in text
