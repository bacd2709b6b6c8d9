"""Search over HTTP: the two routes, and whatever happens turned into a response."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from functions.router.service import Router
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, error_response, json_response, read_event, to_gateway
from shardlake.contracts.search import BatchRequest
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InternalError, InvalidInput, MethodNotAllowed, NotFound, ShardlakeError
from shardlake.observability import Line, Observer

_ROUTE = re.compile(r"/v1/collections/([^/]+)/search(:batch)?")


def respond(
    event: Mapping[str, Any], router: Callable[[], Router], *, observer: Observer, request_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Returns the gateway's response to an event, whatever happens, and writes one line about it.

    Args:
        router: called within the invocation, so that a process that cannot be composed answers too.
    """
    try:
        with observer.invocation("search", request_id=request_id) as line:
            response = _observed(event, router, line, deadline)
    except Exception:  # noqa: BLE001 - the outermost line: our bug becomes an answer; the observer has logged it
        error = InternalError("something broke on our side", kind=ErrorKind.INTERNAL, request_id=request_id)
        response = error_response(error)
    return to_gateway(response)


def _observed(event: Mapping[str, Any], router: Callable[[], Router], line: Line, deadline: Deadline) -> Response:
    try:
        request = read_event(event, deadline=deadline)
        response = _routed(request, router(), line)
    except ShardlakeError as error:
        line.fail(error)
        response = error_response(error)
    line.add(status=response.status, answer_bytes=len(response.body))
    return response


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
