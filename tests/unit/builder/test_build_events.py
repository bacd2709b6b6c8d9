"""What the build function does with its events, and a job with its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.stages import Stage
from functions.build import batch, work
from functions.build.steps import NUMBERS, Steps
from functions.build.world import World
from shardlake.catalog.base import BuildState
from shardlake.contracts.build import Step
from shardlake.errors import ErrorKind
from shardlake.testing import MemoryMachine
from tests.lake import NAME, UID, Lake, items_of, queued, schema, space, unit_rows
from tests.stepped import Stepped


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(schema(space(4), target_rows=10), tmp_path)
    lake.add(items_of(unit_rows(25, 4)))
    lake.catalog.put_build(UID, queued("build-1"))
    return lake


def world_of(lake: Lake, machine: MemoryMachine, distributed_rows: int = 0) -> World:
    builds = Stepped(lake).steps().builds
    return World(builds=builds, steps=Steps(builds=builds, machine=machine, distributed_rows=distributed_rows))


def build(world: World, **event: Any) -> dict[str, Any]:
    return work.build(world, NAME, "build-1", event, "request")


def test_a_small_build_runs_at_once(lake: Lake) -> None:
    machine = MemoryMachine()

    done = build(world_of(lake, machine, distributed_rows=26))

    assert (done["state"], machine.started) == (BuildState.DONE, {})
    assert lake.shards


def test_a_large_build_is_handed_over_and_stays_queued(lake: Lake) -> None:
    machine = MemoryMachine()

    handed = build(world_of(lake, machine, distributed_rows=25))

    assert handed == {"build_id": "build-1", "handed_over": True}
    assert len(machine.started) == 1
    assert lake.catalog.get_build(UID, "build-1").state is BuildState.QUEUED


def test_a_retry_starts_the_machine_anew_and_a_second_delivery_does_not(lake: Lake) -> None:
    machine = MemoryMachine()
    world = world_of(lake, machine)

    for event in ({}, {}, {"attempt": "2026-11-25T12:00:00.000Z"}):
        build(world, distributed=True, **event)

    assert len(machine.started) == 2


def test_steps_by_events_end_in_a_version(lake: Lake) -> None:
    world = world_of(lake, MemoryMachine())

    def step(name: str, number: int = 0) -> dict[str, Any]:
        asked = Step(collection=NAME, build_id="build-1", step=name, number=number)
        return work.step(world, asked, "request")

    for name in (Stage.SURVEY, Stage.TRAIN):
        step(name)
    numbers = step(NUMBERS)
    for name, some in ((Stage.ASSIGN, numbers["parts"]), (Stage.WRITE, numbers["shards"])):
        for number in some:
            step(name, number)
    step(Stage.CALIBRATE)
    outcome = step(Stage.COMMIT)

    assert outcome == {"collection": NAME, "build_id": "build-1", "number": 0, "again": False}
    assert lake.catalog.get_build(UID, "build-1").state is BuildState.DONE
    assert sum(row.rows for row in lake.shards) == 25


def test_a_job_runs_the_step_that_its_command_line_asks_for(lake: Lake) -> None:
    world = world_of(lake, MemoryMachine())

    ends = [
        batch.main([str(stage), NAME, "build-1", "0", "false"], lambda: world) for stage in (Stage.SURVEY, Stage.TRAIN)
    ]

    assert ends == [0, 0]
    assert lake.catalog.get_build(UID, "build-1").stage == Stage.TRAIN


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["train", NAME, "build-1", "0", "false"], ErrorKind.STORE_UNAVAILABLE),
        (["polish", NAME, "build-1", "0", "false"], ErrorKind.INVALID_REQUEST),
        (["train", NAME, "build-2", "0", "false"], ErrorKind.BUILD_NOT_FOUND),
        (["train", NAME], ErrorKind.INVALID_REQUEST),
    ],
)
def test_a_job_that_fails_says_why_and_ends_with_1(
    lake: Lake, words: list[str], kind: ErrorKind, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(lake, MemoryMachine())

    assert batch.main(words, lambda: world) == 1
    assert kind in capsys.readouterr().err
