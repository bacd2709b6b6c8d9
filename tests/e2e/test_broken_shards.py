"""Shards that break, on a cloud of their own: a flipped byte, a missing object, a function that sleeps too long.

Each makes the answer partial, names the shard and why, and leaves the others' hits right.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import numpy as np
import pytest

from shardlake.client import Client
from shardlake.format.container import Container
from shardlake.format.shard import SHARD_KIND
from shardlake.local import CloudStatus, down, up

ROWS, DIMENSION, SHARDS = 900, 16, 3
SLEEPER = """
import time
from functions.shard_search.handler import handler as real

def handler(event, context):
    if event["shards"][0]["shard_id"] == 1:
        time.sleep(6)
    return real(event, context)
"""


@pytest.fixture(scope="module")
def own_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudStatus]:
    data_dir = tmp_path_factory.mktemp("broken")
    try:
        yield up(data_dir, 0)
    finally:
        down(data_dir)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rows = np.random.default_rng(8).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def name(own_cloud: CloudStatus, vectors: np.ndarray, request: pytest.FixtureRequest) -> str:
    """A built collection that no function has read yet."""
    name = request.node.name.replace("_", "-")[5:45]
    schema = {
        "spaces": {"v": {"dimension": DIMENSION, "index": {"type": "flat"}}},
        "sharding": {"target_rows": ROWS // SHARDS},
    }
    with Client(own_cloud.url) as client:
        client.collections.create(name, schema)
        collection = client.collection(name)
        collection.upsert([{"id": f"{i:04d}", "vectors": {"v": row.tolist()}} for i, row in enumerate(vectors)])
        while collection.describe().pending_items < ROWS:
            pass
        assert collection.wait_for_build(collection.start_build().build_id).state == "done"
    return name


def aws(cloud: CloudStatus, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=cloud.endpoint, **keys)


def shard_objects(cloud: CloudStatus, name: str) -> tuple[Any, str, dict[str, str]]:
    """Returns an S3 client, the bucket, and the keys of the collection's shards by their number."""
    s3 = aws(cloud, "s3")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    version = httpx.get(f"{cloud.url}/v1/collections/{name}").json()["version"]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="data/")["Contents"]]
    return s3, bucket, {key[-11:-6]: key for key in keys if f"/{version}/" in key and key.endswith(".shard")}


def search(cloud: CloudStatus, name: str, query: np.ndarray, **more: Any) -> httpx.Response:
    body = {"query": {"vector": {"v": query.tolist()}}, "k": 10, "recall": 1, **more}
    return httpx.post(f"{cloud.url}/v1/collections/{name}/search", json=body, timeout=40)


def assert_partial(answer: dict[str, Any], shard: str, kind: str, query: np.ndarray, vectors: np.ndarray) -> None:
    assert answer["partial"] is True
    assert [(one["shard"], one["kind"]) for one in answer["shards"]["failed"]] == [(shard, kind)]
    assert (answer["shards"]["requested"], answer["shards"]["searched"]) == (SHARDS, SHARDS - 1)
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 10
    for hit in answer["hits"]:
        assert hit["score"] == pytest.approx(float(vectors[int(hit["id"])] @ query), abs=1e-5)


def test_a_flipped_byte_makes_the_answer_partial(own_cloud: CloudStatus, name: str, vectors: np.ndarray) -> None:
    s3, bucket, keys = shard_objects(own_cloud, name)
    data = bytearray(s3.get_object(Bucket=bucket, Key=keys["00002"])["Body"].read())
    (first, *_), *_ = Container(bytes(data), SHARD_KIND).array("exact/v").tolist()
    data[first + 5] ^= 1  # in the first vector: a search reads what it needs, and that it needs
    s3.put_object(Bucket=bucket, Key=keys["00002"], Body=bytes(data))

    answer = search(own_cloud, name, vectors[5]).json()

    assert_partial(answer, "00002", "checksum-mismatch", vectors[5], vectors)


def test_a_missing_object_makes_the_answer_partial(own_cloud: CloudStatus, name: str, vectors: np.ndarray) -> None:
    s3, bucket, keys = shard_objects(own_cloud, name)
    s3.delete_object(Bucket=bucket, Key=keys["00000"])

    answer = search(own_cloud, name, vectors[7]).json()
    complete = search(own_cloud, name, vectors[7], require_complete=True)

    assert_partial(answer, "00000", "object-not-found", vectors[7], vectors)
    assert (complete.status_code, complete.json()["error"]["kind"]) == (503, "no-shard-answered")


def test_a_sleeping_function_makes_the_answer_partial(own_cloud: CloudStatus, name: str, vectors: np.ndarray) -> None:
    functions = aws(own_cloud, "lambda")
    (leaf,) = [f for f in functions.list_functions()["Functions"] if f["Handler"].startswith("functions.shard_search.")]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("sleeper.py", SLEEPER)
    functions.update_function_configuration(FunctionName=leaf["FunctionName"], Handler="sleeper.handler")
    functions.update_function_code(FunctionName=leaf["FunctionName"], ZipFile=package.getvalue())

    # A first search starts the containers, whose imports take longer than the deadline of the second.
    search(own_cloud, name, vectors[9], timeout_ms=20_000)
    answer = search(own_cloud, name, vectors[9], timeout_ms=2_500).json()

    assert_partial(answer, "00001", "deadline-exceeded", vectors[9], vectors)
    assert answer["stats"]["took_ms"]["total"] < 4_000
