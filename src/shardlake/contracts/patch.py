"""Changes of attributes: the request, the lines of its file, and what the router tells of the items as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import Field

from shardlake import limits
from shardlake.contracts.attributes import parse_attributes
from shardlake.contracts.common import StrictModel, validated
from shardlake.contracts.item import check_id
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import CollectionSchema, Json

LOOKUP = "lookup"  # the member of an event that asks the router for items as they are


class PatchModel(StrictModel):
    """New values of some attributes of one item; null takes an attribute away. Vectors and media stay."""

    id: Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]
    attributes: Annotated[dict[str, Any], Field(min_length=1)]


class PatchItemsModel(StrictModel):
    """The body of PATCH …/items. Each patch is checked by itself: a bad one is named by index."""

    items: Annotated[list[Any], Field(min_length=1, max_length=limits.MAX_ITEMS_PER_REQUEST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A change of one item that may be made.

    Attributes:
        present: new values, checked. gone: names of attributes that it shall not have any more.
    """

    id: str
    present: dict[str, Json]
    gone: frozenset[str]

    def applied(self, attributes: Mapping[str, Json]) -> dict[str, Json]:
        """Returns the attributes of an item after the change.

        Raises:
            InvalidInput: invalid-item, where they are larger together than an item's may be.
        """
        kept = {name: value for name, value in attributes.items() if name not in self.gone}
        changed = {**kept, **self.present}
        if len(orjson.dumps(changed)) > limits.MAX_ATTRIBUTES_BYTES:
            raise InvalidInput(
                f"the attributes would be larger than {limits.MAX_ATTRIBUTES_BYTES} bytes",
                kind=ErrorKind.INVALID_ITEM,
                at="attributes",
            )
        return changed


def parse_patch(value: Json, schema: CollectionSchema) -> Patch:
    """Returns the patch in a parsed JSON value. Raises InvalidInput (invalid-item), with the place."""
    model = validated(PatchModel, value, kind=ErrorKind.INVALID_ITEM)
    check_id(model.id)
    present = parse_attributes(model.attributes, {spec.name: spec for spec in schema.attributes})
    return Patch(id=model.id, present=present, gone=frozenset(model.attributes) - present.keys())
