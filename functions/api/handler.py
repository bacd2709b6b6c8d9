"""The api function: every route but search. Composes the adapters once a process and translates, no more."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

from functions.api.service import answer
from functions.api.world import World
from shardlake import limits
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.settings import Settings
from shardlake.store.s3 import S3Store
from shardlake.types import LambdaContext

ANSWER_MARGIN_MS = 500  # of the function's own time, so that a late answer is still ours and not the gateway's


_observer = Observer("api")


@cache
def world() -> World:
    """Returns what this process works with."""
    settings = Settings.from_env(os.environ)
    return World(
        settings=settings,
        catalog=DynamoCatalog(settings.catalog_table, settings.shard_table),
        store=S3Store(settings.bucket),
        invoker=LambdaInvoker(),
        now=lambda: datetime.now(UTC),
        new_id=lambda: uuid.uuid4().hex,
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers one request of API Gateway; never raises."""
    left_ms = min(limits.MAX_TIMEOUT_MS, context.get_remaining_time_in_millis() - ANSWER_MARGIN_MS)
    deadline = Deadline.after(left_ms, clock=time.monotonic)
    return answer(event, world, observer=_observer, request_id=context.aws_request_id, deadline=deadline)
