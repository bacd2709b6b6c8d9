"""A command line whose API and local cloud are fakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from shardlake.cli.main import run
from shardlake.cli.session import Session
from shardlake.client import Client
from shardlake.local import CloudStatus
from tests.unit.fake_api import BASE, SCHEMA, FakeApi


class FakeCloud:
    """A local cloud that is a dictionary of folders."""

    def __init__(self) -> None:
        self.running: dict[Path, CloudStatus] = {}
        self.calls: list[tuple[str, Path]] = []

    def up(
        self, data_dir: Path, port: int | None, *, progress: Callable[[str], None], models_dir: Path | None
    ) -> CloudStatus:
        self.calls.append(("up", data_dir))
        progress("starting")
        self.running[data_dir] = CloudStatus(
            url=BASE,
            console=f"{BASE}/",
            endpoint=BASE,
            pid=1,
            bucket="b",
            data_dir=data_dir,
            outputs={},
            encoders="clip",
        )
        return self.running[data_dir]

    def down(self, data_dir: Path, *, progress: Callable[[str], None]) -> bool:
        self.calls.append(("down", data_dir))
        return self.running.pop(data_dir, None) is not None

    def status(self, data_dir: Path) -> CloudStatus | None:
        return self.running.get(data_dir)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


@dataclass(slots=True)
class Shell:
    """Runs commands; SHARDLAKE_URL is set, unless a test takes it away."""

    api: FakeApi
    cloud: FakeCloud
    capture: pytest.CaptureFixture[str]
    env: dict[str, str] = field(default_factory=lambda: {"SHARDLAKE_URL": BASE})
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def __call__(self, *arguments: object) -> Result:
        session = Session(env=self.env, connect=self.connect, cloud=self.cloud)
        code = run([str(one) for one in arguments], session)
        seen = self.capture.readouterr()
        return Result(code, seen.out, seen.err)

    def connect(self, url: str, token: str | None) -> Client:
        self.asked.append((url, token))
        return Client(url, token=token, transport=httpx.MockTransport(self.api), sleep=lambda _seconds: None)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi(collections={"c": {"name": "c", "schema": SCHEMA, "rows": 3, "version": "000001-aa"}})


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def shell(api: FakeApi, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(api, cloud, capsys)
