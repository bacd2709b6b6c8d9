"""A build in steps makes the very bytes of a build in one run, whatever the order of its parts and how often each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from builder.stages import Numbers, Stage
from functions.build.steps import FAILED, MAX_NUMBERS, Steps, _numbers
from shardlake.catalog.base import BuildRow, BuildState
from shardlake.contracts.build import Step, step_of
from shardlake.core import training
from shardlake.errors import Conflict, ErrorKind, InvalidInput, Unavailable
from shardlake.format import locations
from shardlake.testing import MemoryMachine, MemoryStore, WrappedStore
from shardlake.types import AttributeType, CollectionSchema, IndexType
from tests.fuses import Fuse, FusedCatalog, Killed
from tests.lake import NAME, UID, Lake, item, items_of, queued, schema, space, unit_rows
from tests.stepped import Stepped

NUMBER = {"number": AttributeType.INT, "title": AttributeType.TEXT, "genre": AttributeType.KEYWORD}
SMALL = [
    item(
        f"i{i:03d}",
        {"v": [i, 1, 2], **({"w": [i, i]} if i % 3 else {})},
        number=i,
        title=f"film {i % 7}",
        genre=f"g{i % 5}",
    )
    for i in range(40)
]
SCHEMAS = {
    "by cluster": schema(space(3), space(2, "w"), target_rows=10, attributes=NUMBER),
    "by hash": schema(space(3), space(2, "w"), target_rows=10, attributes=NUMBER, sharding="hash"),
    "by attribute": schema(
        space(3), space(2, "w"), target_rows=10, attributes=NUMBER, sharding="attribute", by="genre"
    ),
}


def lake_of(scratch: Path, wanted: CollectionSchema = SCHEMAS["by cluster"]) -> Lake:
    scratch.mkdir(exist_ok=True)
    lake = Lake(wanted, scratch)
    for start in range(0, 40, 8):
        lake.add(SMALL[start : start + 8])
    lake.delete("i003")
    return lake


def row_of(lake: Lake) -> BuildRow:
    return lake.catalog.get_build(UID, "build-1")


def artefacts(lake: Lake) -> list[str]:
    return [key for key in lake.store.objects if key.startswith(locations.build_artefact(UID, "build-1", ""))]


def twice_and_backwards(numbers: Sequence[int]) -> list[int]:
    return [number for number in reversed(numbers) for _ in range(2)]


@pytest.mark.parametrize("wanted", SCHEMAS.values(), ids=SCHEMAS)
def test_a_build_in_steps_makes_the_bytes_of_a_build_in_one_run(tmp_path: Path, wanted: CollectionSchema) -> None:
    whole = lake_of(tmp_path / "a", wanted)
    whole.build(part_rows=10)
    lake = lake_of(tmp_path / "b", wanted)
    stepped = Stepped(lake, part_rows=10, order=twice_and_backwards)

    stepped.run()

    assert lake.store.objects == whole.store.objects
    assert lake.catalog.versions(UID) == whole.catalog.versions(UID)
    assert lake.shards == whole.shards
    assert len(lake.shards) >= 3
    assert len({number for step, number in stepped.asked if step == Stage.ASSIGN}) >= 4
    assert row_of(lake) == row_of(whole)
    assert artefacts(lake) == []


def test_codes_and_curves_of_a_build_in_steps_are_those_of_one_run(tmp_path: Path) -> None:
    wanted = schema(
        space(8),
        space(8, "h", index=IndexType.BINARY_MIH, source="v"),
        target_rows=600,
        attributes={"number": AttributeType.INT},
    )
    lakes = []
    for name in "ab":
        (tmp_path / name).mkdir()
        lakes.append(Lake(wanted, tmp_path / name))
        for start in range(0, 1_200, 400):
            lakes[-1].add(items_of(unit_rows(400, 8, seed=start), first=start))
    whole, lake = lakes

    whole.build(part_rows=400)
    Stepped(lake, part_rows=400, order=twice_and_backwards).run()

    assert training.MIN_ROWS_FOR_CODES < 1_200
    assert lake.store.objects == whole.store.objects


def test_a_part_that_fails_for_now_is_done_again_and_nothing_else_is(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    failures = [Unavailable("for now"), Unavailable("for now")]

    def before(step: str, number: int) -> None:
        if (step, number) == (Stage.ASSIGN, 1) and failures:
            raise failures.pop()

    stepped = Stepped(lake, part_rows=10, before=before)
    stepped.run()

    assert row_of(lake).state is BuildState.DONE
    assert stepped.asked.count((Stage.ASSIGN, 1)) == 3
    assert stepped.asked.count((Stage.ASSIGN, 0)) == 1


def break_a_segment(lake: Lake) -> tuple[str, bytes]:
    """Breaks the fourth segment; returns its key and the bytes it had."""
    key = next(key for key in sorted(lake.store.objects) if key.endswith("0004.seg"))
    data = lake.store.objects[key]
    lake.store.objects[key] = data[:-1000] + bytes(500) + data[-500:]
    return key, data


def test_a_broken_part_fails_the_build_with_its_error_and_publishes_nothing(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    broken = Stepped(lake, part_rows=10, before=_breaking(lake, []))
    broken.run()

    row = row_of(lake)
    assert row.state is BuildState.FAILED
    assert orjson.loads(row.error or "")["kind"] == ErrorKind.CHECKSUM_MISMATCH
    assert lake.catalog.pointer(UID) is None
    assert lake.catalog.versions(UID) == []
    assert broken.asked[-1] == (FAILED, 0)
    assert not [step for step, _ in broken.asked if step == Stage.WRITE]


def test_a_failed_build_that_is_retried_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = lake_of(tmp_path / "whole")
    whole.build(part_rows=10)
    lake = lake_of(tmp_path / "lake")
    mended: list[tuple[str, bytes]] = []
    Stepped(lake, part_rows=10, before=_breaking(lake, mended)).run()
    standing = artefacts(lake)
    assert len([key for key in standing if "/rows-" in key]) == 3

    lake.store.objects.update(mended)
    lake.catalog.put_build(UID, replace(row_of(lake), state=BuildState.QUEUED, error=None, progress=0.0))
    wrote = WrittenKeys(lake.store)
    Stepped(lake, part_rows=10, store=wrote).run()

    assert row_of(lake).state is BuildState.DONE
    assert not set(standing) & set(wrote.keys)
    assert lake.store.objects == whole.store.objects


def _breaking(lake: Lake, mended: list[tuple[str, bytes]]) -> Callable[[str, int], None]:
    def before(step: str, number: int) -> None:
        if (step, number) == (Stage.ASSIGN, 3) and not mended:
            mended.append(break_a_segment(lake))

    return before


class WrittenKeys(WrappedStore):
    """A store that remembers what was written."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.keys: list[str] = []

    def after(self, operation: str, key: str) -> None:
        if operation in {"put", "put_if_absent", "upload_file"}:
            self.keys.append(key)


def test_a_machine_that_gives_up_leaves_a_failed_build_that_can_be_retried(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)

    def before(step: str, number: int) -> None:
        if step == Stage.WRITE:
            raise Unavailable("for longer than anybody tries")

    Stepped(lake, part_rows=10, before=before).run()

    row = row_of(lake)
    assert row.state is BuildState.FAILED
    error = orjson.loads(row.error or "")
    assert error["kind"] == ErrorKind.FUNCTION_UNAVAILABLE
    assert error["details"]["stage"] == "assign"
    lake.catalog.put_build(UID, replace(row, state=BuildState.QUEUED, error=None, progress=0.0))
    Stepped(lake, part_rows=10).run()
    assert row_of(lake).state is BuildState.DONE


def test_a_build_that_lost_to_another_begins_once_more(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)

    def before(step: str, number: int) -> None:
        if step == Stage.COMMIT and lake.catalog.pointer(UID) is None:
            lake.build("another")

    stepped = Stepped(lake, part_rows=10, before=before)
    stepped.run()

    assert stepped.asked.count((Stage.SURVEY, 0)) == 2
    assert row_of(lake).state is BuildState.DONE
    assert [pointer.build_id for pointer in lake.catalog.versions(UID)] == ["another", "build-1"]


def test_a_build_that_loses_twice_has_failed(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    others = iter(["first", "second"])

    def before(step: str, number: int) -> None:
        if step == Stage.COMMIT:
            lake.build(next(others))

    Stepped(lake, part_rows=10, before=before, attempts=1).run()

    row = row_of(lake)
    assert row.state is BuildState.FAILED
    assert orjson.loads(row.error or "")["kind"] == ErrorKind.COMMIT_CONFLICT
    assert artefacts(lake) == []


def test_progress_tells_the_stage_and_never_goes_back(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    seen: list[tuple[float, str]] = []

    def before(step: str, number: int) -> None:
        seen.append((row_of(lake).progress, row_of(lake).stage))

    Stepped(lake, part_rows=10, before=before, order=twice_and_backwards).run()

    assert [progress for progress, _ in seen] == sorted(progress for progress, _ in seen)
    assert {stage for _, stage in seen} >= {"queued", "survey", "train", "assign", "write"}


def test_a_step_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    stepped = Stepped(lake, part_rows=10)
    stepped.run()
    objects, row = dict(lake.store.objects), row_of(lake)

    for name in (*Stage, "numbers", FAILED):
        step = Step(collection=NAME, build_id="build-1", step=name)
        assert stepped.steps().run(step, scratch=tmp_path)

    assert lake.store.objects == objects
    assert row_of(lake) == row


@pytest.mark.parametrize("then", [Stage.COMMIT, Stage.SURVEY])
def test_a_build_that_was_killed_after_its_commit_ends_at_its_next_step(tmp_path: Path, then: Stage) -> None:
    lake = lake_of(tmp_path)
    killed = FusedCatalog(lake.catalog, Fuse(None, Killed), Fuse(0, Killed, frozenset({"commit"})))
    with pytest.raises(Killed):
        Stepped(lake, part_rows=10, catalog=killed).run()
    assert row_of(lake).state is BuildState.RUNNING

    Stepped(lake, part_rows=10).steps().run(Step(collection=NAME, build_id="build-1", step=then), scratch=tmp_path)

    (version,) = lake.catalog.versions(UID)
    assert (row_of(lake).state, row_of(lake).version) == (BuildState.DONE, version.version)
    assert artefacts(lake) == []


def test_a_step_of_a_failed_build_is_refused(tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    lake.catalog.put_build(UID, replace(queued("build-1"), state=BuildState.FAILED, error="{}"))

    with pytest.raises(Conflict) as caught:
        Stepped(lake).steps().run(Step(collection=NAME, build_id="build-1", step=Stage.SURVEY), scratch=tmp_path)

    assert caught.value.kind is ErrorKind.BUILD_FAILED
    assert artefacts(lake) == []


@pytest.mark.parametrize("step", [Stage.TRAIN, Stage.ASSIGN, Stage.WRITE, Stage.TERMS, Stage.CALIBRATE, Stage.COMMIT])
def test_a_step_without_what_stands_before_it_makes_nothing_up(tmp_path: Path, step: Stage) -> None:
    lake = lake_of(tmp_path)
    lake.catalog.put_build(UID, queued("build-1"))

    with pytest.raises(Unavailable):
        Stepped(lake).steps().run(Step(collection=NAME, build_id="build-1", step=step), scratch=tmp_path)

    assert artefacts(lake) == []


@pytest.mark.parametrize(("step", "number"), [("polish", 0), (Stage.ASSIGN, 99), (Stage.WRITE, -1)])
def test_a_step_that_there_is_not_fails_the_build(tmp_path: Path, step: str, number: int) -> None:
    lake = lake_of(tmp_path)
    lake.catalog.put_build(UID, queued("build-1"))
    stepped = Stepped(lake, part_rows=10)
    for stage in (Stage.SURVEY, Stage.TRAIN):
        stepped.steps().run(Step(collection=NAME, build_id="build-1", step=stage), scratch=tmp_path)

    with pytest.raises(InvalidInput):
        stepped.steps().run(Step(collection=NAME, build_id="build-1", step=step, number=number), scratch=tmp_path)

    assert row_of(lake).state is BuildState.FAILED


def test_more_numbers_than_a_state_holds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="30000"):
        _numbers(Numbers(parts=MAX_NUMBERS + 1, shards=1))
    assert len(orjson.dumps(_numbers(Numbers(parts=MAX_NUMBERS, shards=1_000)))) < 256 * 1024 - 1024


@pytest.mark.parametrize(
    ("asked", "rows", "is_handed_over"),
    [(None, 1, True), (None, 41, True), (None, 42, False), (None, 0, False), (True, 0, True), (False, 1, False)],
)
def test_a_build_goes_to_the_machine_where_it_is_large_or_asked_to(
    tmp_path: Path, asked: bool | None, rows: int, is_handed_over: bool
) -> None:
    machine = MemoryMachine()
    steps = replace(Stepped(lake_of(tmp_path)).steps(), machine=machine, distributed_rows=rows)

    handed = [steps.hand_over(NAME, "build-1", distributed=asked, attempt=at) for at in ("", "", "2026-11-25")]

    assert handed == [is_handed_over] * 3
    assert len(machine.started) == (2 if is_handed_over else 0)
    for name, message in machine.started.items():
        assert name.startswith("build-1-")
        assert orjson.loads(message) == {"collection": NAME, "build_id": "build-1", "number": 0, "again": False}


def test_a_deployment_without_a_machine_builds_in_one_run(tmp_path: Path) -> None:
    steps = Steps(builds=Stepped(lake_of(tmp_path)).steps().builds, distributed_rows=1)

    assert not steps.hand_over(NAME, "build-1", distributed=True, attempt="")


@pytest.mark.parametrize(
    "event",
    [
        {"step": "survey"},
        {"collection": NAME, "build_id": "b", "step": "survey", "number": "1"},
        {"collection": NAME, "build_id": "b", "step": "survey", "number": True},
        {"collection": NAME, "build_id": "b", "step": 1},
        {"collection": NAME, "build_id": "b" * 65, "step": "survey"},
    ],
)
def test_an_event_that_is_no_step_is_refused(event: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        step_of(event)
