"""The contract's collection object: what a client may declare, and its one canonical form.

Two bodies that mean the same give the same canonical JSON, which is what the catalog keeps and compares. The order of
spaces has a meaning (the first decides the shards) and is kept; the order of attributes has none.
What the contract names and this release does not serve is refused with 501, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from shardlake import limits
from shardlake.contracts.common import ATTRIBUTE_PATTERN, Name, StrictModel, parse_object, refuse_duplicates, validated
from shardlake.contracts.encode import EncoderInfo
from shardlake.errors import ErrorKind, FormatError, InvalidInput, NotImplementedYet
from shardlake.types import (
    DEFAULT_LANGUAGE,
    LANGUAGES,
    AttributeSpec,
    AttributeType,
    CollectionSchema,
    IndexSpec,
    IndexType,
    Metric,
    SpaceSpec,
)

SERVED_INDEX_TYPES = frozenset({IndexType.IVF_PQ, IndexType.FLAT})
RESERVED_SPACE_NAMES = frozenset({"match"})
"""`hits[].scores` has one entry a space, and one of this name for full text."""

AttributeName = Annotated[str, Field(pattern=ATTRIBUTE_PATTERN)]


class IndexModel(StrictModel):
    """How a space is indexed."""

    type: Annotated[IndexType, Field(strict=False)] = IndexType.IVF_PQ
    bits: Annotated[int, Field(ge=8, le=limits.MAX_DIMENSION)] | None = None


class SpaceModel(StrictModel):
    """One vector space. `dimension` may be left out where the encoder is known."""

    encoder: Name | None = None
    dimension: Annotated[int, Field(ge=1, le=limits.MAX_DIMENSION)] | None = None
    metric: Annotated[Metric, Field(strict=False)] = Metric.COSINE
    index: IndexModel = IndexModel()
    from_: Annotated[Name | None, Field(alias="from")] = None


class AttributeModel(StrictModel):
    """One declared attribute. Only a keyword may have several values, only a text a language (english by default)."""

    type: Annotated[AttributeType, Field(strict=False)]
    multi: bool = False
    language: str | None = None


class ShardingModel(StrictModel):
    """How rows are shared out among shards."""

    by: Literal["cluster", "hash", "attribute"] = "cluster"
    attribute: AttributeName | None = None
    target_rows: Annotated[int, Field(ge=1, le=limits.MAX_ROWS_PER_SHARD)] = 1_000_000


class AccessModel(StrictModel):
    """Who sees an item: callers whose token shares a value with this attribute."""

    attribute: AttributeName


class CollectionModel(StrictModel):
    """The body of PUT /v1/collections/{name}."""

    spaces: Annotated[dict[Name, SpaceModel], Field(min_length=1, max_length=limits.MAX_SPACES)]
    attributes: Annotated[dict[AttributeName, AttributeModel], Field(max_length=limits.MAX_ATTRIBUTES)] = Field(
        default_factory=dict
    )
    sharding: ShardingModel = ShardingModel()
    access: AccessModel | None = None


def parse_collection(body: bytes) -> CollectionModel:
    """Returns the collection object in a request's body.

    Raises:
        InvalidInput: payload-too-large, invalid-json, or invalid-collection naming the place.
        NotImplementedYet: the body is right and asks for what this release does not serve.
    """
    value = parse_object(body)
    refuse_duplicates(body, kind=ErrorKind.INVALID_COLLECTION)
    model = validated(CollectionModel, value, kind=ErrorKind.INVALID_COLLECTION)
    _check_consistent(model)
    _refuse_unserved(model)
    return model


def schema_of(model: CollectionModel, encoders: Mapping[str, EncoderInfo]) -> CollectionSchema:
    """Returns the schema that a collection object declares, dimensions filled in from the encoders.

    Args:
        model: what `parse_collection` returned.
        encoders: those this deployment has, by name; need hold none when no space names one.

    Raises:
        InvalidInput: unknown-encoder with the known names, or invalid-collection when a dimension is absent or
            disagrees.
    """
    spaces = tuple(
        SpaceSpec(
            name=name,
            dimension=_dimension(name, space, encoders),
            metric=space.metric,
            encoder=space.encoder,
            index=IndexSpec(type=space.index.type),
        )
        for name, space in model.spaces.items()
    )
    attributes = tuple(
        AttributeSpec(name=name, type=spec.type, multi=spec.multi, language=spec.language or DEFAULT_LANGUAGE)
        for name, spec in sorted(model.attributes.items())
    )
    return CollectionSchema(spaces=spaces, attributes=attributes, target_rows=model.sharding.target_rows)


def body_of_schema(schema: CollectionSchema) -> str:
    """Returns the canonical JSON of a schema: defaults of spaces written out, attributes in order of their names."""
    body = {
        "spaces": {space.name: _space_body(space) for space in schema.spaces},
        "attributes": {spec.name: _attribute_body(spec) for spec in sorted(schema.attributes, key=lambda a: a.name)},
        "sharding": {"by": schema.sharding, "target_rows": schema.target_rows},
    }
    return orjson.dumps(body).decode()


def schema_of_body(body: str) -> CollectionSchema:
    """Returns the schema in canonical JSON, as the catalog keeps it.

    Raises:
        FormatError: malformed-file, when the row was not written by `body_of_schema`.
    """
    try:
        raw = orjson.loads(body)
        return CollectionSchema(
            spaces=tuple(_space_spec(name, space) for name, space in raw["spaces"].items()),
            attributes=tuple(
                AttributeSpec(
                    name=name,
                    type=AttributeType(spec["type"]),
                    multi=spec.get("multi", False),
                    language=spec.get("language", DEFAULT_LANGUAGE),
                )
                for name, spec in raw["attributes"].items()
            ),
            target_rows=raw["sharding"]["target_rows"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise FormatError("the catalog holds a collection that cannot be read", kind=ErrorKind.MALFORMED_FILE) from exc


def _space_spec(name: str, raw: dict[str, Any]) -> SpaceSpec:
    return SpaceSpec(
        name=name,
        dimension=raw["dimension"],
        metric=Metric(raw["metric"]),
        encoder=raw.get("encoder"),
        index=IndexSpec(type=IndexType(raw["index"]["type"])),
    )


def _space_body(space: SpaceSpec) -> dict[str, object]:
    encoder = {} if space.encoder is None else {"encoder": space.encoder}
    return {**encoder, "dimension": space.dimension, "metric": space.metric, "index": {"type": space.index.type}}


def _attribute_body(spec: AttributeSpec) -> dict[str, object]:
    # Defaults are left out: so they were when there was nothing else, and the same body must stay the same.
    multi = {"multi": True} if spec.multi else {}
    language = {"language": spec.language} if spec.language != DEFAULT_LANGUAGE else {}
    return {"type": spec.type, **multi, **language}


def _dimension(name: str, space: SpaceModel, encoders: Mapping[str, EncoderInfo]) -> int:
    if space.encoder is None:
        if space.dimension is None:
            raise _invalid(f"spaces.{name}", "a space without an encoder needs a dimension")
        return space.dimension
    info = encoders.get(space.encoder)
    if info is None:
        raise InvalidInput(
            f"this deployment has no encoder {space.encoder}",
            kind=ErrorKind.UNKNOWN_ENCODER,
            at=f"spaces.{name}.encoder",
            known=sorted(encoders),
        )
    if space.dimension not in {None, info.dimension}:
        raise _invalid(f"spaces.{name}.dimension", f"the encoder {info.name} gives {info.dimension} dimensions")
    return info.dimension


def _check_consistent(model: CollectionModel) -> None:
    for name, space in model.spaces.items():
        if name in RESERVED_SPACE_NAMES:
            raise _invalid(f"spaces.{name}", "the name is reserved")
        if space.index.bits is not None and space.index.type is not IndexType.BINARY_MIH:
            raise _invalid(f"spaces.{name}.index.bits", "only binary_mih has bits")
    for name, spec in model.attributes.items():
        if spec.multi and spec.type is not AttributeType.KEYWORD:
            raise _invalid(f"attributes.{name}.multi", "only a keyword has several values")
        if spec.language is not None and spec.type is not AttributeType.TEXT:
            raise _invalid(f"attributes.{name}.language", "only a text has a language")
        if spec.language not in {None, *LANGUAGES}:
            raise _invalid(f"attributes.{name}.language", f"must be one of {', '.join(LANGUAGES)}")
    named = {
        "sharding.attribute": model.sharding.attribute,
        "access.attribute": model.access and model.access.attribute,
    }
    for at, attribute in named.items():
        if attribute is not None and attribute not in model.attributes:
            raise _invalid(at, f"there is no attribute {attribute}")


def _refuse_unserved(model: CollectionModel) -> None:
    for name, space in model.spaces.items():
        if space.from_ is not None:
            raise _unserved(f"spaces.{name}.from", "a space computed from another")
        if space.index.type not in SERVED_INDEX_TYPES:
            raise _unserved(f"spaces.{name}.index.type", f"the index type {space.index.type}")
    if model.sharding.by != "cluster":
        raise _unserved("sharding.by", f"sharding by {model.sharding.by}")
    if model.access is not None:
        raise _unserved("access", "access by attribute")


def _invalid(at: str, message: str) -> InvalidInput:
    return InvalidInput(f"{at}: {message}", kind=ErrorKind.INVALID_COLLECTION, errors=[{"at": at, "message": message}])


def _unserved(at: str, what: str) -> NotImplementedYet:
    return NotImplementedYet(f"{what} is not served by this release", field=at)
