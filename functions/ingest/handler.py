"""The ingest function: files dropped into the inbox become segments. Composes the adapters once a process."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

from functions.ingest.service import take_batch
from functions.ingest.world import World
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.rpc.work_queue import SqsWorkQueue
from shardlake.settings import Settings
from shardlake.store.s3 import S3Store
from shardlake.types import LambdaContext

ANSWER_MARGIN_MS = 10_000  # of the function's own time: to write a receipt, and to say what must be delivered again


_observer = Observer("ingest")


@cache
def world() -> World:
    """Returns what this process works with."""
    settings = Settings.from_env(os.environ)
    return World(
        settings=settings,
        catalog=DynamoCatalog(settings.catalog_table, settings.shard_table),
        store=S3Store(settings.bucket),
        invoker=LambdaInvoker(),
        queue=SqsWorkQueue(settings.inbox_queue_url),
        now=lambda: datetime.now(UTC),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Takes in what a batch of queue messages tells of; never raises."""
    left_ms = max(0, context.get_remaining_time_in_millis() - ANSWER_MARGIN_MS)
    deadline = Deadline.after(left_ms, clock=time.monotonic)
    return take_batch(event, world, observer=_observer, request_id=context.aws_request_id, deadline=deadline)
