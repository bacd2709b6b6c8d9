"""Collections: create, list, describe, drop."""

from __future__ import annotations

import orjson

from functions.api.searching import live_rows
from functions.api.world import World
from shardlake import limits
from shardlake.catalog.base import CollectionRow, Snapshot
from shardlake.contracts.collection import body_of_schema, parse_collection, schema_of, schema_of_body
from shardlake.contracts.common import is_name
from shardlake.contracts.http import Request, Response, json_response
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, NotFound


def put_collection(world: World, request: Request, *, name: str) -> Response:
    """Creates a collection: 201; the same body again: 200; another body under the name: 409 name-taken."""
    if not is_name(name):
        raise InvalidInput(
            "a collection's name is 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit",
            kind=ErrorKind.INVALID_COLLECTION,
            name=name[: limits.MAX_NAME_LENGTH],
        )
    model = parse_collection(request.body)
    names_encoder = any(space.encoder for space in model.spaces.values())
    schema = schema_of(model, world.encoders(request.deadline) if names_encoder else {})
    row = CollectionRow(name=name, uid=world.new_id(), body=body_of_schema(schema), created_at=world.timestamp())
    standing, created = world.catalog.create_collection(row)
    return json_response(201 if created else 200, _described(world, standing, request.deadline))


def list_collections(world: World, request: Request) -> Response:
    """Answers all collections by name, with their rows and versions."""
    summaries = []
    for row in world.catalog.list_collections():
        try:
            summaries.append(_summary(world, row, request.deadline))
        except NotFound as error:  # it was dropped at this moment
            if error.kind is not ErrorKind.COLLECTION_NOT_FOUND:
                raise
    return json_response(200, {"collections": summaries})


def get_collection(world: World, request: Request, *, name: str) -> Response:
    """Answers a collection's schema and state."""
    return json_response(200, _described(world, world.collection(name), request.deadline))


def drop_collection(world: World, request: Request, *, name: str) -> Response:
    """Takes the name away."""
    row = world.catalog.drop_collection(world.collection(name).name)
    return json_response(202, {"name": row.name, "state": "dropped"})


def _summary(world: World, row: CollectionRow, deadline: Deadline) -> dict[str, object]:
    snapshot = world.catalog.snapshot(row.uid)
    version = snapshot.pointer.version if snapshot.pointer else None
    return {"name": row.name, "rows": _rows(world, row, snapshot, deadline), "version": version}


def _described(world: World, row: CollectionRow, deadline: Deadline) -> dict[str, object]:
    snapshot = world.catalog.snapshot(row.uid)
    pointer, pending = snapshot.pointer, snapshot.pending
    return {
        "name": row.name,
        "schema": orjson.loads(row.body),
        "rows": _rows(world, row, snapshot, deadline),
        "version": pointer.version if pointer else None,
        "shards": pointer.shards if pointer else 0,
        "bytes": pointer.bytes if pointer else 0,
        "pending": {"segments": len(pending), "items": sum(segment.rows for segment in pending)},
        "rejected": world.catalog.rejected_total(row.uid),
        "created_at": row.created_at,
    }


def _rows(world: World, row: CollectionRow, snapshot: Snapshot, deadline: Deadline) -> int:
    """Returns how many items live: as the version says where nothing is pending and nothing expires, else as a search
    counts them at this moment.
    """
    built = snapshot.pointer.rows if snapshot.pointer else 0
    may_expire = built and schema_of_body(row.body).ttl is not None
    return live_rows(world, row.name, deadline) if snapshot.pending or may_expire else built
