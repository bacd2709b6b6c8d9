"""The path, once: over HTTP, through the deployed functions, as a user goes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from shardlake.local import CloudStatus

GIVE_UP_AFTER_S = 60.0


@pytest.fixture
def api(cloud: CloudStatus) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.url, timeout=30, trust_env=False) as client:
        yield client


def until(done: Callable[[dict[str, Any]], bool], ask: Callable[[], httpx.Response]) -> dict[str, Any]:
    give_up_at = time.monotonic() + GIVE_UP_AFTER_S
    while time.monotonic() < give_up_at:
        answer: dict[str, Any] = ask().raise_for_status().json()
        if done(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {GIVE_UP_AFTER_S} s: {ask().text}")


def test_items_that_are_posted_are_found_after_a_build(api: httpx.Client) -> None:
    path = "/v1/collections/smoke"
    schema = {
        "spaces": {"place": {"dimension": 4, "metric": "cosine", "index": {"type": "flat"}}},
        "attributes": {"kind": {"type": "keyword"}},
    }
    items = [
        {"id": "north", "attributes": {"kind": "cold"}, "vectors": {"place": [1, 0, 0, 0]}},
        {"id": "south", "attributes": {"kind": "warm"}, "vectors": {"place": [0, 1, 0, 0]}},
    ]

    assert api.put(path, json=schema).status_code == 201
    assert api.put(path, json=schema).status_code == 200
    assert api.post(f"{path}/items", json={"items": items}).status_code == 202
    until(lambda found: found["pending"]["items"] == 2, lambda: api.get(path))
    build = api.post(f"{path}/builds", json={}).raise_for_status().json()
    ended = until(
        lambda found: found["state"] in {"done", "failed"}, lambda: api.get(f"{path}/builds/{build['build_id']}")
    )
    assert ended["state"] == "done", ended

    query = {"query": {"vector": {"place": [0.9, 0.1, 0, 0]}}, "k": 2}
    answer = api.post(f"{path}/search", json=query).raise_for_status().json()
    assert [hit["id"] for hit in answer["hits"]] == ["north", "south"]
    assert answer["partial"] is False
    filtered = api.post(f"{path}/search", json={**query, "filter": {"kind": "warm"}}).raise_for_status().json()
    assert [hit["id"] for hit in filtered["hits"]] == ["south"]


def test_a_wrong_path_answers_with_our_error_body(api: httpx.Client) -> None:
    answer = api.get("/v1/nothing-here")

    assert answer.status_code == 404
    assert answer.json()["error"]["kind"] == "route-not-found"
