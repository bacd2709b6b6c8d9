"""Which requests reach the deployed API, and which the emulator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shardlake.local.folder import CloudFolder, Record
from shardlake.local.launcher import FrontDoor
from shardlake.local.snapshots import Snapshots

SIGNED = b"AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def seen_path(folder: CloudFolder, path: str, authorization: bytes = b"") -> str:
    seen: list[str] = []

    async def emulator(scope: Any, _receive: Any, _send: Any) -> None:
        assert scope["raw_path"] == scope["path"].encode()
        seen.append(scope["path"])

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            seen.append(str(message["status"]))

    door = FrontDoor(emulator, folder, Snapshots(lambda: None))
    headers = [(b"authorization", authorization)] if authorization else []
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": headers}
    asyncio.run(door(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    return seen[0]


@pytest.fixture
def folder(tmp_path: Path) -> CloudFolder:
    found = CloudFolder(tmp_path)
    found.write(Record(outputs={"ApiId": "abc"}))
    return found


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/health", "/v1/collections/a/search:batch"])
def test_a_users_request_reaches_the_api(folder: CloudFolder, path: str) -> None:
    assert seen_path(folder, path) == f"/_aws/execute-api/abc/$default{path}"
    assert seen_path(folder, path, b"Bearer token") == f"/_aws/execute-api/abc/$default{path}"
    assert seen_path(folder, path, SIGNED.replace(b"/s3/", b"/execute-api/")).startswith("/_aws/execute-api/")


@pytest.mark.parametrize("path", ["/bucket/key", "/_ministack/health", "/v1x", "/2015-03-31/functions"])
def test_everything_else_reaches_the_emulator(folder: CloudFolder, path: str) -> None:
    assert seen_path(folder, path) == path


def test_a_signed_aws_call_is_never_taken_for_a_users(folder: CloudFolder) -> None:
    assert seen_path(folder, "/", SIGNED) == "/"
    assert seen_path(folder, "/v1/jobs", SIGNED) == "/v1/jobs"


def test_before_the_deploy_the_api_says_so(tmp_path: Path) -> None:
    assert seen_path(CloudFolder(tmp_path), "/v1/health") == "503"
