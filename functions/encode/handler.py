"""The encode function's Lambda door. Composes once a process and translates, no more."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from functions.encode.doors import make_service, respond
from functions.encode.service import EncodeService
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.types import LambdaContext

_observer = Observer("encode")


@cache
def service() -> EncodeService:
    """Returns what this process answers with."""
    return make_service(Settings.from_env(os.environ))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers an encode or describe request (`service`); never raises."""
    return respond(service(), event, observer=_observer, request_id=context.aws_request_id)[1]
