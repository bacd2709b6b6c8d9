"""A build through the state machine, on the local cloud: the same searches as a build in one run, and its failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shardlake.local import CloudStatus, down, up
from shardlake.local.stack import emulator_client

ROWS, DIMENSION, SEGMENT_ROWS = 2_400, 8, 600
PART_ROWS = 1_000  # the least that the template takes: a segment a part
SCHEMA = {
    "spaces": {"v": {"dimension": DIMENSION, "metric": "cosine"}},
    "attributes": {"number": {"type": "int"}, "title": {"type": "text"}},
    "sharding": {"by": "cluster", "target_rows": 800},
}
SEARCHES: list[dict[str, Any]] = [
    {"recall": 0.9},
    {"recall": 1.0},
    {"filter": {"number": {"$lt": 100}}},
    {"match": {"title": "film seven"}},
]
BUILD_S = 120.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudStatus]:
    """A local cloud whose parts are small."""
    data_dir: Path = tmp_path_factory.mktemp("steps")
    try:
        yield up(data_dir, 0, parameters={"BuildPartRows": str(PART_ROWS)})
    finally:
        down(data_dir)


@pytest.fixture(scope="module")
def api(cloud: CloudStatus) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{cloud.url}/v1/collections/", timeout=60, trust_env=False) as client:
        yield client


def vectors() -> list[list[float]]:
    drawn = np.random.default_rng(5).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    found: list[list[float]] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).tolist()
    return found


def taken_in(api: httpx.Client, name: str) -> None:
    """Creates a collection with ROWS items in segments of SEGMENT_ROWS."""
    words = ["one", "three", "seven"]
    items = [
        {
            "id": f"i{number:05d}",
            "vectors": {"v": vector},
            "attributes": {"number": number, "title": f"film {words[number % 3]}"},
        }
        for number, vector in enumerate(vectors())
    ]
    api.put(name, json=SCHEMA).raise_for_status()
    for start in range(0, ROWS, SEGMENT_ROWS):
        body = {"items": items[start : start + SEGMENT_ROWS]}
        api.post(f"{name}/items", params={"wait": "true"}, json=body).raise_for_status()
    until(lambda found: found["pending"]["items"] == ROWS, lambda: api.get(name).raise_for_status().json())


def until(
    done: Callable[[dict[str, Any]], bool], ask: Callable[[], dict[str, Any]], seen: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    give_up_at = time.monotonic() + BUILD_S
    while time.monotonic() < give_up_at:
        answer = ask()
        if seen is not None:
            seen.append(answer)
        if done(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {BUILD_S} s: {ask()}")


def built(api: httpx.Client, name: str, seen: list[dict[str, Any]] | None = None, **asked: object) -> dict[str, Any]:
    """Starts a build, follows it to its end, and returns that."""
    started = api.post(f"{name}/builds", json=asked).raise_for_status().json()
    return until(
        lambda found: found["state"] in {"done", "failed"},
        lambda: api.get(f"{name}/builds/{started['build_id']}").raise_for_status().json(),
        seen,
    )


def answers(api: httpx.Client, name: str) -> list[list[tuple[str, float]]]:
    found = []
    for vector in vectors()[:5]:
        for search in SEARCHES:
            body = {"query": {"vector": {"v": vector}}, "k": 20, **search}
            answer = api.post(f"{name}/search", json=body).raise_for_status().json()
            assert not answer["partial"]
            found.append([(hit["id"], hit["score"]) for hit in answer["hits"]])
    return found


def executions(cloud: CloudStatus) -> list[str]:
    """Returns how the machine's executions ended, those that run awaited; newest first."""
    states = emulator_client("stepfunctions", cloud.endpoint)

    def ask() -> dict[str, Any]:
        listed = states.list_executions(stateMachineArn=cloud.outputs["BuildMachine"])["executions"]
        return {"ends": [one["status"] for one in listed]}

    ends: list[str] = until(lambda found: "RUNNING" not in found["ends"], ask)["ends"]
    return ends


class Bucket:
    """The cloud's bucket, as somebody who may do everything sees it."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def written(self, within: str) -> dict[str, Any]:
        """Returns when the objects were written whose keys have such a piece."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name)
        found = (one for page in pages for one in page.get("Contents", []))
        return {one["Key"]: one["LastModified"] for one in found if within in one["Key"]}

    def put(self, key: str, data: bytes) -> None:
        """Writes an object."""
        self._client.put_object(Bucket=self._name, Key=key, Body=data)

    def break_the_last_segment(self) -> tuple[str, bytes]:
        """Breaks a text in the segment written last, which nobody reads before its part; returns its key and bytes."""
        written = {key: at for key, at in self.written("/segments/").items() if key.endswith(".seg")}
        key = max(written, key=lambda each: written[each])
        data: bytes = self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        self.put(key, data.replace(b"film", b"filn", 1))
        return key, data


def test_a_build_through_the_machine_is_searched_as_one_in_one_run(api: httpx.Client, cloud: CloudStatus) -> None:
    for name in ("whole", "steps"):
        taken_in(api, name)
    assert built(api, "whole")["state"] == "done"
    assert executions(cloud) == []

    seen: list[dict[str, Any]] = []
    done = built(api, "steps", seen, distributed=True)

    assert done["state"] == "done", done
    assert done["progress"] == 1.0
    assert executions(cloud) == ["SUCCEEDED"]
    progress = [one["progress"] for one in seen]
    assert progress == sorted(progress)
    assert len({one["stage"] for one in seen} & {"survey", "train", "assign", "write", "calibrate", "commit"}) >= 3
    versions = [api.get(f"{name}/versions").json()["versions"][0] for name in ("whole", "steps")]
    assert versions[0]["shards"] == versions[1]["shards"] >= 3
    assert versions[0]["rows"] == versions[1]["rows"] == ROWS
    assert answers(api, "steps") == answers(api, "whole")


def test_a_broken_part_fails_the_build_and_a_retry_goes_on_where_it_stopped(
    api: httpx.Client, cloud: CloudStatus
) -> None:
    taken_in(api, "broken")
    before = answers(api, "broken")
    bucket = Bucket(emulator_client("s3", cloud.endpoint), cloud.bucket)
    key, data = bucket.break_the_last_segment()

    failed = built(api, "broken", distributed=True)

    assert failed["state"] == "failed"
    assert failed["error"]["kind"] == "checksum-mismatch"
    assert failed["stage"] == "assign"
    assert executions(cloud)[0] == "FAILED"
    assert api.get("broken/versions").json() == {"current": None, "versions": []}
    assert answers(api, "broken") == before
    standing = bucket.written(f"/builds/{failed['build_id']}/")
    assert len([name for name in standing if "/rows-" in name]) == ROWS // SEGMENT_ROWS - 1

    bucket.put(key, data)
    seen: list[dict[str, Any]] = []
    retried = built(api, "broken", seen, distributed=True, retry=failed["build_id"])

    assert retried["state"] == "done", retried
    assert retried["build_id"] == failed["build_id"]
    assert executions(cloud)[0] == "SUCCEEDED"
    assert answers(api, "broken") == answers(api, "whole")
