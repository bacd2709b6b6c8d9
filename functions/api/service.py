"""One request through the api: find the route, call its operation, turn whatever happens into a response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from functions.api import aliases, builds, collections, console, encode, health, items, tracing, uploads
from functions.api.world import World
from shardlake.contracts.http import Request, Response
from shardlake.contracts.routing import check_query, find
from shardlake.deadline import Deadline
from shardlake.errors import InternalError
from shardlake.gateway import answer_event
from shardlake.observability import Line, Observer

Operation: TypeAlias = Callable[..., Response]

OPERATIONS: dict[str, Operation] = {
    "console": console.console,
    "health": health.health,
    "list_collections": collections.list_collections,
    "put_collection": collections.put_collection,
    "get_collection": collections.get_collection,
    "drop_collection": collections.drop_collection,
    "post_items": items.post_items,
    "patch_items": items.patch_items,
    "delete_items": items.delete_items,
    "trace_item": tracing.trace_item,
    "post_uploads": uploads.post_uploads,
    "upload_status": uploads.upload_status,
    "post_build": builds.post_build,
    "get_build": builds.get_build,
    "list_versions": builds.list_versions,
    "rollback": builds.rollback,
    "list_aliases": aliases.list_aliases,
    "put_alias": aliases.put_alias,
    "drop_alias": aliases.drop_alias,
    "encode": encode.encode,
}
"""What serves each served route of the table that the api function owns."""


def answer(
    event: Mapping[str, Any], world: Callable[[], World], *, observer: Observer, request_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Returns the gateway's response to an event (`shardlake.gateway`).

    Args:
        world: called within the invocation, so that a process that cannot be composed answers too.
    """
    return answer_event(
        event,
        lambda request, line: respond(request, world, line),
        operation="http",
        observer=observer,
        request_id=request_id,
        deadline=deadline,
    )


def respond(request: Request, world: Callable[[], World], line: Line) -> Response:
    """Returns the response of the operation behind a request. Raises ShardlakeError."""
    line.add(method=request.method)
    match = find(request.method, request.path)
    line.add(route=match.route.operation, collection=match.parameters.get("name"))
    operation = OPERATIONS.get(match.route.operation)
    if operation is None:
        raise InternalError("the gateway sent a request here that another function serves")
    check_query(match.route, set(request.query))
    return operation(world(), request, **match.parameters)
