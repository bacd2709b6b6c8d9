"""Where an item still lies: asked of the build function, which can read what a collection has."""

from __future__ import annotations

from typing import Any

import orjson

from functions.api.world import World
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.trace import TRACE, TraceModel
from shardlake.errors import ErrorKind, Unavailable, from_body


def trace_item(world: World, request: Request, *, name: str) -> Response:
    """Answers a page of the objects that have something of an item, whether there is such an item or not."""
    row = world.collection(name)
    asked = validated(TraceModel, parse_object(request.body))
    event = {"collection": row.name, TRACE: asked.id, "after": asked.after}
    reply = world.invoker.invoke(world.settings.build_function, orjson.dumps(event), deadline=request.deadline)
    return json_response(200, {"id": asked.id, **_decoded(reply)})


def _decoded(reply: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(reply)
    except orjson.JSONDecodeError as exc:
        raise Unavailable("the build function answered no trace", kind=ErrorKind.FUNCTION_UNAVAILABLE) from exc
    if isinstance(answer, dict) and "error" in answer:
        raise from_body(answer)
    if not isinstance(answer, dict) or "holders" not in answer:
        raise Unavailable("the build function answered no trace", kind=ErrorKind.FUNCTION_UNAVAILABLE)
    return answer
