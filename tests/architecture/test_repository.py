"""What lies in the repository: one version, no path of anybody's machine."""

from __future__ import annotations

import re

import pytest

import shardlake
from shardlake.settings import Settings
from tests.architecture.sources import EVERYTHING, ROOT, name_of, pyproject

TEXTS = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".json", ".jsonl", ""}
# Written apart, so that this file does not find itself.
MACHINE = re.compile(
    "|".join(re.escape(f"/{a}/{b}") for a, b in [("work", "main"), ("work", "shared"), ("root", "."), ("tmp", "s/")])
)


def test_all_places_name_one_version() -> None:
    version = pyproject()["project"]["version"]

    assert shardlake.__version__ == version
    assert Settings().code_version == version


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    path = ROOT / "CHANGELOG.md"
    if not path.exists():
        pytest.skip("there is no changelog yet")
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", path.read_text(encoding="utf-8"), re.MULTILINE)

    assert released[0] == pyproject()["project"]["version"]


def test_no_file_names_a_path_of_a_machine() -> None:
    folders = [ROOT / folder for folder in EVERYTHING] + [ROOT / ".ci"]
    files = [path for folder in folders if folder.exists() for path in folder.rglob("*")]
    files += [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    guilty = [
        name_of(path)
        for path in files
        if path.is_file()
        and path.suffix in TEXTS
        and "__pycache__" not in path.parts
        and path.stat().st_size < 2_000_000
        if MACHINE.search(path.read_text(encoding="utf-8", errors="replace"))
    ]

    assert guilty == []
