"""The command line on the embedded cloud of the test session."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shardlake.cli.main import run
from shardlake.cli.session import Session
from shardlake.local import CloudStatus


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """The session's cloud as the command line sees it: up already, and not to be stopped."""

    found: CloudStatus

    def up(
        self, data_dir: Path, port: int | None, *, progress: Callable[[str], None], models_dir: Path | None
    ) -> CloudStatus:
        return self.found

    def down(self, data_dir: Path, *, progress: Callable[[str], None]) -> bool:
        raise AssertionError("the cloud belongs to the whole session")

    def status(self, data_dir: Path) -> CloudStatus | None:
        return self.found


@dataclass(frozen=True, slots=True)
class CloudShell:
    """Runs commands that must succeed and answers their JSON."""

    session: Session
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Any:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def run(self, *arguments: object) -> tuple[int, str, str]:
        code = run([str(one) for one in arguments], self.session)
        seen = self.capture.readouterr()
        return code, seen.out, seen.err
