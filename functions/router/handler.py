"""The router function: search and search:batch. Composes the adapters once a process and translates, no more."""

from __future__ import annotations

import os
import random
import time
from functools import cache
from typing import Any

from functions.router import shadow
from functions.router.http import lookup, respond
from functions.router.service import Router
from functions.router.versions import Versions
from functions.router.warming import Warming
from shardlake import limits
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.contracts.patch import LOOKUP
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.settings import Settings
from shardlake.store.s3 import S3Store
from shardlake.types import LambdaContext

ANSWER_MARGIN_MS = 500  # of the function's own time, so that a late answer is still ours and not the gateway's


_observer = Observer("router")


@cache
def router() -> Router:
    """Returns what this process answers with."""
    settings = Settings.from_env(os.environ)
    catalog = DynamoCatalog(settings.catalog_table, settings.shard_table)
    store, invoker = S3Store(settings.bucket), LambdaInvoker()
    return Router(
        settings=settings,
        catalog=catalog,
        store=store,
        invoker=invoker,
        clock=time.monotonic,
        versions=Versions(catalog, store),
        draw=random.Random().random,  # noqa: S311 - which answers are checked is no secret
        warming=Warming(invoker, settings.shard_search_function, megabytes=settings.warm_up_mb),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers a request of API Gateway or a look-up of ingest, or checks what was answered; never raises."""
    left_ms = min(limits.MAX_TIMEOUT_MS, context.get_remaining_time_in_millis() - ANSWER_MARGIN_MS)
    deadline = Deadline.after(left_ms, clock=time.monotonic)
    serve = shadow.respond if shadow.is_check(event) else lookup if LOOKUP in event else respond
    return serve(event, router, observer=_observer, request_id=context.aws_request_id, deadline=deadline)
