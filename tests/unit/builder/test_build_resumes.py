"""A build that is killed anywhere and run again commits the same version once; two builds at a time do no damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder import survey
from builder.context import BuildContext
from builder.train import _sample
from shardlake.catalog.base import BuildState
from shardlake.contracts.shard import LeafSearch
from shardlake.core import training
from shardlake.errors import Unavailable
from shardlake.format import locations
from shardlake.testing import LostReplyCatalog, WrappedCatalog, WrappedStore
from shardlake.types import AttributeType
from tests.fuses import Fuse, FusedCatalog, FusedStore, Killed
from tests.lake import EPOCH, NAME, UID, Lake, item, items_of, schema, space, unit_rows

NUMBER = {"number": AttributeType.INT}
EVERYTHING = LeafSearch(k=10_000)
SMALL = [item(f"i{i:03d}", {"v": [i, 1, 2], **({"w": [i, i]} if i % 3 else {})}, number=i) for i in range(24)]
SMALL_SCHEMA = schema(space(3), space(2, "w"), target_rows=10, attributes=NUMBER)
# Training of 1,000 rows with codes; a build of them is slow, so it is killed at its writes only.
CODED = items_of(unit_rows(training.MIN_ROWS_FOR_CODES, 2))


def _small(scratch: Path) -> Lake:
    lake = Lake(SMALL_SCHEMA, scratch)
    lake.add(SMALL[:9])
    lake.add(SMALL[9:])
    return lake


def _coded(scratch: Path) -> Lake:
    lake = Lake(schema(space(2), target_rows=600, attributes=NUMBER), scratch)
    lake.add(CODED)
    return lake


def _run_with(lake: Lake, before: Fuse, after: Fuse) -> None:
    store, catalog = FusedStore(lake.store, before, after), FusedCatalog(lake.catalog, before, after)
    lake.build(part_rows=10, store=store, catalog=catalog)


def _holds(lake: Lake, ids: list[str], expected: dict[str, bytes]) -> list[str]:
    """Returns what is wrong after a build that was killed and run again."""
    row = lake.catalog.get_build(UID, "build-1")
    versions = [pointer.version for pointer in lake.catalog.versions(UID)]
    stored = sorted(hit.id for n in range(len(lake.shards)) for hit in lake.opened(n).search(EVERYTHING).hits)
    artefacts = [key for key in lake.store.objects if key.startswith(locations.build_artefact(UID, "build-1", ""))]
    laws = {
        "the build is done": row.state is BuildState.DONE,
        "one version is committed": len(versions) == 1 and versions[0] == row.version,
        "no item is lost or doubled": stored == ids,
        "artefacts are gone": not artefacts,
        "the objects are those of a build that was never killed": lake.store.objects == expected,
    }
    return [law for law, holds in laws.items() if not holds]


def _calls(lake: Lake, names: frozenset[str] | None = None) -> int:
    counter = Fuse(None, Killed, names)
    _run_with(lake, counter, Fuse(None, Killed))
    return counter.calls


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("error", "step"), [(Killed, 1), (lambda: Unavailable("for now"), 3)], ids=["killed", "unavailable"]
)
def test_a_build_that_breaks_at_any_call_and_is_run_again_commits_the_same_version_once(
    tmp_path: Path, when: str, error: Callable[[], BaseException], step: int
) -> None:
    whole = _small(tmp_path)
    calls = _calls(whole)
    ids = [one.id for one in SMALL]
    assert _holds(whole, ids, whole.store.objects) == []
    assert calls > 40

    broken = {}
    for at in range(0, calls, step):
        lake = _small(tmp_path)
        fuses = Fuse(at if when == "before" else None, error), Fuse(at if when == "after" else None, error)
        try:
            _run_with(lake, *fuses)
        except (Killed, Unavailable):
            lake.build(part_rows=10)
        wrong = _holds(lake, ids, whole.store.objects)
        if wrong:
            broken[at] = wrong

    assert broken == {}


def test_a_build_with_codes_that_is_killed_at_any_write_is_resumed(tmp_path: Path) -> None:
    writes = frozenset({"put", "put_if_absent", "upload_file", "commit"})
    whole = _coded(tmp_path)
    calls = _calls(whole, writes)
    ids = [one.id for one in CODED]

    broken = {}
    for at in range(0, calls, 4):
        lake = _coded(tmp_path)
        try:
            _run_with(lake, Fuse(None, Killed), Fuse(at, Killed, writes))
        except Killed:
            lake.build(part_rows=10)
        wrong = _holds(lake, ids, whole.store.objects)
        if wrong:
            broken[at] = wrong

    assert broken == {}


def test_a_build_that_is_killed_again_and_again_is_resumed_as_often(tmp_path: Path) -> None:
    lake, whole = _small(tmp_path), _small(tmp_path)
    calls = _calls(whole)

    kills = 0
    for at in range(5, calls, 6):
        try:
            _run_with(lake, Fuse(at, Killed), Fuse(None, Killed))
        except Killed:
            kills += 1
    lake.build(part_rows=10)

    assert kills >= 3

    assert _holds(lake, [one.id for one in SMALL], whole.store.objects) == []


def test_items_that_arrive_while_a_build_is_broken_are_found_and_wait_for_the_next(tmp_path: Path) -> None:
    lake, whole = _small(tmp_path), _small(tmp_path)
    _calls(whole)
    with pytest.raises(Killed):
        _run_with(lake, Fuse(20, Killed), Fuse(None, Killed))
    late = lake.add([item("late", {"v": [1, 1, 1]}, number=99)])
    lake.build(part_rows=10)

    for key in (late, locations.delta(late), locations.overwrites(late)):
        whole.store.objects[key] = lake.store.objects[key]
    assert _holds(lake, [one.id for one in SMALL], whole.store.objects) == []
    assert lake.ids(k=100)[-1] == "late"
    assert lake.build("build-2").state is BuildState.DONE
    assert lake.ids(k=100)[-1] == "late"


def test_a_build_that_has_ended_is_left_as_it_is(tmp_path: Path) -> None:
    lake = _small(tmp_path)
    first = lake.build()
    objects = dict(lake.store.objects)

    assert lake.build() == first
    assert lake.store.objects == objects


def test_a_commit_whose_reply_was_lost_is_not_committed_twice(tmp_path: Path) -> None:
    lake, whole = _small(tmp_path), _small(tmp_path)
    _calls(whole)
    lossy = LostReplyCatalog(lake.catalog, operations=frozenset({"commit"}))

    assert lake.build(part_rows=10, catalog=lossy).state is BuildState.DONE

    assert lossy.left == 0
    assert _holds(lake, [one.id for one in SMALL], whole.store.objects) == []


def test_of_two_builds_at_a_time_both_commit_one_behind_the_other(tmp_path: Path) -> None:
    lake = _small(tmp_path)

    class Meanwhile(WrappedCatalog):
        """Lets another build run to its end just before this one commits."""

        def before(self, operation: str) -> None:
            if operation == "commit":
                assert lake.build("build-2").state is BuildState.DONE

    loser = lake.build("build-1", catalog=Meanwhile(lake.catalog))

    assert loser.state is BuildState.DONE
    assert [pointer.build_id for pointer in lake.catalog.versions(UID)] == ["build-2", "build-1"]
    assert lake.catalog.pointer(UID).version == loser.version  # type: ignore[union-attr]  # there is one
    assert lake.ids(k=100) == [one.id for one in SMALL]


@pytest.mark.parametrize("artefact", ["survey", "train-v", "rows-00000", "shard-00001", "curve-w"])
def test_two_runs_of_one_build_at_a_time_agree_on_what_was_made_first(tmp_path: Path, artefact: str) -> None:
    lake = _small(tmp_path)
    whole = _small(tmp_path)
    _calls(whole)
    other = tmp_path / "other"
    other.mkdir()

    class Twice(WrappedStore):
        """An asynchronous invocation may arrive twice: here the second runs to its end within the first."""

        started = False

        def before(self, operation: str, key: str) -> None:
            if key.endswith(f"/{artefact}") and operation in {"put", "put_if_absent"} and not self.started:
                self.started = True
                lake.scratch = other
                lake.build(part_rows=10)
                lake.scratch = tmp_path

    store = Twice(lake.store)
    try:
        lake.build(part_rows=10, store=store)
    except Unavailable:
        lake.build(part_rows=10, store=store)

    assert store.started
    assert _holds(lake, [one.id for one in SMALL], whole.store.objects) == []


@pytest.mark.parametrize("wanted", [5, 20, 24, 100])
def test_the_sample_is_drawn_evenly_from_the_rows_that_have_a_vector(tmp_path: Path, wanted: int) -> None:
    lake = Lake(SMALL_SCHEMA, tmp_path)
    for start in range(0, 24, 3):
        lake.add(SMALL[start : start + 3])
    drawn = np.zeros(24)
    for seed in range(40):
        context = BuildContext(
            store=lake.store, catalog=lake.catalog, collection=NAME, uid=UID, body="{}", schema=SMALL_SCHEMA,
            build_id=f"b{seed}", part_rows=100, scratch=tmp_path, report=lambda stage, progress: None,
            clock=lambda: EPOCH, seed=seed,
        )  # fmt: skip
        sample, rows = _sample(context, survey.survey(context), SMALL_SCHEMA.spaces[1], wanted)
        assert rows == 16
        assert sample.shape == (min(wanted, 16), 2)
        drawn += np.isin(np.arange(24), np.arange(24)[: len(sample)])
    assert drawn.sum() == 40 * min(wanted, 16)
