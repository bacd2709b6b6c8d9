"""A dropped picture as an item: its name is the id, its attributes stand in a sidecar, its place is the medium.

The sidecar picture.jpg.json is the attributes themselves, or an item without id: {"attributes", "media", "vectors"}.
Picture and sidecar are two files and come in any order. A picture reads the sidecar that stands when it is taken in,
and looks once more after its receipt; a sidecar that comes later finds the receipt, and has the picture taken in again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from functions.ingest.entries import Entry
from functions.ingest.world import World
from shardlake import limits
from shardlake.contracts.common import parse_object
from shardlake.contracts.uploads import SIDECAR_SUFFIX
from shardlake.errors import ErrorKind, InvalidInput, NotFound
from shardlake.store.base import ObjectInfo
from shardlake.types import CollectionSchema

ITEM_FIELDS = frozenset({"attributes", "media", "vectors"})
ABSENT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What stands beside a picture; `etag` is ABSENT where nothing does."""

    etag: str
    body: bytes


def sidecar_key(key: str) -> str:
    """Returns the key of a picture's sidecar."""
    return key + SIDECAR_SUFFIX


def sidecar_etag(world: World, key: str) -> str:
    """Returns the etag of a picture's sidecar, or ABSENT."""
    try:
        return world.store.head(sidecar_key(key)).etag
    except NotFound:
        return ABSENT


def read_sidecar(world: World, key: str) -> Sidecar:
    """Returns a picture's sidecar. Raises InvalidInput when it is too large to be one."""
    etag = sidecar_etag(world, key)
    if etag == ABSENT:
        return Sidecar(etag=ABSENT, body=b"{}")
    return Sidecar(etag=etag, body=world.store.get(sidecar_key(key), max_bytes=limits.MAX_SIDECAR_BYTES))


def picture_entry(world: World, schema: CollectionSchema, name: str, info: ObjectInfo, sidecar: Sidecar) -> Entry:
    """Returns the item that a picture is."""
    try:
        if info.size_bytes > limits.MAX_IMAGE_BYTES:
            raise InvalidInput(
                f"the picture is larger than {limits.MAX_IMAGE_BYTES} bytes", kind=ErrorKind.MEDIA_TOO_LARGE
            )
        item = _sidecar_item(parse_object(sidecar.body), schema)
    except InvalidInput as error:
        return Entry(line=1, error=error)
    given = item.get("media") or {}
    place = {"s3": f"s3://{world.settings.bucket}/{info.key}"}
    media = {**given, "image": place} if isinstance(given, dict) else given
    return Entry(line=1, value={**item, "id": name, "media": media})


def _sidecar_item(value: dict[str, Any], schema: CollectionSchema) -> dict[str, Any]:
    is_item = bool(value) and value.keys() <= ITEM_FIELDS and not any(schema.attribute(field) for field in value)
    return value if is_item else {"attributes": value}
