"""`redrive`, over lists in memory."""

from __future__ import annotations

import pytest

from shardlake.cli.main import run
from shardlake.cli.session import Session
from shardlake.testing.memory_letters import MemoryDeadLetters
from tests.unit.cli.conftest import FakeCloud, Result


def _run(letters: MemoryDeadLetters, capture: pytest.CaptureFixture[str], *arguments: str) -> Result:
    session = Session(env={}, cloud=FakeCloud(), open_dead_letters=lambda _session, _data_dir: letters)
    code = run(["redrive", *arguments], session)
    seen = capture.readouterr()
    return Result(code, seen.out, seen.err)


def test_all_that_was_given_up_is_put_back_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    letters = MemoryDeadLetters()
    letters.dead = [str(number) for number in range(23)]

    told = _run(letters, capsys, "--json")

    assert (told.code, told.json) == (0, {"redriven": 23, "left": 0})
    assert letters.queue == [str(number) for number in range(23)]
    assert letters.dead == []


def test_a_person_reads_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    letters = MemoryDeadLetters()
    assert _run(letters, capsys).out == "nothing had been given up\n"

    letters.dead = ["{}"]
    assert _run(letters, capsys).out == "1 event is on its way again\n"


def test_what_stays_behind_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    letters = MemoryDeadLetters()
    letters.dead, letters.hidden = ["{}"], ["{}", "{}"]

    out = _run(letters, capsys).out

    assert "1 event is on its way again" in out
    assert "2 could not be sent" in out
    assert _run(letters, capsys, "--json").json == {"redriven": 0, "left": 2}


def test_without_a_local_cloud_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["redrive", "--json"], Session(env={}, cloud=FakeCloud()))

    assert code == 1
    assert "api-unreachable" in capsys.readouterr().err
