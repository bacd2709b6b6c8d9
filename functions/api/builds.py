"""Builds: start one, follow one; and the versions that they made: their history, and the way back to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from functions.api.world import World
from shardlake.catalog.base import AUTOMATIC, Alias, BuildRow, BuildState, CollectionRow, Pointer
from shardlake.contracts.build import MAX_BUILD_ID_CHARS, BuildModel
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.rollback import RollbackModel
from shardlake.errors import Conflict, ErrorKind, InvalidInput, NotFound, ShardlakeError, Unavailable

QUEUED = "queued"
# How long a living build may be silent. Queued: as long as Lambda keeps its event (template: 6 h). Running: it speaks
# at each of its starts, and one run has 15 minutes; then comes a pause of some minutes, or the last run is over.
SILENCE = {BuildState.QUEUED: timedelta(hours=6, minutes=15), BuildState.RUNNING: timedelta(hours=1)}


def post_build(world: World, request: Request, *, name: str) -> Response:
    """Starts a build of everything taken in so far, or one that has failed once more: 202.

    Nothing taken in yet: 409 nothing-to-build.
    """
    asked = validated(BuildModel, parse_object(request.body) if request.body.strip() else {})
    row = world.collection(name)
    if asked.retry is not None:
        return _retry(world, row, asked.retry, asked.distributed)
    if all(segment.is_mark for segment in world.catalog.segments(row.uid)):
        raise Conflict("nothing has been taken in yet", kind=ErrorKind.NOTHING_TO_BUILD, collection=name)
    now = world.timestamp()
    build = BuildRow(
        build_id=f"{world.now():%Y%m%d%H%M%S}-{world.new_id()[:12]}",
        state=BuildState.QUEUED,
        progress=0.0,
        stage=QUEUED,
        version=None,
        error=None,
        created_at=now,
        updated_at=now,
    )
    world.catalog.put_build(row.uid, build)
    _start(world, row, build, asked.distributed)
    return json_response(202, _body(build))


def _retry(world: World, row: CollectionRow, build_id: str, distributed: bool | None) -> Response:
    """Starts a build that has failed once more, under its own id: what stands of it is not made again."""
    failed = _as_it_is(world.catalog.get_build(row.uid, build_id), world.now())
    if failed.state is not BuildState.FAILED:
        raise InvalidInput("only a build that has failed can be retried", build_id=build_id, state=failed.state)
    build = replace(
        failed, state=BuildState.QUEUED, progress=0.0, stage=QUEUED, error=None, updated_at=world.timestamp()
    )
    world.catalog.put_build(row.uid, build)
    _start(world, row, build, distributed, attempt=build.updated_at)
    return json_response(202, _body(build))


def get_build(world: World, request: Request, *, name: str, id: str) -> Response:
    """Answers a build's state and progress."""
    row = world.collection(name)
    if len(id) > MAX_BUILD_ID_CHARS:
        raise NotFound("there is no such build", kind=ErrorKind.BUILD_NOT_FOUND)
    return json_response(200, _body(_as_it_is(world.catalog.get_build(row.uid, id), world.now())))


def list_versions(world: World, request: Request, *, name: str) -> Response:
    """Answers the history, newest first."""
    row = world.collection(name)
    current = world.catalog.pointer(row.uid)
    aliases = world.catalog.aliases(row.uid)
    history = [_version(pointer, aliases) for pointer in reversed(world.catalog.versions(row.uid))]
    return json_response(200, {"current": current.version if current else None, "versions": history})


def rollback(world: World, request: Request, *, name: str) -> Response:
    """Makes an earlier version current: 200 with it, also where it is current already.

    Searches see what they saw then. What was taken in since is set aside: the versions that hold it stay, and going
    forward to one of them brings it back.
    """
    row = world.collection(name)
    version = validated(RollbackModel, parse_object(request.body)).version
    current = world.catalog.pointer(row.uid)
    if current is None:
        raise NotFound("the collection was never built", kind=ErrorKind.VERSION_NOT_FOUND, version=version)
    pointer = world.catalog.roll_back(row.uid, expected=current.version, version=version)
    return json_response(200, _version(pointer, world.catalog.aliases(row.uid)))


def _start(world: World, row: CollectionRow, build: BuildRow, distributed: bool | None, *, attempt: str = "") -> None:
    message: dict[str, object] = {"collection": row.name, "build_id": build.build_id}
    message |= {} if distributed is None else {"distributed": distributed}
    message |= {"attempt": attempt} if attempt else {}
    try:
        world.invoker.start(world.settings.build_function, orjson.dumps(message))
    except ShardlakeError as error:
        body = orjson.dumps(error.to_body()["error"], default=str).decode()
        world.catalog.put_build(
            row.uid, replace(build, state=BuildState.FAILED, error=body, updated_at=world.timestamp())
        )
        raise


def _as_it_is(build: BuildRow, now: datetime) -> BuildRow:
    """Returns the row, or one that has failed where nobody can be at work any more: a killed build writes no end."""
    patience = SILENCE.get(build.state)
    if patience is None or now - datetime.fromisoformat(build.updated_at) <= patience:
        return build
    message = "the build has not been heard of for too long, and was given up; start another one"
    error = Unavailable(message, kind=ErrorKind.FUNCTION_UNAVAILABLE, silent_since=build.updated_at)
    return replace(build, state=BuildState.FAILED, error=orjson.dumps(error.to_body()["error"]).decode())


def _body(build: BuildRow) -> dict[str, object]:
    return {
        "build_id": build.build_id,
        "state": build.state,
        "version": build.version,
        "progress": build.progress,
        "stage": build.stage,
        "error": None if build.error is None else orjson.loads(build.error),
        "created_at": build.created_at,
        "updated_at": build.updated_at,
    }


def _version(pointer: Pointer, aliases: Sequence[Alias]) -> dict[str, object]:
    return {
        "version": pointer.version,
        "rows": pointer.rows,
        "shards": pointer.shards,
        "bytes": pointer.bytes,
        "committed_at": pointer.committed_at,
        "build_id": pointer.build_id,
        "started_by": "upkeep" if pointer.build_id.startswith(AUTOMATIC) else "request",
        "aliases": [alias.alias for alias in aliases if alias.version == pointer.version],
    }
