"""Every version of the format that was ever written still reads, and gives what it gave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from shardlake.format.container import FORMAT_VERSION
from tests.compat import make_golden

FILES = sorted(path for path in make_golden.FOLDER.iterdir() if not path.name.endswith(".expected.json"))


def _expected(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(path.with_name(f"{path.name}.expected.json").read_bytes())
    return found


def _read(path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    data = path.read_bytes()
    if path.name.endswith(".shard"):
        return make_golden.read_shard(data, expected["tail_offset"])
    readers: dict[str, Callable[[bytes], dict[str, Any]]] = {
        "segment": make_golden.read_segment,
        "router": make_golden.read_routing,
        "json": make_golden.read_manifest,
    }
    return readers[path.name.split(".")[-1]](data)


def _close(found: object, expected: object) -> bool:
    # Scores come out of sums whose order depends on the processor: their last digits may differ.
    if isinstance(found, float) and isinstance(expected, float | int):
        return found == pytest.approx(expected, abs=2e-5)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_close, found, expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_close(found[key], expected[key]) for key in found)
    return found == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_golden_file_still_reads_as_it_was_written(path: Path) -> None:
    expected = _expected(path)

    assert _close(_read(path, expected), expected)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_there_is_a_golden_file_of_every_kind_for_every_version(version: int) -> None:
    kinds = {"shard", "segment", "router", "manifest.json"}

    assert {path.name for path in FILES} >= {f"v{version}.{kind}" for kind in kinds}


def test_golden_files_are_small() -> None:
    assert all(path.stat().st_size < 64 * 1024 for path in make_golden.FOLDER.iterdir())
