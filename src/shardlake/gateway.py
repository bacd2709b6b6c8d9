"""One HTTP request through a function: an event of API Gateway in, its response out, a line written, nothing raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shardlake.contracts.http import Request, Response, error_response, read_event, to_gateway
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InternalError, ShardlakeError
from shardlake.observability import Line, Observer

Handle = Callable[[Request, Line], Response]
"""Serves one request. May raise ShardlakeError; composes its process inside, so that one that cannot be composed
answers too."""


def answer_event(
    event: Mapping[str, Any], handle: Handle, *, operation: str, observer: Observer, request_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Returns the gateway's response to an event, whatever happens, and writes one line about it.

    Args:
        event: of API Gateway.
        handle: serves the request.
        operation: what the line calls the invocation.
        observer: of the function.
        request_id: of the invocation.
        deadline: by which the function must answer.
    """
    try:
        with observer.invocation(operation, request_id=request_id) as line:
            response = _observed(event, handle, line, deadline)
    except Exception:  # noqa: BLE001 - the outermost line: our bug becomes an answer; the observer has logged it
        error = InternalError("something broke on our side", kind=ErrorKind.INTERNAL, request_id=request_id)
        response = error_response(error)
    return to_gateway(response)


def _observed(event: Mapping[str, Any], handle: Handle, line: Line, deadline: Deadline) -> Response:
    try:
        response = handle(read_event(event, deadline=deadline), line)
    except ShardlakeError as error:
        line.fail(error)
        response = error_response(error)
    line.add(status=response.status, answer_bytes=len(response.body))
    return response
