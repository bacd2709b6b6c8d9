"""Search and single items over HTTP: the routes, and whatever happens turned into a response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from functions.router import items
from functions.router.service import Router
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.patch import LOOKUP
from shardlake.contracts.routing import check_query, find
from shardlake.contracts.search import BatchRequest
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InternalError, ShardlakeError
from shardlake.gateway import answer_event
from shardlake.observability import Line, Observer


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


def lookup(
    event: Mapping[str, Any], router: Callable[[], Router], *, observer: Observer, request_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Answers a look-up of items, or the error object; never raises."""
    try:
        with observer.invocation("lookup", request_id=request_id) as line:
            return items.lookup(router(), event[LOOKUP], line, deadline)
    except ShardlakeError as error:
        return error.to_body()
    except Exception:  # noqa: BLE001 - the outermost line: our bug becomes an answer; the observer has logged it
        return InternalError("something broke on our side", kind=ErrorKind.INTERNAL).to_body()


def _routed(request: Request, router: Router, line: Line) -> Response:
    match = find(request.method, request.path)
    operation = OPERATIONS.get(match.route.operation)
    if operation is None:
        raise InternalError("the gateway sent a request here that another function serves")
    check_query(match.route, set(request.query))
    parameters = {name: unquote(value) for name, value in match.parameters.items()}
    line.add(route=match.route.operation, collection=parameters["name"])
    return operation(router, request, line, **parameters)


def _search(router: Router, request: Request, line: Line, *, name: str) -> Response:
    (outcome,) = router.search(name, [parse_object(request.body)], line, request.deadline)
    if isinstance(outcome, ShardlakeError):
        raise outcome
    return json_response(200, outcome)


def _search_batch(router: Router, request: Request, line: Line, *, name: str) -> Response:
    searches = validated(BatchRequest, parse_object(request.body)).searches
    outcomes = router.search(name, searches, line, request.deadline)
    results = [o.to_body() if isinstance(o, ShardlakeError) else o for o in outcomes]
    return json_response(200, {"results": results})


def _get_item(router: Router, request: Request, line: Line, *, name: str, id: str) -> Response:
    return json_response(200, items.get_item(router, name, id, line, request.deadline))


def _scan_items(router: Router, request: Request, line: Line, *, name: str) -> Response:
    return json_response(200, items.scan_items(router, name, request.query, line, request.deadline))


OPERATIONS: dict[str, Callable[..., Response]] = {
    "search": _search,
    "search_batch": _search_batch,
    "get_item": _get_item,
    "scan_items": _scan_items,
}
"""What serves each route of the table that the router function owns."""
