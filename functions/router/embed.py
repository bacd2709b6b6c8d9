"""Query vectors: what must be encoded is encoded, one call an encoder, and kinds of one space are fused."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from functions.router.request import Asked
from functions.router.spaces import LIKE, VECTOR, SpaceAsked
from shardlake.contracts.encode import decode_encode_answer, encode_message
from shardlake.core.vectors import prepare
from shardlake.deadline import Deadline
from shardlake.errors import Conflict, ErrorKind, FormatError, ShardlakeError
from shardlake.rpc.base import Invoker
from shardlake.types import Float32Array, Metric

ENCODE_MARGIN_MS = 20  # of the deadline: the way back

Vectors = Mapping[str, Float32Array]
"""By space."""


@dataclass(slots=True, kw_only=True)
class Embedded:
    """What the encoders made.

    Attributes:
        queries: the prepared query vectors of each search, by space.
        failed: why a search has none.
        calls: made to the encode function.
    """

    queries: dict[int, Vectors] = field(default_factory=dict)
    failed: dict[int, ShardlakeError] = field(default_factory=dict)
    calls: int = 0


@dataclass(frozen=True, slots=True)
class _Encoding:
    """One request's encoding: whom to call, and what was made so far, by (search, encoder, kind)."""

    asked: Mapping[int, Asked]
    call: tuple[Invoker, str, Deadline]
    digests: Mapping[str, Collection[str]]
    made: dict[tuple[int, str, str], Float32Array]
    failed: dict[int, ShardlakeError]


def embed(
    asked: Mapping[int, Asked],
    examples: Mapping[int, Vectors],
    call: tuple[Invoker, str, Deadline],
    digests: Mapping[str, Collection[str]],
) -> Embedded:
    """Returns the query vectors of each search. Failures are data.

    Args:
        asked: the searches, by number.
        examples: the vectors of `like` and `unlike`, where a search has them.
        call: who calls functions, the name of the encode function, and the deadline of the request.
        digests: {space: of the encoders that made its vectors}: a query encoded by another one is refused, since its
            distances would mean nothing.
    """
    wanted: dict[str, dict[tuple[int, str], None]] = {}
    for number, search in asked.items():
        for one in search.spaces:
            if one.space.encoder is not None:
                wanted.setdefault(one.space.encoder, {}).update({(number, kind): None for kind in one.kinds})
    wanted = {encoder: places for encoder, places in wanted.items() if places}
    encoding = _Encoding(asked, call, digests, {}, {})
    for encoder, places in wanted.items():
        _encode(encoding, encoder, list(places))
    found = Embedded(failed=encoding.failed, calls=len(wanted))
    for number, search in asked.items():
        if number not in found.failed:
            _fuse(number, search, encoding, examples.get(number, {}), found)
    return found


def _encode(encoding: _Encoding, encoder: str, places: Sequence[tuple[int, str]]) -> None:
    invoker, function, deadline = encoding.call
    inputs = [encoding.asked[number].media[kind] for number, kind in places]
    allowed = deadline.shortened(ENCODE_MARGIN_MS)
    try:
        answer = invoker.invoke(
            function, encode_message(encoder, inputs, timeout_ms=allowed.remaining_ms()), deadline=deadline
        )
        decoded = decode_encode_answer(answer, count=len(places))
    except ShardlakeError as error:
        # One bad picture fails the whole call; the searches of the others are asked again without it.
        culprit = error.context.get("index")
        bad = {places[culprit][0]} if isinstance(culprit, int) and culprit < len(places) else {n for n, _ in places}
        encoding.failed.update(dict.fromkeys(bad, error))
        rest = [place for place in places if place[0] not in bad]
        if rest:
            _encode(encoding, encoder, rest)
        return
    for (number, kind), vector in zip(places, decoded.vectors, strict=True):
        encoding.made[number, encoder, kind] = vector
    for number in {number for number, _ in places}:
        changed = _changed(encoding, number, encoder, decoded.model.get("digest"))
        if changed is not None:
            encoding.failed[number] = changed


def _changed(encoding: _Encoding, number: int, encoder: str, digest: str | None) -> ShardlakeError | None:
    names = [one.space.name for one in encoding.asked[number].spaces if one.space.encoder == encoder and one.kinds]
    changed = [name for name in names if set(encoding.digests.get(name, ())) - {digest}]
    if not changed:
        return None
    return Conflict(
        f"the items of the space {changed[0]} were encoded by another model than the deployment has now: "
        "take them in again and build",
        kind=ErrorKind.ENCODER_CHANGED,
        space=changed[0],
    )


def _fuse(number: int, search: Asked, encoding: _Encoding, examples: Vectors, found: Embedded) -> None:
    queries: dict[str, Float32Array] = {}
    for one in search.spaces:
        kinds = {kind: encoding.made[number, str(one.space.encoder), kind] for kind in one.kinds}
        if any(vector.shape != (one.space.dimension,) for vector in kinds.values()):
            message = "the encode function answered vectors of another dimension than the space has"
            found.failed[number] = FormatError(message)
            return
        if one.vector is not None:
            kinds[VECTOR] = one.vector
        if one.space.name in examples:
            kinds[LIKE] = examples[one.space.name]
        queries[one.space.name] = _fused(one, kinds)
    found.queries[number] = queries


def _fused(one: SpaceAsked, kinds: Mapping[str, Float32Array]) -> Float32Array:
    metric = one.space.metric
    if len(kinds) == 1:
        (vector,) = kinds.values()
        return np.asarray(prepare(vector[None], metric)[0])
    # Each kind counts by its direction: a long vector must not outweigh the others.
    rows = prepare(np.stack(list(kinds.values())), Metric.COSINE)
    weights = np.asarray([one.weights[kind] for kind in kinds], np.float64)
    # By the largest first: the sum of huge weights is no number, and tiny ones are none in float32.
    weights /= weights.max()
    fused = (weights / weights.sum()) @ rows
    return np.asarray(prepare(fused[None].astype(np.float32), metric)[0])
