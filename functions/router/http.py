"""Search over HTTP: the two routes, and whatever happens turned into a response."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from functions.router.service import Router
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.search import BatchRequest
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, MethodNotAllowed, NotFound, ShardlakeError
from shardlake.gateway import answer_event
from shardlake.observability import Line, Observer

_ROUTE = re.compile(r"/v1/collections/([^/]+)/search(:batch)?")


def respond(
    event: Mapping[str, Any], router: Callable[[], Router], *, observer: Observer, request_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Returns the gateway's response to an event (`shardlake.gateway`).

    Args:
        router: called within the invocation, so that a process that cannot be composed answers too.
    """
    return answer_event(
        event,
        lambda request, line: _routed(request, router(), line),
        operation="search",
        observer=observer,
        request_id=request_id,
        deadline=deadline,
    )


def _routed(request: Request, router: Router, line: Line) -> Response:
    match = _ROUTE.fullmatch(request.path)
    if match is None:
        raise NotFound("there is no such route", kind=ErrorKind.ROUTE_NOT_FOUND)
    if request.method != "POST":
        raise MethodNotAllowed("the route answers POST", allowed=["POST"])
    if request.query:
        raise InvalidInput(
            "the route has no query parameters", unknown=[name[:64] for name in list(request.query)[:10]]
        )
    name, is_batch = unquote(match[1]), bool(match[2])
    line.add(collection=name, batch=is_batch)
    body = parse_object(request.body)
    if not is_batch:
        (outcome,) = router.search(name, [body], line, request.deadline)
        if isinstance(outcome, ShardlakeError):
            raise outcome
        return json_response(200, outcome)
    searches = validated(BatchRequest, body).searches
    outcomes = router.search(name, searches, line, request.deadline)
    results = [o.to_body() if isinstance(o, ShardlakeError) else o for o in outcomes]
    return json_response(200, {"results": results})
