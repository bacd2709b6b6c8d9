"""The build function: builds, compaction, garbage, traces. Composes once a process and translates."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from functions.build import tracing
from functions.build.service import Builds
from functions.build.texts import TextEncoder
from shardlake.catalog.base import BuildState
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.contracts.trace import TRACE
from shardlake.errors import InvalidInput
from shardlake.observability import Observer
from shardlake.rpc.lambda_ import LambdaInvoker
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


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Does what the event says:

        {"collection", "build_id"}      runs that build; its outcome stands in the catalog
        {"collection", "compact": true} merges its pending segments
        {"collect": true}               removes garbage, that of one collection where the event names one
        {"collection", "trace": id}     tells where that item lies, a page of objects behind the key "after"

    A transient failure of a job is raised, so that Lambda's asynchronous retry starts it again: it finds what stands.
    """
    name, build_id = event.get("collection"), event.get("build_id")
    if isinstance(name, str) and isinstance(build_id, str):
        return _build(name, build_id, context)
    if isinstance(name, str) and event.get("compact") is True:
        with _observer.invocation("compact", request_id=context.aws_request_id) as line:
            fewer = service().compact(name)
            line.add(collection=name, segments_fewer=fewer)
            return {"segments_fewer": fewer}
    if isinstance(name, str) and TRACE in event:
        return tracing.respond(event, service, observer=_observer, request_id=context.aws_request_id)
    if event.get("collect") is True and (name is None or isinstance(name, str)):
        with _observer.invocation("collect", request_id=context.aws_request_id) as line:
            collected = service().collect(name)
            line.add(collection=name, objects_removed=collected.objects, bytes_removed=collected.bytes)
            return asdict(collected)
    raise InvalidInput("the event names no build, no compaction, no collection of garbage and no trace")


def _build(name: str, build_id: str, context: LambdaContext) -> dict[str, Any]:
    with _observer.invocation("build", request_id=context.aws_request_id) as line:
        line.add(collection=name, build_id=build_id)
        with tempfile.TemporaryDirectory(prefix="shardlake-build-") as scratch:
            row = service().run(name, build_id, scratch=Path(scratch))
        line.add(state=row.state, version=row.version)
        if row.state is BuildState.DONE:
            line.add(objects_removed=service().tidy())
        return {"build_id": build_id, "state": row.state, "version": row.version}
