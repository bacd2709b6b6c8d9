"""Fixtures that several suites share: one embedded cloud a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shardlake.local import CloudStatus, down, up

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / ".cache" / "models"  # `make test` prepares MiniLM here; without it there is the embedded encoder only


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudStatus]:
    """A running local cloud with infra/template.yaml in it, on a free port, in a folder of its own."""
    data_dir = tmp_path_factory.mktemp("cloud")
    try:
        yield up(data_dir, 0, models_dir=MODELS)
    finally:
        down(data_dir)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the cloud is marked so, and `-m "not cloud"` leaves it out."""
    for item in items:
        if "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cloud)
