"""Items: one validator for what comes by POST and what comes in files, so that both refuse the same things.

validator = ItemValidator(schema, bucket="my-bucket", readers={"clip": frozenset({Modality.TEXT, Modality.IMAGE})})
parsed = validator.parse({"id": "sku-1", "attributes": {"price": 89.5}, "vectors": {"visual": [0.1, …]}})
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field

from shardlake import limits
from shardlake.contracts.attributes import parse_attributes
from shardlake.contracts.common import StrictModel, validated
from shardlake.contracts.encode import MediaModel
from shardlake.contracts.media import inbox_of, media_wire
from shardlake.errors import ErrorKind, InvalidInput, NotImplementedYet, ShardlakeError
from shardlake.types import CollectionSchema, Float32Array, Json, Metric, Modality, SpaceSpec

Number = Annotated[float, Field(allow_inf_nan=False)]
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ItemModel(BaseModel):
    """One item. A vector given for a space stands; else the media that the space's encoder reads are encoded."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]
    attributes: dict[str, Any] = Field(default_factory=dict)
    media: MediaModel | None = None
    vectors: dict[str, Annotated[list[Number], Field(max_length=limits.MAX_DIMENSION)]] = Field(default_factory=dict)


class ItemsModel(StrictModel):
    """The body of POST …/items. Each item is checked by itself: a bad one is named by index."""

    items: Annotated[list[Any], Field(min_length=1, max_length=limits.MAX_ITEMS_PER_REQUEST)]


class DeletionModel(StrictModel):
    """One line of a file of ids to be deleted."""

    id: Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]


class DeleteItemsModel(StrictModel):
    """The body of POST …/items:delete: the ids of items, or a filter that they pass."""

    ids: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]] | None,
        Field(min_length=1, max_length=limits.MAX_DELETES_PER_REQUEST),
    ] = None
    filter: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSource:
    """One thing to encode. `wire` is the input of the encode message."""

    modality: Modality
    wire: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedItem:
    """An item that may be stored.

    Attributes:
        attributes: those present, checked.
        media: what is to be encoded into the spaces that have no vector yet.
        vectors: {space: (dimension,) float32}; unit vectors where the space's metric is cosine.
    """

    id: str
    attributes: dict[str, Json]
    media: tuple[MediaSource, ...]
    vectors: dict[str, Float32Array]

    def payload(self) -> bytes:
        """Returns what is stored of it: canonical JSON of id, attributes, and where its pictures lie.

        Bytes and texts of media are encoded and not kept: a picture to be seen again is dropped as a file.
        """
        places = {source.modality.value: source.wire["image"] for source in self.media if _is_placed(source)}
        body: dict[str, object] = {"id": self.id, "attributes": self.attributes}
        return orjson.dumps({**body, "media": places} if places else body)


class ItemValidator:
    """Checks items against one collection.

    Args:
        schema: of the collection.
        bucket: the deployment's own; pictures are read from nowhere else.
        readers: {encoder: what it reads}, for the encoders that the schema names.
    """

    def __init__(self, schema: CollectionSchema, *, bucket: str, readers: Mapping[str, frozenset[Modality]]) -> None:
        self.schema = schema
        self._attributes = {spec.name: spec for spec in schema.attributes}
        self._spaces = {space.name: space for space in schema.spaces}
        self._inbox = inbox_of(bucket)
        named = (readers.get(space.encoder, frozenset()) for space in schema.spaces if space.encoder is not None)
        self._readable: frozenset[Modality] = frozenset().union(*named)

    def parse(self, value: Json) -> ParsedItem:
        """Returns the item in a parsed JSON value.

        Raises:
            InvalidInput: invalid-item, invalid-vector, invalid-vector-dimension, unknown-space, invalid-media,
                media-too-large or unknown-modality, with the place.
            Forbidden: forbidden-location.
            NotImplementedYet: audio and video.
        """
        model = validated(ItemModel, value, kind=ErrorKind.INVALID_ITEM)
        check_id(model.id)
        return ParsedItem(
            id=model.id,
            attributes=parse_attributes(model.attributes, self._attributes),
            media=self._media(model.media) if model.media else (),
            vectors={name: self._vector(name, values) for name, values in model.vectors.items()},
        )

    def _vector(self, name: str, values: list[float]) -> Float32Array:
        space = self._spaces.get(name)
        if space is None:
            raise InvalidInput(
                "the collection has no such space",
                kind=ErrorKind.UNKNOWN_SPACE,
                at=f"vectors.{name[: limits.MAX_NAME_LENGTH]}",
                known=sorted(self._spaces),
            )
        if space.source is not None:
            raise InvalidInput(
                f"vectors.{name}: the space is computed from {space.source}, give a vector for that one",
                kind=ErrorKind.INVALID_ITEM,
                at=f"vectors.{name}",
            )
        return parse_vector(values, space, at=f"vectors.{name}")

    def _media(self, media: MediaModel) -> tuple[MediaSource, ...]:
        sources = []
        for modality in media.kinds():
            if modality in {Modality.AUDIO, Modality.VIDEO}:
                raise NotImplementedYet(f"{modality} is not served by this release", field=f"media.{modality}")
            if modality not in self._readable:
                raise InvalidInput(
                    f"no space of this collection reads {modality}",
                    kind=ErrorKind.UNKNOWN_MODALITY,
                    at=f"media.{modality}",
                )
            sources.append(MediaSource(modality=modality, wire=media_wire(media, modality, inbox=self._inbox)))
        return tuple(sources)


def parse_deletion(value: Json) -> str:
    """Returns the id of an item that shall be deleted. Raises InvalidInput (invalid-item)."""
    found = validated(DeletionModel, value, kind=ErrorKind.INVALID_ITEM).id
    check_id(found)
    return found


def parse_deletions(model: DeleteItemsModel) -> list[str] | None:
    """Returns the distinct ids that a request names, in its order; None where it has a filter instead.

    Raises:
        InvalidInput: invalid-request, where there is not exactly one of both; invalid-item, where an id cannot be one.
    """
    if (model.ids is None) == (model.filter is None):
        raise InvalidInput("either ids or a filter says what shall be deleted")
    if model.ids is None:
        return None
    for each in model.ids:
        check_id(each)
    return list(dict.fromkeys(model.ids))


def parse_items(values: list[Any], validator: ItemValidator) -> list[ParsedItem]:
    """Returns all items of a request, or refuses them all.

    Raises:
        InvalidInput: invalid-items, with details.items = [{index, id, kind, message}].
        NotImplementedYet: when nothing else is wrong than that an item asks for what is not served.
    """
    parsed: list[ParsedItem] = []
    refused: list[dict[str, object]] = []
    unserved: NotImplementedYet | None = None
    for index, value in enumerate(values):
        try:
            parsed.append(validator.parse(value))
        except NotImplementedYet as error:
            unserved = unserved or error
        except ShardlakeError as error:
            refused.append(refusal(index, item_id(value), error))
    if refused:
        raise invalid_items(refused, total=len(values))
    if unserved is not None:
        raise unserved
    return parsed


def refusal(index: int, found_id: str | None, error: ShardlakeError) -> dict[str, object]:
    """Returns one entry of details.items."""
    return {"index": index, "id": found_id, "kind": str(error.kind), "message": error.message}


def invalid_items(refused: list[dict[str, object]], *, total: int) -> InvalidInput:
    """Returns the error that refuses a whole request for some of its items."""
    return InvalidInput(
        f"{len(refused)} of {total} items are invalid, nothing was stored", kind=ErrorKind.INVALID_ITEMS, items=refused
    )


def item_id(value: Json) -> str | None:
    """Returns the id that an item says it has, for naming it; None where it cannot be one."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and len(found) <= limits.MAX_ID_BYTES else None


def parse_vector(values: list[float], space: SpaceSpec, *, at: str) -> Float32Array:
    """Returns (dimension,) float32, of unit length when the space compares by cosine.

    Raises:
        InvalidInput: invalid-vector-dimension, or invalid-vector when a value does not fit float32 or a cosine
            space gets a zero vector.
    """
    if len(values) != space.dimension:
        raise InvalidInput(
            f"{at}: has {len(values)} values, the space has {space.dimension} dimensions",
            kind=ErrorKind.INVALID_VECTOR_DIMENSION,
            at=at,
        )
    with np.errstate(over="ignore"):
        vector = np.array(values, dtype=np.float32)
    if space.metric is not Metric.COSINE:
        # Beyond, the score of a hit would be no number. A value that does not fit float32 is larger too.
        if not (np.abs(vector) <= limits.MAX_COMPONENT).all():
            raise InvalidInput(f"{at}: a value is not finite or too large", kind=ErrorKind.INVALID_VECTOR, at=at)
        return vector
    return unit(vector, at=at)


def unit(vector: Float32Array, *, at: str) -> Float32Array:
    """Returns the vector at unit length. Raises InvalidInput (invalid-vector) when it has no finite direction."""
    wide = vector.astype(np.float64)  # the square of no float32 overflows or vanishes here
    norm = float(np.sqrt(wide @ wide))
    if not 0.0 < norm < float("inf"):
        raise InvalidInput(
            f"{at}: a zero vector, or a value that does not fit float32, has no direction",
            kind=ErrorKind.INVALID_VECTOR,
            at=at,
        )
    return np.asarray(wide / norm, np.float32)


def _is_placed(source: MediaSource) -> bool:
    return source.modality is Modality.IMAGE and "s3" in source.wire["image"]


def check_id(found: str) -> None:
    """Raises InvalidInput (invalid-item) unless an item may have that id."""
    if _CONTROL.search(found):
        raise InvalidInput("id: has a control character", kind=ErrorKind.INVALID_ITEM, at="id")
    if len(found.encode()) > limits.MAX_ID_BYTES:
        raise InvalidInput(f"id: is larger than {limits.MAX_ID_BYTES} bytes", kind=ErrorKind.INVALID_ITEM, at="id")
