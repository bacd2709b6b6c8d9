"""Items put, changed and deleted: all checked, then written to the inbox as one file, which takes the way of any."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC
from functools import partial

import orjson

from functions.api.searching import matching_ids
from functions.api.world import World
from shardlake.catalog.base import CollectionRow, Receipt, ReceiptState
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.item import (
    DeleteItemsModel,
    ItemsModel,
    ItemValidator,
    invalid_items,
    item_id,
    parse_deletions,
    parse_items,
    refusal,
)
from shardlake.contracts.patch import PatchItemsModel, parse_patch
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError, Unavailable
from shardlake.format import locations

SOON = "what was accepted is searched within seconds; with ?wait=true the answer comes when it is"
NOW = "every search that begins now sees it"
POLL_S = 0.05
WAIT_MARGIN_MS = 500  # of the request's time, for the answer that it is not done yet


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """A file that the API writes for a request.

    Attributes:
        count: of lines. waits: whether the answer comes when it is in.
        place: makes the key of a collection's name and the batch's id.
    """

    row: CollectionRow
    lines: bytes
    count: int
    waits: bool
    place: Callable[[str, str], str]


def post_items(world: World, request: Request, *, name: str) -> Response:
    """Takes items in: all, or none when one is bad.

    The batch is known by its content: sent twice it is one file, and a repetition changes nothing but the order of
    writes. Its name says which collection accepted it: one that takes the name after a drop must not get the items.
    """
    waits = _waits(request.query.get("wait"))
    row = world.collection(name)
    items = validated(ItemsModel, parse_object(request.body)).items
    schema = schema_of_body(row.body)
    readers = (
        {info.name: info.modalities for info in world.encoders(request.deadline).values()}
        if any(space.encoder for space in schema.spaces) and any(map(_has_media, items))
        else {}
    )
    parse_items(items, ItemValidator(schema, bucket=world.settings.bucket, readers=readers))
    batch = _Batch(row=row, lines=_lines(items), count=len(items), waits=waits, place=locations.api_batch)
    return _accepted(world, batch, request.deadline)


def delete_items(world: World, request: Request, *, name: str) -> Response:
    """Deletes items by their ids, whether there are any or not, or those that pass a filter now.

    An item that is written again after the filter was answered stays: it was not what the filter found.
    """
    waits = _waits(request.query.get("wait"))
    row = world.collection(name)
    model = validated(DeleteItemsModel, parse_object(request.body))
    ids, seen = parse_deletions(model), None
    if ids is None:
        ids, seen = matching_ids(world, row, model.filter or {}, request.deadline)
    if not ids:
        return _answer(None, 0, searchable="now", message=NOW, status=200 if waits else 202)
    lines = _lines({"id": each} for each in ids)
    place = partial(locations.api_deletes, seen=seen)
    batch = _Batch(row=row, lines=lines, count=len(ids), waits=waits, place=place)
    return _accepted(world, batch, request.deadline)


def patch_items(world: World, request: Request, *, name: str) -> Response:
    """Changes attributes of items: all patches are right, or none is accepted.

    Whether there is an item is found out where the change is made: a patch of none lands in rejected/.
    """
    waits = _waits(request.query.get("wait"))
    row = world.collection(name)
    values = validated(PatchItemsModel, parse_object(request.body)).items
    schema, refused = schema_of_body(row.body), []
    for index, value in enumerate(values):
        try:
            parse_patch(value, schema)
        except ShardlakeError as error:
            refused.append(refusal(index, item_id(value), error))
    if refused:
        raise invalid_items(refused, total=len(values))
    batch = _Batch(row=row, lines=_lines(values), count=len(values), waits=waits, place=locations.api_patches)
    return _accepted(world, batch, request.deadline)


def _accepted(world: World, batch: _Batch, deadline: Deadline) -> Response:
    """Writes a batch and answers, at once or when it can be searched."""
    digest = hashlib.blake2b(batch.lines, digest_size=16).hexdigest()
    # Who waits must not take the receipt of the same batch, sent before, for this one's.
    called = f"{digest}-{world.new_id()[-8:]}" if batch.waits else digest
    batch_id = locations.batch_id(batch.row.uid, world.now().astimezone(UTC).date(), called)
    key = batch.place(batch.row.name, batch_id)
    world.store.put(key, batch.lines)
    receipt = _receipt(world, batch.row, key, deadline) if batch.waits else None
    if receipt is None:
        return _answer(batch_id, batch.count, searchable="soon", message=SOON, status=202)
    if receipt.state is ReceiptState.FAILED:
        message = f"the batch was accepted and could not be taken in: {receipt.error}"
        raise Unavailable(message, kind=ErrorKind.FUNCTION_UNAVAILABLE, batch_id=batch_id)
    return _answer(batch_id, receipt.accepted, searchable="now", message=NOW, status=200, rejected=receipt.rejected)


def _receipt(world: World, row: CollectionRow, key: str, deadline: Deadline) -> Receipt | None:
    """Waits for the receipt of a file; None where the request's time ends before."""
    limit = deadline.shortened(WAIT_MARGIN_MS)
    while not limit.expired():
        found = world.catalog.receipts(row.uid, [key])
        if key in found:
            return found[key]
        world.sleep(POLL_S)
    return None


def _answer(  # its fields
    batch_id: str | None, accepted: int, *, searchable: str, message: str, status: int, rejected: int = 0
) -> Response:
    body = {"batch_id": batch_id, "accepted": accepted, "searchable": searchable, "message": message}
    return json_response(status, body | ({"rejected": rejected} if rejected else {}))


def _lines(values: Iterable[object]) -> bytes:
    return b"".join(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in values)


def _waits(wait: str | None) -> bool:
    if wait not in {None, "false", "true"}:
        raise InvalidInput("wait must be true or false")
    return wait == "true"


def _has_media(item: object) -> bool:
    return isinstance(item, dict) and bool(item.get("media"))
