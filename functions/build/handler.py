"""The build function: one build, a compaction, or a collection of garbage. Composes once a process and translates."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from builder.stages import Stage
from functions.build.service import Builds
from functions.build.steps import Steps
from functions.build.texts import TextEncoder
from shardlake.catalog.base import BuildState
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.contracts.build import Step, step_of
from shardlake.errors import InvalidInput, ShardlakeError
from shardlake.observability import Line, Observer
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.rpc.step_functions import StepFunctionsMachine
from shardlake.settings import Settings
from shardlake.store.s3 import S3Store
from shardlake.types import LambdaContext

_observer = Observer("build")


@cache
def service() -> Builds:
    """Returns what this process works with."""
    settings = Settings.from_env(os.environ)
    return Builds(
        store=S3Store(settings.bucket),
        catalog=DynamoCatalog(settings.catalog_table, settings.shard_table),
        part_rows=settings.build_part_rows,
        threads=settings.build_threads,
        clock=lambda: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        encode_texts=TextEncoder(invoker=LambdaInvoker(max_parallel=1), function=settings.encode_function),
    )


@cache
def steps() -> Steps:
    """Returns what this process runs steps with."""
    settings = Settings.from_env(os.environ)
    machine = StepFunctionsMachine(settings.build_machine) if settings.build_machine else None
    return Steps(builds=service(), machine=machine, distributed_rows=settings.distributed_rows)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Does what the event says:

        {"collection", "build_id"}         runs that build, or hands it over to the state machine, where it is large or
                                           `distributed` says so; its outcome stands in the catalog
        {"collection", "build_id", "step"} a step of it, for the state machine
        {"collection", "compact": true}    merges its pending segments
        {"collect": true}                  removes garbage, that of one collection where the event names one

    A transient failure is raised, so that Lambda's asynchronous retry, or the machine's, starts the job again: it finds
    what stands.
    """
    name, build_id = event.get("collection"), event.get("build_id")
    if "step" in event:
        return _step(step_of(event), context)
    if isinstance(name, str) and isinstance(build_id, str):
        return _build(name, build_id, event, context)
    if isinstance(name, str) and event.get("compact") is True:
        with _observer.invocation("compact", request_id=context.aws_request_id) as line:
            fewer = service().compact(name)
            line.add(collection=name, segments_fewer=fewer)
            return {"segments_fewer": fewer}
    if event.get("collect") is True and (name is None or isinstance(name, str)):
        with _observer.invocation("collect", request_id=context.aws_request_id) as line:
            collected = service().collect(name)
            line.add(collection=name, objects_removed=collected.objects, bytes_removed=collected.bytes)
            return asdict(collected)
    raise InvalidInput("the event names no build, no step, no compaction and no collection of garbage")


def _build(name: str, build_id: str, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    with _observer.invocation("build", request_id=context.aws_request_id) as line:
        line.add(collection=name, build_id=build_id)
        asked, attempt = event.get("distributed"), str(event.get("attempt", ""))
        if steps().hand_over(name, build_id, distributed=asked, attempt=attempt):
            line.add(handed_over=True)
            return {"build_id": build_id, "handed_over": True}
        with tempfile.TemporaryDirectory(prefix="shardlake-build-") as scratch:
            row = service().run(name, build_id, scratch=Path(scratch))
        line.add(state=row.state, version=row.version)
        if row.state is BuildState.DONE:
            _collect(line)
        return {"build_id": build_id, "state": row.state, "version": row.version}


def _step(step: Step, context: LambdaContext) -> dict[str, Any]:
    with _observer.invocation("step", request_id=context.aws_request_id) as line:
        line.add(collection=step.collection, build_id=step.build_id, step=step.step, number=step.number)
        with tempfile.TemporaryDirectory(prefix="shardlake-step-") as scratch:
            outcome = steps().run(step, scratch=Path(scratch))
        if step.step == Stage.COMMIT and not outcome["again"]:
            _collect(line)
        return dict(outcome)


def _collect(line: Line) -> None:
    with suppress(ShardlakeError):  # the build stands; what is garbage now is garbage at the next one
        line.add(objects_removed=service().collect(None).objects)
