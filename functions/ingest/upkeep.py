"""After items were taken in: compaction where many small segments are pending, a build where much is.

Whoever adds to the log looks at it, so that nothing has to run by the clock. What is started twice does its work once:
a compaction that comes second finds nothing to do, and a build is known by how much was pending when it was due.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from builder.tiers import builds_due, run_to_merge
from functions.ingest.world import World
from shardlake.catalog.base import AUTOMATIC, BuildRow, BuildState, CollectionRow
from shardlake.errors import NotFound, ShardlakeError

QUEUED = "queued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What was started. A failure to start costs nothing but time: the next segment tries again."""

    compaction: bool = False
    build: str | None = None
    failure: str | None = None


def start_due(world: World, row: CollectionRow) -> Started:
    """Starts what is due of a collection. Never raises. Cost: one query, of as many rows as are pending."""
    try:
        return _start_due(world, row)
    except ShardlakeError as error:
        return Started(failure=str(error.kind))


def _start_due(world: World, row: CollectionRow) -> Started:
    snapshot = world.catalog.snapshot(row.uid)
    due = builds_due(snapshot.pending, snapshot.pointer)
    if due:
        version = snapshot.pointer.version.partition("-")[0] if snapshot.pointer else "000000"
        return Started(build=_start_build(world, row, f"{AUTOMATIC}{version}-{due}"))
    if not run_to_merge(snapshot.pending):
        return Started()
    _start(world, {"collection": row.name, "compact": True})
    return Started(compaction=True)


def _start_build(world: World, row: CollectionRow, build_id: str) -> str | None:
    """Starts a build; None where it was started before."""
    try:
        world.catalog.get_build(row.uid, build_id)
    except NotFound:
        now = world.timestamp()
        build = BuildRow(
            build_id=build_id,
            state=BuildState.QUEUED,
            progress=0.0,
            stage=QUEUED,
            version=None,
            error=None,
            created_at=now,
            updated_at=now,
        )
        world.catalog.put_build(row.uid, build)
        _start(world, {"collection": row.name, "build_id": build_id})
        return build_id
    return None


def _start(world: World, message: dict[str, object]) -> None:
    world.invoker.start(world.settings.build_function, orjson.dumps(message))
