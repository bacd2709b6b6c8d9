"""The contract's collection object: what a client may declare, and its one canonical form.

Two bodies that mean the same give the same canonical JSON, which is what the catalog keeps and compares. The order of
spaces has a meaning (the first decides the shards) and is kept; the order of attributes has none.
What the contract names and this release does not serve is refused with 501, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

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
    Sharding,
    SpaceSpec,
    Transform,
)

RESERVED_SPACE_NAMES = frozenset({"match"})
"""`hits[].scores` has one entry a space, and one of this name for full text."""

DEFAULT_BINARY_BITS = 256
DEFAULT_RABITQ_BITS = 1
BINARY_BITS = range(64, limits.MAX_BINARY_BITS + 1, 64)
"""Of one item's code: whole words, which is what a processor counts the bits of."""
RABITQ_BITS = range(1, limits.MAX_RABITQ_BITS + 1)
SHARDING_TYPES = frozenset({AttributeType.KEYWORD, AttributeType.INT, AttributeType.BOOL, AttributeType.DATETIME})

AttributeName = Annotated[str, Field(pattern=ATTRIBUTE_PATTERN)]


class IndexModel(StrictModel):
    """How a space is indexed. `bits`: ivf_rabitq and binary_mih; `transform` and `dimension`: ivf_pq."""

    type: Annotated[IndexType, Field(strict=False)] = IndexType.IVF_PQ
    bits: Annotated[int, Field(ge=1, le=limits.MAX_BINARY_BITS)] | None = None
    transform: Annotated[Transform, Field(strict=False)] | None = None
    dimension: Annotated[int, Field(ge=1, le=limits.MAX_DIMENSION)] | None = None


class SpaceModel(StrictModel):
    """One vector space. `dimension` may be left out where the encoder is known; one `from` another states neither."""

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

    by: Sharding = "cluster"
    attribute: AttributeName | None = None
    target_rows: Annotated[int, Field(ge=1, le=limits.MAX_ROWS_PER_SHARD)] = 1_000_000


class AccessModel(StrictModel):
    """Who sees an item: callers whose token shares a value with this attribute."""

    attribute: AttributeName


class CollectionModel(StrictModel):
    """The body of PUT /v1/collections/{name}. `ttl` names the datetime attribute at whose value an item expires."""

    spaces: Annotated[dict[Name, SpaceModel], Field(min_length=1, max_length=limits.MAX_SPACES)]
    attributes: Annotated[dict[AttributeName, AttributeModel], Field(max_length=limits.MAX_ATTRIBUTES)] = Field(
        default_factory=dict
    )
    sharding: ShardingModel = ShardingModel()
    access: AccessModel | None = None
    ttl: AttributeName | None = None


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
    stored = {
        name: SpaceSpec(
            name=name,
            dimension=_dimension(name, space, encoders),
            metric=space.metric,
            encoder=space.encoder,
            index=_index_spec(space.index),
        )
        for name, space in model.spaces.items()
        if space.from_ is None
    }
    spaces = tuple(
        stored[name] if space.from_ is None else _derived(name, stored[space.from_], _index_spec(space.index))
        for name, space in model.spaces.items()
    )
    attributes = tuple(
        AttributeSpec(name=name, type=spec.type, multi=spec.multi, language=spec.language or DEFAULT_LANGUAGE)
        for name, spec in sorted(model.attributes.items())
    )
    sharding = model.sharding
    return CollectionSchema(
        spaces=spaces,
        attributes=attributes,
        sharding=sharding.by,
        sharding_attribute=sharding.attribute,
        target_rows=sharding.target_rows,
        ttl=model.ttl,
    )


def body_of_schema(schema: CollectionSchema) -> str:
    """Returns the canonical JSON of a schema: defaults of spaces written out, attributes in order of their names."""
    attribute = {} if schema.sharding_attribute is None else {"attribute": schema.sharding_attribute}
    body = {
        "spaces": {space.name: _space_body(space) for space in schema.spaces},
        "attributes": {spec.name: _attribute_body(spec) for spec in sorted(schema.attributes, key=lambda a: a.name)},
        "sharding": {"by": schema.sharding, **attribute, "target_rows": schema.target_rows},
    }
    # Left out where there is none, as it was before there were any: the same body must stay the same.
    return orjson.dumps(body if schema.ttl is None else {**body, "ttl": schema.ttl}).decode()


def schema_of_body(body: str) -> CollectionSchema:
    """Returns the schema in canonical JSON, as the catalog keeps it.

    Raises:
        FormatError: malformed-file, when the row was not written by `body_of_schema`.
    """
    try:
        raw = orjson.loads(body)
        stored = {name: _space_spec(name, space) for name, space in raw["spaces"].items() if "from" not in space}
        sharding = raw["sharding"]
        return CollectionSchema(
            spaces=tuple(
                stored.get(name) or _derived(name, stored[space["from"]], _index_of_body(space["index"]))
                for name, space in raw["spaces"].items()
            ),
            attributes=tuple(
                AttributeSpec(
                    name=name,
                    type=AttributeType(spec["type"]),
                    multi=spec.get("multi", False),
                    language=spec.get("language", DEFAULT_LANGUAGE),
                )
                for name, spec in raw["attributes"].items()
            ),
            sharding=sharding.get("by", "cluster"),
            sharding_attribute=sharding.get("attribute"),
            target_rows=sharding["target_rows"],
            ttl=raw.get("ttl"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise FormatError("the catalog holds a collection that cannot be read", kind=ErrorKind.MALFORMED_FILE) from exc


def _space_spec(name: str, raw: dict[str, Any]) -> SpaceSpec:
    return SpaceSpec(
        name=name,
        dimension=raw["dimension"],
        metric=Metric(raw["metric"]),
        encoder=raw.get("encoder"),
        index=_index_of_body(raw["index"]),
    )


def _derived(name: str, source: SpaceSpec, index: IndexSpec) -> SpaceSpec:
    return replace(source, name=name, index=index, source=source.name)


def _index_spec(model: IndexModel) -> IndexSpec:
    defaults = {IndexType.IVF_RABITQ: DEFAULT_RABITQ_BITS, IndexType.BINARY_MIH: DEFAULT_BINARY_BITS}
    bits = model.bits if model.bits is not None else defaults.get(model.type)
    return IndexSpec(type=model.type, bits=bits, transform=model.transform, dimension=model.dimension)


def _index_of_body(raw: dict[str, Any]) -> IndexSpec:
    transform = raw.get("transform")
    return IndexSpec(
        type=IndexType(raw["type"]),
        bits=raw.get("bits"),
        transform=None if transform is None else Transform(transform),
        dimension=raw.get("dimension"),
    )


def _index_body(index: IndexSpec) -> dict[str, object]:
    stated = {"type": index.type, "bits": index.bits, "transform": index.transform, "dimension": index.dimension}
    return {name: value for name, value in stated.items() if value is not None}


def _space_body(space: SpaceSpec) -> dict[str, object]:
    if space.source is not None:
        return {"from": space.source, "index": _index_body(space.index)}
    encoder = {} if space.encoder is None else {"encoder": space.encoder}
    return {**encoder, "dimension": space.dimension, "metric": space.metric, "index": _index_body(space.index)}


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
        _check_index(f"spaces.{name}.index", space)
        if space.from_ is not None:
            _check_derived(name, space, space.from_, model)
    if next(iter(model.spaces.values())).from_ is not None:
        raise _invalid(f"spaces.{next(iter(model.spaces))}.from", "the first space numbers the rows: it has vectors")
    for name, spec in model.attributes.items():
        if spec.multi and spec.type is not AttributeType.KEYWORD:
            raise _invalid(f"attributes.{name}.multi", "only a keyword has several values")
        if spec.language is not None and spec.type is not AttributeType.TEXT:
            raise _invalid(f"attributes.{name}.language", "only a text has a language")
        if spec.language not in {None, *LANGUAGES}:
            raise _invalid(f"attributes.{name}.language", f"must be one of {', '.join(LANGUAGES)}")
    _check_sharding(model)
    _check_attribute("access.attribute", None if model.access is None else model.access.attribute, model)
    _check_ttl(model)


def _check_index(at: str, space: SpaceModel) -> None:
    index = space.index
    allowed = {IndexType.BINARY_MIH: BINARY_BITS, IndexType.IVF_RABITQ: RABITQ_BITS}.get(index.type)
    if index.bits is not None and allowed is None:
        raise _invalid(f"{at}.bits", "only ivf_rabitq and binary_mih have bits")
    if index.bits is not None and allowed is not None and index.bits not in allowed:
        step = "" if allowed.step == 1 else f" in steps of {allowed.step}"
        raise _invalid(f"{at}.bits", f"must be from {allowed[0]} to {allowed[-1]}{step}")
    if index.transform is not None and index.type is not IndexType.IVF_PQ:
        raise _invalid(f"{at}.transform", "only ivf_pq has a transform")
    if index.dimension is not None and index.transform is not Transform.PCA:
        raise _invalid(f"{at}.dimension", "only the transform pca has a dimension")
    if None not in {index.dimension, space.dimension} and (index.dimension or 0) > (space.dimension or 0):
        raise _invalid(f"{at}.dimension", "is larger than the space's")


def _check_derived(name: str, space: SpaceModel, from_: str, model: CollectionModel) -> None:
    source = model.spaces.get(from_)
    if source is None or source.from_ is not None:
        raise _invalid(f"spaces.{name}.from", f"there is no space {from_} that items have vectors in")
    if space.index.type is not IndexType.BINARY_MIH:
        raise _invalid(f"spaces.{name}.index.type", "a space computed from another is binary_mih")
    for field in ("encoder", "dimension", "metric"):
        if field in space.model_fields_set and getattr(space, field) != getattr(source, field):
            raise _invalid(f"spaces.{name}.{field}", f"is that of the space {from_}: leave it out")


def _check_sharding(model: CollectionModel) -> None:
    sharding = model.sharding
    _check_attribute("sharding.attribute", sharding.attribute, model)
    if (sharding.by == "attribute") != (sharding.attribute is not None):
        raise _invalid("sharding.attribute", "is given when, and only when, `by` is attribute")
    if sharding.attribute is not None:
        spec = model.attributes[sharding.attribute]
        if spec.multi or spec.type not in SHARDING_TYPES:
            kinds = ", ".join(sorted(SHARDING_TYPES))
            raise _invalid("sharding.attribute", f"must have a single value, of a type of {kinds}")


def _check_ttl(model: CollectionModel) -> None:
    _check_attribute("ttl", model.ttl, model)
    if model.ttl is not None and model.attributes[model.ttl].type is not AttributeType.DATETIME:
        raise _invalid(
            "ttl", f"must name a datetime attribute: {model.ttl} is of type {model.attributes[model.ttl].type}"
        )


def _check_attribute(at: str, attribute: str | None, model: CollectionModel) -> None:
    if attribute is not None and attribute not in model.attributes:
        raise _invalid(at, f"there is no attribute {attribute}")


def _refuse_unserved(model: CollectionModel) -> None:
    if model.access is not None:
        raise _unserved("access", "access by attribute")


def _invalid(at: str, message: str) -> InvalidInput:
    return InvalidInput(f"{at}: {message}", kind=ErrorKind.INVALID_COLLECTION, errors=[{"at": at, "message": message}])


def _unserved(at: str, what: str) -> NotImplementedYet:
    return NotImplementedYet(f"{what} is not served by this release", field=at)
