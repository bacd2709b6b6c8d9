"""A build that was killed for the last time writes no end: its silence is one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shardlake.catalog.base import BuildRow, BuildState
from shardlake.contracts import answers
from tests.small_world import VECTORS, SmallWorld

MINUTES = {"a moment": 0, "one run and a pause": 25, "many runs": 90, "a day": 1440}


@pytest.mark.parametrize(
    ("state", "silence", "expected"),
    [
        ("running", "one run and a pause", "running"),
        ("running", "many runs", "failed"),
        ("queued", "many runs", "queued"),
        ("queued", "a day", "failed"),
        ("done", "a day", "done"),
        ("failed", "a moment", "failed"),
    ],
)
def test_a_build_that_is_silent_for_longer_than_any_that_lives_has_failed(
    state: str, silence: str, expected: str
) -> None:
    world = SmallWorld()
    world.create("films", VECTORS)
    written = (world.now() - timedelta(minutes=MINUTES[silence])).isoformat(timespec="milliseconds")
    row = BuildRow(
        build_id="b",
        state=BuildState(state),
        progress=0.3,
        stage="assign",
        version=None,
        error=None,
        created_at=written,
        updated_at=written.replace("+00:00", "Z"),
    )
    world.catalog.put_build(world.catalog.get_collection("films").uid, row)

    found = world.call("GET", "/v1/collections/films/builds/b").json

    answers.BuildAnswer.model_validate(found)
    assert found["state"] == expected
    assert (found["error"] is not None) == (expected == "failed" and state != "failed")
