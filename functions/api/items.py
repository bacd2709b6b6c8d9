"""POST items: all checked, then written to the inbox as one file, which takes the same way in as any other file."""

from __future__ import annotations

import hashlib

import orjson

from functions.api.world import World
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.item import ItemsModel, ItemValidator, parse_items
from shardlake.errors import InvalidInput, NotImplementedYet
from shardlake.format import locations

MESSAGE = "the items are taken in within seconds and can be searched after the next build: POST …/builds"


def post_items(world: World, request: Request, *, name: str) -> Response:
    """Takes items in: all, or none when one is bad.

    The batch is known by its content: sent twice it is one file, and a repetition changes nothing but the order of
    writes. Its name says which collection accepted it: one that takes the name after a drop must not get the items.
    """
    _check_wait(request.query.get("wait"))
    row = world.collection(name)
    items = validated(ItemsModel, parse_object(request.body)).items
    schema = schema_of_body(row.body)
    readers = (
        {info.name: info.modalities for info in world.encoders(request.deadline).values()}
        if any(space.encoder for space in schema.spaces) and any(map(_has_media, items))
        else {}
    )
    parse_items(items, ItemValidator(schema, bucket=world.settings.bucket, readers=readers))
    lines = b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in items)
    batch_id = locations.batch_id(row.uid, hashlib.blake2b(lines, digest_size=16).hexdigest())
    world.store.put(locations.api_batch(name, batch_id), lines)
    body = {"batch_id": batch_id, "accepted": len(items), "searchable": "after-build", "message": MESSAGE}
    return json_response(202, body)


def _check_wait(wait: str | None) -> None:
    if wait == "true":
        raise NotImplementedYet("wait is not served by this release", field="wait")
    if wait not in {None, "false"}:
        raise InvalidInput("wait must be true or false")


def _has_media(item: object) -> bool:
    return isinstance(item, dict) and bool(item.get("media"))
