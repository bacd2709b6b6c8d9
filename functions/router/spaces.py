"""Which spaces a query is about, what is looked for in each, and how much each counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from shardlake import limits
from shardlake.contracts.encode import EncoderInfo
from shardlake.contracts.search import SearchQuery
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import CollectionSchema, Float32Array, Metric, Modality, SpaceSpec

LIKE = "like"
VECTOR = "vector"
MATCH = "match"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceAsked:
    """What one space is searched by.

    Attributes:
        kinds: of media, to be encoded by the space's encoder.
        vector: what the caller gave, or None.
        weights: by kind, and `vector`, and `like`: how much each counts within the space.
        weight: how much the space counts among the sources.
    """

    space: SpaceSpec
    kinds: tuple[str, ...]
    vector: Float32Array | None
    weights: Mapping[str, float]
    weight: float


def spaces_asked(
    query: SearchQuery, schema: CollectionSchema, encoders: Mapping[str, EncoderInfo], *, has_match: bool
) -> tuple[SpaceAsked, ...]:
    """Returns the spaces that a query is about, in the order of the schema.

    Those that it names, by `spaces` or by vectors; else all whose encoder reads any of its kinds; for `like` alone the
    first. A space made from another one is searched only where it is named.

    Args:
        query: of the request.
        schema: of the collection.
        encoders: what they read; may be empty where one space alone has an encoder.
        has_match: whether full text is a source too, which `weights` may name.

    Raises:
        InvalidInput: unknown-space, unknown-modality, invalid-vector, or a query without anything to look for.
    """
    kinds = query.kinds()
    likes = bool(query.like or query.unlike)
    if not kinds and not query.vector and not likes:
        raise InvalidInput("query: give text, image, vector or like", at="query")
    weights = _weights(query, has_match=has_match)
    spaces = _spaces(query, schema, encoders)
    read = {space.name: [kind for kind in kinds if _reads(space, kind, encoders)] for space in spaces}
    unread = [kind for kind in kinds if not any(kind in found for found in read.values())]
    if unread:
        raise _unreadable(unread, query, spaces)
    asked = [_asked(space, read[space.name], query, weights) for space in spaces]
    searched = tuple(one for one in asked if sum(one.weights.values()) > 0)
    _check_space_weights(query, searched, has_match=has_match)
    return searched


def match_weight(query: SearchQuery | None) -> float:
    """Returns how much full text counts among the sources."""
    if query is None:
        return 1.0
    by_kind: Mapping[str, float] = {str(kind): float(weight) for kind, weight in (query.weights or {}).items()}
    return float((query.space_weights or {}).get(MATCH, by_kind.get(MATCH, 1.0)))


def vectors_of(space: SpaceSpec) -> str:
    """Returns the space whose vectors the items of a space have: its own, or that which it was made from."""
    return space.source or space.name


def _spaces(query: SearchQuery, schema: CollectionSchema, encoders: Mapping[str, EncoderInfo]) -> list[SpaceSpec]:
    given = list(query.vector or ())
    named = list(query.spaces or given)
    known = {space.name: space for space in schema.spaces}
    for name in [*named, *given]:
        if name not in known:
            raise InvalidInput(f"the collection has no space {name}", kind=ErrorKind.UNKNOWN_SPACE, spaces=list(known))
    if not set(given) <= set(named):
        raise InvalidInput("query.vector has a vector of a space that query.spaces does not name", at="query.vector")
    if named:
        chosen = [space for space in schema.spaces if space.name in named]
        idle = [space.name for space in chosen if not _has_anything(space, query, encoders)]
        if idle:
            words = ", ".join(query.kinds()) or "a vector"
            raise InvalidInput(
                f"the space {idle[0]} has nothing to be searched by: its encoder reads no {words}",
                kind=ErrorKind.UNKNOWN_MODALITY,
                spaces=idle,
            )
        return chosen
    own = schema.stored_spaces
    able = [space for space in own if any(_reads(space, kind, encoders) for kind in query.kinds())]
    return able or list(own[:1] if not query.kinds() else ())


def _has_anything(space: SpaceSpec, query: SearchQuery, encoders: Mapping[str, EncoderInfo]) -> bool:
    likes = bool(query.like or query.unlike)
    return likes or space.name in (query.vector or {}) or any(_reads(space, kind, encoders) for kind in query.kinds())


def _reads(space: SpaceSpec, kind: Modality, encoders: Mapping[str, EncoderInfo]) -> bool:
    if space.encoder is None:
        return False
    info = encoders.get(space.encoder)
    return info is None or kind in info.modalities


def _unreadable(unread: Iterable[Modality], query: SearchQuery, spaces: list[SpaceSpec]) -> InvalidInput:
    words = ", ".join(sorted(unread))
    if query.vector or query.spaces:
        names = ", ".join(space.name for space in spaces)
        message = f"none of the spaces searched ({names}) has an encoder that reads {words}"
    else:
        message = f"the collection has no space whose encoder reads {words}"
    return InvalidInput(message, kind=ErrorKind.UNKNOWN_MODALITY)


def _asked(space: SpaceSpec, kinds: list[Modality], query: SearchQuery, weights: Mapping[str, float]) -> SpaceAsked:
    vector = _vector(query, space)
    names = [*(kind.value for kind in kinds), *([VECTOR] if vector is not None else [])]
    names += [LIKE] if query.like or query.unlike else []
    counted = {name: weights[name] for name in names}
    # What a space weighs is the mean of what is looked for in it, where nothing else is said.
    stated = (query.space_weights or {}).get(space.name)
    mean = sum(weight / len(counted) for weight in counted.values())
    return SpaceAsked(
        space=space,
        kinds=tuple(kind.value for kind in kinds if weights[kind.value] > 0),
        vector=vector,
        weights=counted,
        weight=mean if stated is None else float(stated),
    )


def _vector(query: SearchQuery, space: SpaceSpec) -> Float32Array | None:
    values = (query.vector or {}).get(space.name)
    if values is None:
        return None
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


def _weights(query: SearchQuery, *, has_match: bool) -> dict[str, float]:
    given = {*(kind.value for kind in query.kinds()), *([VECTOR] if query.vector else [])}
    given |= {LIKE} if query.like or query.unlike else set()
    stated = {str(kind): float(weight) for kind, weight in (query.weights or {}).items()}
    unknown = sorted(set(stated) - given - ({MATCH} if has_match else set()))
    if unknown:
        raise InvalidInput("query.weights names what the query does not have", unknown=unknown)
    weights = {kind: stated.get(kind, 1.0) for kind in given}
    if not all(0 <= weight < math.inf for weight in (*weights.values(), *stated.values())) or not any(weights.values()):
        raise InvalidInput("query.weights must be numbers of at least 0, not all 0", at="query.weights")
    return weights


def _check_space_weights(query: SearchQuery, searched: tuple[SpaceAsked, ...], *, has_match: bool) -> None:
    stated = query.space_weights or {}
    sources = {one.space.name: one.weight for one in searched} | ({MATCH: match_weight(query)} if has_match else {})
    unknown = sorted(set(stated) - set(sources))
    if unknown:
        raise InvalidInput("query.space_weights names what is not searched", unknown=unknown, at="query.space_weights")
    if not all(0 <= weight < math.inf for weight in sources.values()) or not any(sources.values()):
        raise InvalidInput("query.space_weights must be numbers of at least 0, not all 0", at="query.space_weights")
