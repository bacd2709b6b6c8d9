"""What the api asks the router: searches, by the same event that API Gateway would send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from functions.api.world import World
from shardlake import limits
from shardlake.catalog.base import CollectionRow, LogPosition
from shardlake.catalog.log import UNBUILT, split_name
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, FormatError, NotFound, Overloaded, Unavailable, from_body

ATTEMPTS = 5  # of a search of many pages, each lost to a compaction
EVERYTHING: dict[str, Any] = {"$not": {"$not": {}}}  # a filter that every item passes, so that passing rows are counted
STATUS_OK = 200


def search(world: World, name: str, body: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    """Returns the router's answer to a search of a collection.

    Raises:
        ShardlakeError: what the router answers with.
    """
    path = f"/v1/collections/{name}/search"
    whole = {
        "require_complete": True,
        "timeout_ms": min(limits.MAX_TIMEOUT_MS, max(1, int(deadline.remaining_ms()))),
        **body,
    }
    event = {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {"http": {"method": "POST", "path": path}, "stage": "$default"},
        "isBase64Encoded": False,
        "body": orjson.dumps(whole).decode(),
    }
    reply = world.invoker.invoke(world.settings.router_function, orjson.dumps(event), deadline=deadline)
    try:
        response = orjson.loads(reply)
        status, answer = response["statusCode"], orjson.loads(response["body"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise Unavailable("the router answered no response", kind=ErrorKind.FUNCTION_UNAVAILABLE) from exc
    if status != STATUS_OK:
        raise from_body(answer)
    if not isinstance(answer, dict):
        raise FormatError("the router answered a search with something else")
    return answer


def live_rows(world: World, name: str, deadline: Deadline) -> int:
    """Returns how many items of a collection live, what is pending included. Cost: a search."""
    answer = search(world, name, {"filter": EVERYTHING, "k": 1, "include": []}, deadline)
    return int(answer["stats"]["rows_passing"])


def matching_ids(
    world: World, row: CollectionRow, node: dict[str, Any], deadline: Deadline
) -> tuple[list[str], LogPosition]:
    """Returns the ids of all items that pass a filter, and the position of the log that they were found at.

    Raises:
        Overloaded: when compaction took the snapshot away between two pages, each time.
        ShardlakeError: what the router answers with.
    """
    for _ in range(ATTEMPTS):
        # What is in the log by now the search sees, or a rollback has set it aside: the snapshot's name tells neither.
        head = world.catalog.log_head(row.uid).sequence
        try:
            ids, snapshot = _all_pages(world, row.name, node, deadline)
        except NotFound as error:
            if error.kind is not ErrorKind.VERSION_NOT_FOUND:
                raise
            continue
        return ids, max(head, position(world, row.uid, snapshot))
    raise Overloaded("the collection changes faster than what passes the filter can be listed")


def _all_pages(world: World, name: str, node: dict[str, Any], deadline: Deadline) -> tuple[list[str], str | None]:
    ids: list[str] = []
    snapshot: str | None = None
    for answer in _pages(world, name, node, deadline):
        snapshot = answer["version"]
        ids += [hit["id"] for hit in answer["hits"]]
    return ids, snapshot


def position(world: World, uid: str, snapshot: str | None) -> LogPosition:
    """Returns the last position of the log of which a snapshot has something, by its name."""
    parts = None if snapshot is None else split_name(snapshot)
    if parts is None:
        return 0
    version, _, sequence = parts
    if sequence or version == UNBUILT:
        return sequence
    return next((one.through for one in world.catalog.versions(uid) if one.version == version), 0)


def _pages(world: World, name: str, node: dict[str, Any], deadline: Deadline) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        body = {"filter": node, "k": limits.MAX_K, "include": [], "cursor": cursor}
        answer = search(world, name, body, deadline)
        yield answer
        cursor = answer["cursor"]
        if cursor is None:
            return
