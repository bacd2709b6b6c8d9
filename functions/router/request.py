"""From a request body to what is asked: checked against the schema, filter parsed, space chosen, vectors given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from shardlake import limits
from shardlake.contracts.common import validated
from shardlake.contracts.encode import EncoderInfo
from shardlake.contracts.media import media_wire
from shardlake.contracts.search import SearchQuery, SearchRequest, refuse_unserved
from shardlake.errors import ErrorKind, InvalidInput, NotImplementedYet
from shardlake.query.filter import Node, parse
from shardlake.types import CollectionSchema, Float32Array, Metric, Modality, SpaceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One search, understood.

    Attributes:
        space: None for a search by filter alone.
        media: encode inputs by modality, still to be encoded.
        vector: what the caller gave, or None.
        weights: by modality, and `vector`.
        filter: in wire form, or None.
    """

    request: SearchRequest
    space: SpaceSpec | None
    media: dict[str, dict[str, Any]]
    vector: Float32Array | None
    weights: dict[str, float]
    filter: Node | None


def parse_search(
    body: dict[str, Any], schema: CollectionSchema, encoders: dict[str, EncoderInfo], *, inbox: str
) -> Asked:
    """Returns what a search asks.

    Args:
        body: of the request.
        schema: of the collection.
        encoders: needed only where several spaces could answer; may be empty otherwise.
        inbox: the only place pictures are read from.

    Raises:
        InvalidInput: with the kind and the place. NotImplementedYet: a field that is not served.
    """
    request = validated(SearchRequest, body)
    refuse_unserved(request)
    if not 1 <= request.k <= limits.MAX_K:
        raise InvalidInput(f"k must be from 1 to {limits.MAX_K}", kind=ErrorKind.K_OUT_OF_RANGE, k=request.k)
    node = parse(request.filter, schema) if request.filter else None
    if request.query is None:
        return Asked(request=request, space=None, media={}, vector=None, weights={}, filter=node)
    space = choose_space(request.query, schema, encoders)
    return Asked(
        request=request,
        space=space,
        media={kind.value: media_wire(request.query, kind, inbox=inbox) for kind in request.query.kinds()},
        vector=_vector(request.query, space),
        weights=_weights(request.query),
        filter=node,
    )


def choose_space(query: SearchQuery, schema: CollectionSchema, encoders: dict[str, EncoderInfo]) -> SpaceSpec:
    """Returns the one space that a query is about.

    Raises:
        InvalidInput: unknown-space, unknown-modality, or a query without anything to look for.
        NotImplementedYet: when several spaces could answer and none is named: fusion across spaces is not served.
    """
    kinds = set(query.kinds())
    if not kinds and not query.vector:
        raise InvalidInput("query: give text, image or vector", at="query")
    named = list(query.vector or query.spaces or [])
    if named:
        return _named(named, query, schema)
    able = [space for space in schema.stored_spaces if space.encoder and _reads(space, kinds, encoders)]
    if not able:
        words = ", ".join(sorted(kinds))
        raise InvalidInput(f"the collection has no space whose encoder reads {words}", kind=ErrorKind.UNKNOWN_MODALITY)
    if len(able) > 1:
        names = [space.name for space in able]
        raise NotImplementedYet("several spaces could answer: name one in query.spaces", spaces=names)
    return able[0]


def _reads(space: SpaceSpec, kinds: set[Modality], encoders: dict[str, EncoderInfo]) -> bool:
    info = encoders.get(space.encoder or "")
    return info is None or kinds <= info.modalities


def _named(names: list[str], query: SearchQuery, schema: CollectionSchema) -> SpaceSpec:
    if len(names) > 1 or (query.spaces and query.spaces != names):
        raise NotImplementedYet("a search of several spaces at once is not served by this release", spaces=names)
    space = schema.space(names[0])
    if space is None:
        known = [known.name for known in schema.spaces]
        raise InvalidInput(f"the collection has no space {names[0]}", kind=ErrorKind.UNKNOWN_SPACE, spaces=known)
    if query.kinds() and space.encoder is None:
        raise InvalidInput(
            f"the space {space.name} has no encoder: it is searched by vector", kind=ErrorKind.UNKNOWN_MODALITY
        )
    return space


def _vector(query: SearchQuery, space: SpaceSpec) -> Float32Array | None:
    if not query.vector:
        return None
    values = query.vector[space.name]
    if len(values) != space.dimension:
        raise InvalidInput(
            f"the space {space.name} has {space.dimension} dimensions, the vector has {len(values)}",
            kind=ErrorKind.INVALID_VECTOR_DIMENSION,
            at=f"query.vector.{space.name}",
        )
    if not all(abs(value) <= limits.MAX_COMPONENT for value in values):
        raise InvalidInput("the vector has a component that is not finite or too large", kind=ErrorKind.INVALID_VECTOR)
    vector = np.asarray(values, np.float32)
    # As of an item: without a direction everything is equally near, and the hits would be any.
    if space.metric is Metric.COSINE and not vector.any():
        raise InvalidInput("a zero vector has no direction", kind=ErrorKind.INVALID_VECTOR)
    return vector


def _weights(query: SearchQuery) -> dict[str, float]:
    given = {*(kind.value for kind in query.kinds()), *(["vector"] if query.vector else [])}
    if query.weights is None:
        return dict.fromkeys(given, 1.0)
    stated: dict[str, float] = {str(kind): float(weight) for kind, weight in query.weights.items()}
    unknown = sorted(set(stated) - given)
    if unknown:
        raise InvalidInput("query.weights names what the query does not have", unknown=unknown)
    weights = {kind: stated.get(kind, 1.0) for kind in given}
    if not all(0 <= weight < math.inf for weight in weights.values()) or not sum(weights.values()) > 0:
        raise InvalidInput("query.weights must be numbers of at least 0, not all 0", at="query.weights")
    return weights
