"""The wire form of shard messages: JSON over the Lambda API; vectors travel as base64 of little-endian float32."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import asdict, fields
from itertools import pairwise
from typing import Any, TypeGuard

import numpy as np
import orjson

from shardlake.contracts.shard import (
    Expiry,
    LeafAnswer,
    LeafHit,
    LeafReply,
    LeafRequest,
    LeafSearch,
    LeafStats,
    MatchClause,
    MatchSource,
    Overwrites,
    ShardRef,
    VectorSource,
    WarmUp,
)
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.limits import MAX_OVERWRITES_BYTES, MAX_PENDING_SEGMENTS
from shardlake.types import Depth, Float32Array


def encode_vector(vector: Float32Array) -> str:
    """Returns base64 of the little-endian float32 bytes."""
    return b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def decode_vector(text: str) -> Float32Array:
    """Returns the (n,) float32 vector, a copy. Raises InvalidInput (invalid-vector)."""
    try:
        return np.frombuffer(b64decode(text, validate=True), "<f4").astype(np.float32)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("a vector is not base64 of float32", kind=ErrorKind.INVALID_VECTOR) from exc


def encode_request(request: LeafRequest) -> bytes:
    """Returns the wire form of a request."""
    searches = [_search_body(search) for search in request.searches]
    body: dict[str, Any] = {
        "shards": request.shards,  # orjson writes dataclasses as they are
        "searches": searches,
        "timeout_ms": request.timeout_ms,
    }
    if request.warm is not None:
        body["warm"] = request.warm
    if request.overwrites:
        body["overwrites"] = request.overwrites
    if request.expiry is not None:
        body["expiry"] = request.expiry
    return orjson.dumps(body)


def _search_body(search: LeafSearch) -> dict[str, Any]:
    # What is as it is by default does not travel: most searches ask for little.
    body = {spec.name: getattr(search, spec.name) for spec in fields(LeafSearch)}
    changed = {name: value for name, value in body.items() if value != _DEFAULTS[name]}
    if search.vectors:
        changed["vectors"] = [_source_body(source) for source in search.vectors]
    if search.match is not None:
        changed["match"] = asdict(search.match)
    return changed


def _source_body(source: VectorSource) -> dict[str, Any]:
    body = {spec.name: getattr(source, spec.name) for spec in fields(VectorSource)}
    widening = [tuple(depth) for depth in source.widening]  # orjson takes no named tuples
    return body | {"query": encode_vector(source.query), "widening": widening}


_DEFAULTS = {spec.name: spec.default for spec in fields(LeafSearch)}


def decode_request(event: dict[str, Any]) -> LeafRequest:
    """Returns the request in a Lambda event. Raises InvalidInput when it is not one."""
    try:
        return LeafRequest(
            shards=_decode_shards(event["shards"], is_warm_up=event.get("warm") is not None),
            searches=tuple(_decode_search(search) for search in event["searches"]),
            timeout_ms=float(event["timeout_ms"]),
            warm=None if event.get("warm") is None else _decode_warm_up(event["warm"]),
            overwrites=_decode_overwrites(event.get("overwrites", ())),
            expiry=None if event.get("expiry") is None else _decode_expiry(event["expiry"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InvalidInput("the event is not a shard request") from exc


def _decode_shards(raw: list[dict[str, Any]], *, is_warm_up: bool) -> tuple[ShardRef, ...]:
    if not 1 <= len(raw) <= (1 if is_warm_up else MAX_PENDING_SEGMENTS):
        raise InvalidInput("a shard request names one shard, or as many small ones as segments may be pending")
    return tuple(ShardRef(**{**one, "sequence": int(one.get("sequence", 0))}) for one in raw)


def _decode_overwrites(raw: list[dict[str, Any]]) -> tuple[Overwrites, ...]:
    if len(raw) > MAX_PENDING_SEGMENTS:
        raise InvalidInput("a shard request names more overwrites than segments may be pending")
    found = tuple(Overwrites(key=str(o["key"]), bytes=int(o["bytes"]), sequence=int(o["sequence"])) for o in raw)
    if not all(0 < one.bytes <= MAX_OVERWRITES_BYTES for one in found):
        raise InvalidInput("overwrites are said to be larger than those of any segment", max_bytes=MAX_OVERWRITES_BYTES)
    if any(earlier.sequence >= later.sequence for earlier, later in pairwise(found)):
        raise InvalidInput("the overwrites of a shard request are not ascending by sequence")
    return found


def _decode_expiry(raw: dict[str, Any]) -> Expiry:
    if len(raw["shards"]) > MAX_PENDING_SEGMENTS:
        raise InvalidInput("a shard request names more shards with expired rows than it can have")
    return Expiry(
        attribute=str(raw["attribute"]), moment_us=int(raw["moment_us"]), shards=tuple(map(int, raw["shards"]))
    )


def _decode_warm_up(raw: dict[str, Any]) -> WarmUp:
    return WarmUp(budget_ms=float(raw["budget_ms"]), budget_bytes=int(raw["budget_bytes"]))


def _decode_search(raw: dict[str, Any]) -> LeafSearch:
    match = raw.get("match")
    after, group_by, ids = raw.get("after"), raw.get("group_by"), raw.get("ids")
    return LeafSearch(
        **{
            **raw,
            "vectors": tuple(_decode_source(source) for source in raw.get("vectors", ())),
            "match": None if match is None else _decode_match(match),
            "after": None if after is None else (after[0], after[1]),
            "group_by": None if group_by is None else (group_by[0], group_by[1]),
            "facets": tuple(raw.get("facets", ())),
            "include_vectors": tuple(raw.get("include_vectors", ())),
            "ids": None if ids is None else tuple(ids),
        }
    )


def _decode_source(raw: dict[str, Any]) -> VectorSource:
    lists, extents = raw["lists"], raw.get("extents")
    return VectorSource(
        **{
            **raw,
            "query": decode_vector(raw["query"]),
            "lists": None if lists is None else tuple(lists),
            "extents": None if extents is None else tuple((int(a), int(b), int(c)) for a, b, c in extents),
            "widening": tuple(Depth(*depth) for depth in raw["widening"]),
        }
    )


def _decode_match(raw: dict[str, Any]) -> MatchSource:
    clauses = [
        MatchClause(
            **{
                **clause,
                "terms": tuple(clause["terms"]),
                "phrases": tuple(tuple(phrase) for phrase in clause["phrases"]),
                "df": tuple(clause["df"]),
            }
        )
        for clause in raw["clauses"]
    ]
    return MatchSource(**{**raw, "clauses": tuple(clauses)})


def encode_reply(reply: LeafReply) -> bytes:
    """Returns the wire form of a reply. Stored items are embedded as they are, not parsed."""
    return orjson.dumps(
        {
            "answers": [_answer_body(answer) for answer in reply.answers],
            "cold_start": reply.cold_start,
            "opened": reply.opened,
            "held": None if reply.held is None else asdict(reply.held),
            "took_ms": round(reply.took_ms, 3),
            "gb_seconds": reply.gb_seconds,
        }
    )


def _answer_body(answer: LeafAnswer) -> dict[str, Any]:
    if answer.error is not None:
        error = answer.error
        return {"error": {"kind": error.kind, "message": error.message, "retryable": error.retryable}}
    return {
        "hits": [_hit_body(hit) for hit in answer.hits],
        "facets": answer.facets,
        "stats": asdict(answer.stats),
        "strategy": answer.strategy,
    }


def _hit_body(hit: LeafHit) -> list[Any]:
    payload = orjson.Fragment(hit.payload) if hit.payload else None
    vectors = None if hit.vectors is None else {space: encode_vector(v) for space, v in hit.vectors.items()}
    return [hit.id, hit.score, payload, vectors, hit.scores, hit.group]


def is_answer(raw: object) -> TypeGuard[dict[str, Any]]:
    """Returns whether a parsed answer has the wire form of `encode_reply`, an error's excepted."""
    if not isinstance(raw, dict) or not isinstance(raw.get("strategy"), str):
        return False
    hits, stats = raw.get("hits"), raw.get("stats")
    has_stats = isinstance(stats, dict) and all(isinstance(stats.get(spec.name), int) for spec in fields(LeafStats))
    is_whole = has_stats and isinstance(raw.get("facets"), list)
    return is_whole and isinstance(hits, list) and all(map(_is_hit, hits))


def _is_hit(raw: object) -> bool:
    if not isinstance(raw, list) or len(raw) != len(LeafHit._fields):
        return False
    hit_id, score, payload, vectors, scores, _ = raw
    is_scored = isinstance(hit_id, str) and isinstance(score, float | int)
    has_payload = payload is None or (isinstance(payload, dict) and "attributes" in payload)
    has_scores = isinstance(scores, list) and all(isinstance(one, float | int | None) for one in scores)
    return is_scored and has_payload and has_scores and (vectors is None or _are_vectors(vectors))


def _are_vectors(raw: object) -> bool:
    return isinstance(raw, dict) and all(isinstance(text, str) for text in raw.values())
