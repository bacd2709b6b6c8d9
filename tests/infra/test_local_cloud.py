"""The embedded cloud itself, with tiny functions in the place of ours: what it promises whoever runs `shardlake up`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

from shardlake.errors import Conflict, Unavailable
from shardlake.local import CloudStatus, down, status, up
from shardlake.local.folder import CloudFolder

FUNCTIONS = ("api", "router", "shard_search", "encode", "ingest", "build")
HANDLER = """
import json, os
def handler(event, context):
    print("called")
    body = {"name": context.function_name, "path": event.get("rawPath"), "answer": ANSWER, "env": dict(os.environ)}
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    write_code(folder, answer=1)
    return folder


def write_code(folder: Path, *, answer: int) -> None:
    for name in FUNCTIONS:
        package = folder / "functions" / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "handler.py").write_text(HANDLER.replace("ANSWER", str(answer)))
        (package / "__init__.py").touch()
    (folder / "functions" / "__init__.py").touch()


@pytest.fixture
def data_dir(tmp_path: Path) -> Any:
    folder = tmp_path / "data"
    yield folder
    down(folder)


def get(url: str, data: bytes | None = None) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, data=data, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def wait_until_gone(group: int) -> bool:
    give_up_at = time.monotonic() + 5  # init collects the killed workers when it comes to it
    while time.monotonic() < give_up_at:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def client(cloud: CloudStatus, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def test_the_api_has_a_plain_address_beside_the_aws_services(code: Path, data_dir: Path) -> None:
    cloud = up(data_dir, 0, code_path=code)

    assert get(f"{cloud.url}/v1/health")["name"] == "shardlake-api"
    assert get(cloud.console)["path"] == "/"
    assert get(f"{cloud.url}/v1/collections/a/search", b"{}")["name"] == "shardlake-router"
    assert get(f"{cloud.url}/v1/collections/a/search:batch", b"{}")["name"] == "shardlake-router"
    for path in ("items", "items/a", "items/a/b.png"):
        assert get(f"{cloud.url}/v1/collections/a/{path}")["name"] == "shardlake-router"
    for path in ("items", "items:delete"):
        assert get(f"{cloud.url}/v1/collections/a/{path}", b"{}")["name"] == "shardlake-api"
    assert get(f"{cloud.url}/v1/collections/a/items", b"{}")["name"] == "shardlake-api"
    assert get(f"{cloud.url}/v1/collections/a/search")["name"] == "shardlake-api"
    buckets = client(cloud, "s3").list_buckets()["Buckets"]
    assert cloud.bucket in {bucket["Name"] for bucket in buckets}


def test_functions_see_nothing_of_the_callers_environment(
    code: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "1")
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    seen = get(f"{up(data_dir, 0, code_path=code).url}/v1/health")["env"]

    assert not {"SECRET_OF_THE_USER", "LOG_LEVEL", "AWS_PROFILE", "HTTP_PROXY"} & set(seen)
    assert seen["TMPDIR"] == str(data_dir / "tmp")


ATTEMPT = """
import boto3, json, os
def handler(event, context):
    print("called")
    store, refused = boto3.client("s3"), []
    for name, call in {
        "get shard": lambda: store.get_object(Bucket=os.environ["SHARDLAKE_BUCKET"], Key="data/u/versions/v/x"),
        "get segment": lambda: store.get_object(Bucket=os.environ["SHARDLAKE_BUCKET"], Key="data/u/segments/x"),
        "get artefact": lambda: store.get_object(Bucket=os.environ["SHARDLAKE_BUCKET"], Key="data/u/builds/b/x"),
        "get inbox": lambda: store.get_object(Bucket=os.environ["SHARDLAKE_BUCKET"], Key="inbox/x"),
        "put data": lambda: store.put_object(Bucket=os.environ["SHARDLAKE_BUCKET"], Key="data/u/versions/y", Body=b""),
        "get row": lambda: boto3.client("dynamodb").get_item(
            TableName="shardlake-catalog", Key={"pk": {"S": "a"}, "sk": {"S": "b"}}
        ),
        "invoke": lambda: boto3.client("lambda").invoke(FunctionName="shardlake-build"),
    }.items():
        try:
            call()
        except Exception as exc:
            refused.append([name, exc.response["Error"]["Code"]])
    return refused
"""


def test_a_function_may_do_what_its_role_allows_and_nothing_else(code: Path, data_dir: Path) -> None:
    (code / "functions" / "shard_search" / "handler.py").write_text(ATTEMPT)
    cloud = up(data_dir, 0, code_path=code)
    for key in ("data/u/versions/v/x", "data/u/segments/x", "data/u/builds/b/x", "inbox/x"):
        client(cloud, "s3").put_object(Bucket=cloud.bucket, Key=key, Body=b"bytes")

    answer = client(cloud, "lambda").invoke(FunctionName=cloud.outputs["ShardSearchFunction"])

    assert json.loads(answer["Payload"].read()) == [
        ["get artefact", "AccessDenied"],
        ["get inbox", "AccessDenied"],
        ["put data", "AccessDenied"],
        ["get row", "AccessDeniedException"],
        ["invoke", "AccessDeniedException"],
    ]


def test_a_dropped_file_reaches_the_ingest_function(code: Path, data_dir: Path) -> None:
    cloud = up(data_dir, 0, code_path=code)

    client(cloud, "s3").put_object(Bucket=cloud.bucket, Key="inbox/films/a.jsonl", Body=b"{}")

    logs = client(cloud, "logs")
    give_up_at = time.monotonic() + 20
    said: list[str] = []
    while "called" not in said and time.monotonic() < give_up_at:
        events = logs.filter_log_events(logGroupName="/aws/lambda/shardlake-ingest")["events"]
        said = [event["message"].strip() for event in events]
        time.sleep(0.1)
    assert "called" in said


def test_state_survives_down_and_up(code: Path, data_dir: Path) -> None:
    cloud = up(data_dir, 0, code_path=code)
    client(cloud, "s3").put_object(Bucket=cloud.bucket, Key="data/x", Body=b"bytes")
    row = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    client(cloud, "dynamodb").put_item(TableName=cloud.outputs["CatalogTable"], Item=row)
    assert down(data_dir)

    again = up(data_dir, 0, code_path=code)

    assert client(again, "s3").get_object(Bucket=again.bucket, Key="data/x")["Body"].read() == b"bytes"
    assert client(again, "dynamodb").get_item(TableName=again.outputs["CatalogTable"], Key=row)["Item"] == row
    assert again.outputs == cloud.outputs
    assert get(f"{again.url}/v1/health")["name"] == "shardlake-api"


def test_files_are_ingested_after_a_restart_on_another_port(code: Path, data_dir: Path) -> None:
    first = up(data_dir, 0, code_path=code)
    down(data_dir)
    with socket.create_server(("127.0.0.1", int(first.url.rpartition(":")[2]))):
        again = up(data_dir, 0, code_path=code)
        assert again.url != first.url

        client(again, "s3").put_object(Bucket=again.bucket, Key="inbox/films/a.jsonl", Body=b"{}")

        queue = client(again, "sqs")
        give_up_at = time.monotonic() + 60
        left = -1
        while left != 0 and time.monotonic() < give_up_at:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            url = again.outputs["InboxQueueUrl"]
            counts = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            left = sum(int(count) for count in counts.values())
            time.sleep(0.1)
        assert left == 0


def test_up_again_keeps_the_process_and_deploys_changed_code(code: Path, data_dir: Path) -> None:
    first = up(data_dir, 0, code_path=code)
    same = up(data_dir, 0, code_path=code)
    assert same == first

    write_code(code, answer=2)
    changed = up(data_dir, 0, code_path=code)

    assert changed.pid == first.pid
    assert get(f"{changed.url}/v1/health")["answer"] == 2


def test_two_clouds_run_side_by_side(code: Path, data_dir: Path, tmp_path: Path) -> None:
    other_dir = tmp_path / "other"
    try:
        cloud, other = up(data_dir, 0, code_path=code), up(other_dir, 0, code_path=code)
        client(cloud, "s3").put_object(Bucket=cloud.bucket, Key="data/x", Body=b"1")

        assert cloud.url != other.url
        assert "Contents" not in client(other, "s3").list_objects_v2(Bucket=other.bucket)
    finally:
        down(other_dir)
    assert status(data_dir) is not None
    assert status(other_dir) is None


def test_down_leaves_no_process_and_no_temporary_file(code: Path, data_dir: Path) -> None:
    cloud = up(data_dir, 0, code_path=code)
    get(f"{cloud.url}/v1/collections/a/search", b"{}")

    assert down(data_dir)

    assert not down(data_dir)
    assert not (data_dir / "tmp").exists()
    assert wait_until_gone(cloud.pid)


def kill(cloud: CloudStatus) -> None:
    os.killpg(cloud.pid, signal.SIGKILL)
    os.waitpid(cloud.pid, 0)


def test_a_killed_cloud_starts_again_with_all_but_its_last_seconds(code: Path, data_dir: Path) -> None:
    cloud = up(data_dir, 0, code_path=code)
    client(cloud, "s3").put_object(Bucket=cloud.bucket, Key="data/x", Body=b"bytes")
    row = {"pk": {"S": "a"}, "sk": {"S": "name-of-a-row"}}
    client(cloud, "dynamodb").put_item(TableName=cloud.outputs["CatalogTable"], Item=row)
    tables = data_dir / "state" / "dynamodb.json"
    give_up_at = time.monotonic() + 10
    while not (tables.is_file() and b"name-of-a-row" in tables.read_bytes()) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    kill(cloud)
    assert status(data_dir) is None
    said: list[str] = []

    again = up(data_dir, 0, code_path=code, progress=said.append)

    assert any("did not stop cleanly" in line for line in said)
    assert client(again, "s3").get_object(Bucket=again.bucket, Key="data/x")["Body"].read() == b"bytes"
    assert client(again, "dynamodb").get_item(TableName=again.outputs["CatalogTable"], Key=row)["Item"] == row


def test_a_cloud_that_was_killed_while_it_was_deployed_starts_afresh(code: Path, data_dir: Path) -> None:
    kill(up(data_dir, 0, code_path=code))
    for file in (data_dir / "state").glob("*.json"):
        file.unlink()

    again = up(data_dir, 0, code_path=code)

    assert get(f"{again.url}/v1/health")["name"] == "shardlake-api"


def test_a_taken_port_is_a_conflict(code: Path, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict, match="is taken"):
        up(data_dir, taken.getsockname()[1], code_path=code)
    assert status(data_dir) is None


def test_a_function_that_cannot_be_imported_is_said_by_up(code: Path, data_dir: Path) -> None:
    (code / "functions" / "api" / "handler.py").write_text("import no_such_module")

    with pytest.raises(Unavailable, match="no_such_module"):
        up(data_dir, 0, code_path=code)


def test_a_record_that_cannot_be_read_is_a_fresh_start(tmp_path: Path) -> None:
    folder = CloudFolder(tmp_path)
    folder.record_file.write_text("{half")

    assert folder.read().pid == 0
    assert not folder.is_served()


def test_a_rest_api_routes_as_the_http_api_does(code: Path, data_dir: Path) -> None:
    cloud = up(data_dir, 0, code_path=code, parameters={"ApiKind": "RestApi"}, wait_for_api=False)
    base = f"{cloud.url}/restapis/{cloud.outputs['ApiId']}/live/_user_request_"

    for path in ("/", "/v1/health", "/v1/collections", "/v1/collections/a/builds/b", "/v1/collections/a/search", "/no"):
        assert get(base + path)["name"] == "shardlake-api"
    assert get(f"{base}/v1/collections/a/search", b"{}")["name"] == "shardlake-router"
    assert get(f"{base}/v1/collections/a/search:batch", b"{}")["name"] == "shardlake-router"
    for path in ("items", "items/a", "items/a/b.png"):
        assert get(f"{base}/v1/collections/a/{path}")["name"] == "shardlake-router"
    for path in ("items", "items:delete"):
        assert get(f"{base}/v1/collections/a/{path}", b"{}")["name"] == "shardlake-api"


def test_the_emulator_still_has_what_the_launcher_leans_on() -> None:
    script = """
from ministack import app
from ministack.services import s3
assert all(map(callable, (app._build_persistence_save_dict, app.save_all, s3._read_body, s3._object_disk_path)))
"""
    # In a process of its own: importing the emulator changes logging for everybody.
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
