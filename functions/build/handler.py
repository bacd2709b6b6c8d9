"""The build function: runs one build job. Composes once a process and translates, no more."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from functions.build.service import Builds
from functions.build.texts import TextEncoder
from shardlake.catalog.dynamodb import DynamoCatalog
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
    """Runs the build that the event names; its outcome stands in the catalog.

    A transient failure is raised, so that Lambda's asynchronous retry starts the job again: it finds what stands.
    """
    with _observer.invocation("build", request_id=context.aws_request_id) as line:
        name, build_id = event.get("collection"), event.get("build_id")
        if not isinstance(name, str) or not isinstance(build_id, str):
            raise InvalidInput("the event does not name a collection and a build")
        line.add(collection=name, build_id=build_id)
        with tempfile.TemporaryDirectory(prefix="shardlake-build-") as scratch:
            row = service().run(name, build_id, scratch=Path(scratch))
        line.add(state=row.state, version=row.version)
        return {"build_id": build_id, "state": row.state, "version": row.version}
