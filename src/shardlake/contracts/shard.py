"""What the router says to shard_search and hears back: one request a shard, one search or many in it.

The leaf is told everything it needs, byte offsets included, and asks no catalog. Failures of single searches are data.
JSON over the Lambda API; vectors travel as base64 of little-endian float32.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import orjson

from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError
from shardlake.types import Float32Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRef:
    """Where a shard lies: what the shard map says of it."""

    shard_id: int
    key: str
    bytes: int
    tail_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafSearch:
    """One search of one shard.

    Attributes:
        query: (dimension,) float32, prepared for the metric; None looks for what passes the filter, by id.
        lists: the lists to probe, numbered within the shard, nearest first; None when the shard shall choose.
        extents: where each of `lists` lies: offset, bytes, xxh3-64; None where the caller does not know.
        nprobe: how many lists an unfiltered search of all shards probes; under a filter the shard widens it.
        candidates: how many rows the scan hands to the refinement.
        exact: score every row that passes, from full-precision vectors.
        filter: the filter in wire form (`shardlake.query.filter`).
    """

    space: str | None
    query: Float32Array | None
    k: int
    lists: tuple[int, ...] | None = None
    extents: tuple[tuple[int, int, int], ...] | None = None
    nprobe: int = 1
    candidates: int = 100
    exact: bool = False
    filter: list[Any] | None = None
    attributes: bool = True
    vectors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRequest:
    """All searches of one shard, under one deadline."""

    shard: ShardRef
    searches: tuple[LeafSearch, ...]
    timeout_ms: float


@dataclass(slots=True, kw_only=True)
class LeafStats:
    """Counters of one search of one shard. Merge rule: sum."""

    lists_probed: int = 0
    codes_scanned: int = 0
    rows_refined: int = 0
    rows_passing: int = 0
    object_reads: int = 0
    bytes_read: int = 0
    cache_reads: int = 0
    cache_bytes: int = 0


class LeafHit(NamedTuple):
    """One hit; a tuple, since a search makes many.

    `payload` is the stored item's JSON, unparsed; empty when attributes were not asked for.
    """

    id: str
    score: float
    payload: bytes = b""
    vector: Float32Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafAnswer:
    """The best hits of one search in one shard, best first, ties by id; or why there are none."""

    hits: tuple[LeafHit, ...] = ()
    stats: LeafStats = field(default_factory=LeafStats)
    strategy: str = ""
    error: ShardlakeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafReply:
    """The answers to a LeafRequest, in order."""

    answers: tuple[LeafAnswer, ...]
    cold_start: bool = False
    took_ms: float = 0.0
    gb_seconds: float = 0.0


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
    searches = [
        {
            "space": search.space,
            "query": None if search.query is None else encode_vector(search.query),
            "k": search.k,
            "lists": search.lists,
            "extents": search.extents,
            "nprobe": search.nprobe,
            "candidates": search.candidates,
            "exact": search.exact,
            "filter": search.filter,
            "attributes": search.attributes,
            "vectors": search.vectors,
        }
        for search in request.searches
    ]
    return orjson.dumps({"shard": asdict(request.shard), "searches": searches, "timeout_ms": request.timeout_ms})


def decode_request(event: dict[str, Any]) -> LeafRequest:
    """Returns the request in a Lambda event. Raises InvalidInput when it is not one."""
    try:
        return LeafRequest(
            shard=ShardRef(**event["shard"]),
            searches=tuple(_decode_search(search) for search in event["searches"]),
            timeout_ms=float(event["timeout_ms"]),
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise InvalidInput("the event is not a shard request") from exc


def _decode_search(raw: dict[str, Any]) -> LeafSearch:
    query, lists, extents = raw["query"], raw["lists"], raw.get("extents")
    return LeafSearch(
        **{
            **raw,
            "query": None if query is None else decode_vector(query),
            "lists": None if lists is None else tuple(lists),
            "extents": None if extents is None else tuple(tuple(map(int, extent)) for extent in extents),
        }
    )


def encode_reply(reply: LeafReply) -> bytes:
    """Returns the wire form of a reply. Stored items are embedded as they are, not parsed."""
    return orjson.dumps(
        {
            "answers": [_answer_body(answer) for answer in reply.answers],
            "cold_start": reply.cold_start,
            "took_ms": round(reply.took_ms, 3),
            "gb_seconds": reply.gb_seconds,
        }
    )


def _answer_body(answer: LeafAnswer) -> dict[str, Any]:
    if answer.error is not None:
        error = answer.error
        return {"error": {"kind": error.kind, "message": error.message, "retryable": error.retryable}}
    return {"hits": [_hit_body(hit) for hit in answer.hits], "stats": asdict(answer.stats), "strategy": answer.strategy}


def _hit_body(hit: LeafHit) -> list[Any]:
    payload = orjson.Fragment(hit.payload) if hit.payload else None
    return [hit.id, hit.score, payload, None if hit.vector is None else encode_vector(hit.vector)]


def is_answer(raw: object) -> TypeGuard[dict[str, Any]]:
    """Returns whether a parsed answer has the wire form of `encode_reply`, an error's excepted."""
    if not isinstance(raw, dict) or not isinstance(raw.get("strategy"), str):
        return False
    hits, stats = raw.get("hits"), raw.get("stats")
    has_stats = isinstance(stats, dict) and all(isinstance(stats.get(spec.name), int) for spec in fields(LeafStats))
    return has_stats and isinstance(hits, list) and all(map(_is_hit, hits))


def _is_hit(raw: object) -> bool:
    if not isinstance(raw, list) or len(raw) != len(LeafHit._fields):
        return False
    hit_id, score, payload, vector = raw
    is_scored = isinstance(hit_id, str) and isinstance(score, float | int)
    has_payload = payload is None or (isinstance(payload, dict) and "attributes" in payload)
    return is_scored and has_payload and isinstance(vector, str | None)
