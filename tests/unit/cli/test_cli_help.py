"""What the command line says of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from shardlake.cli.app import app
from shardlake.cli.reference import commands, reference
from tests.unit.cli.conftest import Shell

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = dict(commands(typer.main.get_command(app), "shardlake"))
CONTRACT = (
    "up down status demo ingest search build versions rollback bench cost deploy destroy open token "
    "collections\u00a0create collections\u00a0list collections\u00a0show collections\u00a0drop "
    "items\u00a0get items\u00a0delete items\u00a0scan"
)
BESIDE_IT = (
    "export-faiss",
    "redrive",
    "items trace",
    "aliases list",
    "aliases set",
    "aliases drop",
)  # what this release has and the contract does not name


def test_there_are_the_commands_of_the_contract_and_some_beside_them() -> None:
    expected = {f"shardlake {one}".replace("\u00a0", " ") for one in [*CONTRACT.split(" "), *BESIDE_IT]}

    assert set(COMMANDS) == expected


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_every_option_explains_itself(path: str, shell: Shell) -> None:
    command = COMMANDS[path]

    assert command.help
    assert [one.name for one in command.params if one.name != "help" and not one.help] == []
    result = shell(*path.split()[1:], "--help")
    assert (result.code, result.err) == (0, "")
    assert path in result.out


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_can_answer_in_json(path: str) -> None:
    assert "as_json" in {one.name for one in COMMANDS[path].params}


def test_the_page_about_the_command_line_is_the_one_that_the_commands_write() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference()


def test_without_a_command_there_is_help_and_exit_code_two(shell: Shell) -> None:
    result = shell()

    assert (result.code, result.err) == (2, "")
    assert "collections" in result.out


def test_help_loads_nothing_that_only_a_command_needs() -> None:
    script = "import sys, shardlake.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert {"numpy", "httpx", "boto3", "pydantic_core", "rich", "PIL", "shardlake.client"} & set(loaded) == set()
