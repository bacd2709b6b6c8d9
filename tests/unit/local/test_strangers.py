"""The local cloud answers nobody else's pages, and ends nobody else's process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shardlake.local import process
from shardlake.local.folder import CloudFolder, Record
from shardlake.local.launcher import FrontDoor
from shardlake.local.snapshots import Snapshots

SERVER = """
import os, sys, time
from pathlib import Path
from shardlake.local.folder import CloudFolder
os.setsid()
folder = CloudFolder(Path(sys.argv[1]))
assert folder.take_server_lock() is not None
folder.note_server(os.getpid())
print("ready", flush=True)
time.sleep(60)
"""


def status(folder: CloudFolder, path: str, **headers: str) -> int:
    found: list[int] = []

    async def emulator(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": pairs}
    asyncio.run(FrontDoor(emulator, folder, Snapshots(lambda: None))(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    return found[0]


@pytest.fixture
def folder(tmp_path: Path) -> CloudFolder:
    found = CloudFolder(tmp_path)
    found.write(Record(outputs={"ApiId": "abc"}))
    return found


@pytest.mark.parametrize("path", ["/", "/v1/collections/a", "/bucket/key", "/_ministack/health"])
def test_a_page_of_another_site_is_not_answered(folder: CloudFolder, path: str) -> None:
    here = "127.0.0.1:4566"
    for host, origin in (("evil.example", ""), (here, "http://evil.example"), (here, "null"), ("[::1", "")):
        assert status(folder, path, host=host, **({"origin": origin} if origin else {})) == 403


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost:4566", "LOCALHOST", "[::1]:4566", "b.s3.localhost:4566"])
def test_pages_and_programs_of_this_machine_are_answered(folder: CloudFolder, host: str) -> None:
    assert status(folder, "/v1/health", host=host) == 200
    assert status(folder, "/v1/health", host=host, origin="http://localhost:3000") == 200


def test_down_ends_the_server_and_no_process_that_an_old_record_names(tmp_path: Path) -> None:
    folder = CloudFolder(tmp_path)
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as stranger,
        subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE) as server,
    ):
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        folder.write(Record(pid=stranger.pid))

        was_served = process.stop(folder)

        assert was_served
        server.wait(timeout=10)
        assert stranger.poll() is None
        os.kill(stranger.pid, signal.SIGTERM)


def test_a_record_that_outlived_its_server_ends_nothing(tmp_path: Path) -> None:
    folder = CloudFolder(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as stranger:
        folder.write(Record(pid=stranger.pid))
        folder.note_server(stranger.pid)

        assert not process.stop(folder)
        assert stranger.poll() is None
        os.kill(stranger.pid, signal.SIGTERM)
