"""`shardlake demo` on the embedded cloud: what a stranger sees first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from shardlake.cli.main import run
from shardlake.cli.session import Session
from shardlake.demo.collection import COUNT, NAME
from shardlake.local import CloudStatus
from tests.e2e.cloud_shell import RunningCloud

FIRST_TIME_S = 180
SECOND_TIME_S = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def session(cloud: CloudStatus) -> Session:
    return Session(env={}, cloud=RunningCloud(cloud))


@pytest.fixture(scope="module", autouse=True)
def name_given_back(cloud: CloudStatus) -> Iterator[None]:
    """Other suites have a collection of the same name on the shared cloud."""
    yield
    httpx.delete(f"{cloud.url}/v1/collections/{NAME}").raise_for_status()


def demo(session: Session, folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    code = run(["demo", "--json", "--data-dir", str(folder)], session)
    seen = capsys.readouterr()
    assert (code, seen.err) == (0, "")
    return json.loads(seen.out)


def test_the_demo_finds_what_it_asks_for_and_the_second_time_makes_nothing_again(
    session: Session, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = demo(session, folder, capsys)
    second = demo(session, folder, capsys)

    assert (first["drawn"], first["taken_in"], first["collection"]["rows"]) == (COUNT, COUNT, COUNT)
    assert first["collection"]["shards"] >= 2
    assert (second["drawn"], second["taken_in"], second["built"]) == (0, 0, None)
    assert first["seconds"] < FIRST_TIME_S
    assert second["seconds"] < SECOND_TIME_S
    assert [search["answer"]["hits"] for search in first["searches"]] == [
        search["answer"]["hits"] for search in second["searches"]
    ]
    words, fish, picture, both = (search["answer"]["hits"] for search in second["searches"])
    assert share(words, colours="red") >= 0.5
    assert share(fish, colours="yellow") >= 0.5
    assert share(picture, shapes="bottle") >= 0.75  # what a picture shows weighs more than its colour
    assert max(hit["attributes"]["price"] for hit in both) <= 40


def share(hits: list[Any], **facts: str) -> float:
    """Returns the share of hits that show all of the facts."""
    right = [hit for hit in hits if all(value in hit["attributes"][name] for name, value in facts.items())]
    return len(right) / len(hits)


def test_people_see_tables_sheets_the_console_and_commands_that_work(
    session: Session, folder: Path, capsys: pytest.CaptureFixture[str], cloud: CloudStatus
) -> None:
    assert run(["demo", "--data-dir", str(folder)], session) == 0
    out = capsys.readouterr().out

    assert cloud.console in out
    assert "a red star" in out
    assert out.count("curl -s") == 2
    for name in ("results.png", "pictures.png"):
        assert name in out
        with Image.open(folder / "demo" / name) as sheet:
            assert min(sheet.size) > 500
    body = out.split(" -d '")[1].split("'")[0]
    answer = httpx.post(f"{cloud.url}/v1/collections/pictures/search", content=body, timeout=30)
    assert answer.json()["hits"]


def test_the_search_in_the_readme_is_answered_as_it_says(cloud: CloudStatus) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"curl -s http://127\.0\.0\.1:4566(\S+) \\\n  -d '(.+?)'\n", readme)
    (shown,) = re.findall(r"```json\n(.+?)\n```", readme, re.DOTALL)

    answer = httpx.post(f"{cloud.url}{command[0]}", content=command[1]).json()

    # The index is learned anew each time: scores agree as far as refined codes do.
    found, said = answer["hits"], json.loads(shown)["hits"]
    assert [hit["id"] for hit in found] == [hit["id"] for hit in said]
    assert found[0]["score"] == pytest.approx(said[0]["score"], abs=0.01)
    assert found[0]["attributes"] == said[0]["attributes"]
