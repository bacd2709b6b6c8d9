"""Data that changes, through the deployed functions: who was told that a write is seen sees it, whoever else writes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from shardlake.local import CloudStatus

PATH = "/v1/collections/changing"
WRITERS, ITEMS = 4, 6


@pytest.fixture
def api(cloud: CloudStatus) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.url, timeout=60, trust_env=False) as client:
        yield client


def ids(api: httpx.Client, **body: Any) -> list[str]:
    answer = api.post(f"{PATH}/search", json={"k": 100, "timeout_ms": 20_000, **body}).raise_for_status().json()
    assert not answer["partial"], answer["shards"]
    return [hit["id"] for hit in answer["hits"]]


def now(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["searchable"] == "now"
    return body


def test_every_writer_reads_its_own_writes_while_others_write_and_a_build_runs(api: httpx.Client) -> None:
    schema = {
        "spaces": {"v": {"dimension": 3}},
        "attributes": {"writer": {"type": "keyword"}, "number": {"type": "int"}},
    }
    assert api.put(PATH, json=schema).status_code == 201
    waiting = {"wait": "true"}

    def write(writer: int) -> None:
        for number in range(ITEMS):
            name = f"w{writer}-{number}"
            item = {"id": name, "attributes": {"writer": f"w{writer}"}, "vectors": {"v": [1, writer, number]}}
            now(api.post(f"{PATH}/items", json={"items": [item]}, params=waiting))
            assert name in ids(api, filter={"writer": f"w{writer}"})
            change = {"items": [{"id": name, "attributes": {"number": number}}]}
            assert "rejected" not in now(api.patch(f"{PATH}/items", json=change, params=waiting))
            assert ids(api, filter={"writer": f"w{writer}", "number": number}) == [name]
            if number % 2:
                now(api.post(f"{PATH}/items:delete", json={"ids": [name]}, params=waiting))
                assert name not in ids(api, query={"vector": {"v": [1, writer, number]}}, recall=1)
            if (writer, number) == (0, 2):
                assert api.post(f"{PATH}/builds", json={}).status_code == 202

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))

    expected = sorted(f"w{writer}-{number}" for writer in range(WRITERS) for number in range(0, ITEMS, 2))
    assert ids(api) == expected
    assert api.get(PATH).json()["rows"] == len(expected)
    now(api.post(f"{PATH}/items:delete", json={"filter": {"number": {"$gt": 0}}}, params=waiting))
    assert ids(api) == [f"w{writer}-0" for writer in range(WRITERS)]
