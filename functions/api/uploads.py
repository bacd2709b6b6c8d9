"""Dropping files: where to PUT them, and what became of them."""

from __future__ import annotations

from functions.api.world import World
from shardlake import limits
from shardlake.catalog.base import Receipt
from shardlake.contracts.common import parse_object, validated
from shardlake.contracts.http import Request, Response, json_response
from shardlake.contracts.uploads import UploadsModel, UploadStatusModel, check_kind, check_name
from shardlake.errors import InvalidInput
from shardlake.format import locations


def post_uploads(world: World, request: Request, *, name: str) -> Response:
    """Answers a presigned place for each file."""
    row = world.collection(name)
    model = validated(UploadsModel, parse_object(request.body))
    for file in model.files:
        check_name(file.name, reserved=locations.API_FOLDER)
        check_kind(file.name)
    keys = [(file.name, locations.inbox(row.name, file.name)) for file in model.files]
    places = [
        {"name": file, "key": key, "url": world.store.presign_put(key, expires_s=limits.UPLOAD_EXPIRES_S)}
        for file, key in keys
    ]
    return json_response(200, {"uploads": places})


def upload_status(world: World, request: Request, *, name: str) -> Response:
    """Answers the receipts that there are for the keys asked about."""
    row = world.collection(name)
    keys = validated(UploadStatusModel, parse_object(request.body)).keys
    inbox = locations.inbox(row.name, "")
    if not all(key.startswith(inbox) for key in keys):
        raise InvalidInput(f"the keys of this collection begin with {inbox}")
    found = world.catalog.receipts(row.uid, list(dict.fromkeys(keys)))
    return json_response(200, {"receipts": {key: _body(receipt) for key, receipt in found.items()}})


def _body(receipt: Receipt) -> dict[str, object]:
    return {
        "etag": receipt.etag,
        "state": receipt.state,
        "accepted": receipt.accepted,
        "rejected": receipt.rejected,
        "error": receipt.error,
    }
