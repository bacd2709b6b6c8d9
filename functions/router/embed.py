"""Query vectors: what must be encoded is encoded, one call an encoder, and kinds of one space are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from functions.router.request import Asked
from shardlake.contracts.encode import decode_encode_answer, encode_message
from shardlake.core.vectors import prepare
from shardlake.deadline import Deadline
from shardlake.errors import Conflict, ErrorKind, FormatError, ShardlakeError
from shardlake.rpc.base import Invoker
from shardlake.types import Float32Array, Metric

ENCODE_MARGIN_MS = 20  # of the deadline: the way back

Embedded = Float32Array | None | ShardlakeError
"""The prepared query vector; None for a search by filter alone; or why there is none."""


def embed(
    asked: Sequence[Asked], invoker: Invoker, function: str, deadline: Deadline, digests: Mapping[str, str | None]
) -> tuple[list[Embedded], int]:
    """Returns the query vector of each search, and how many calls that took. Failures are data.

    Args:
        asked: the searches.
        invoker: calls functions.
        function: the name of the encode function.
        deadline: of the request.
        digests: {space: digest of the encoder that made its vectors}: a query encoded by another one is refused, since
            its distances would mean nothing.
    """
    wanted: dict[str, list[tuple[int, str]]] = {}
    for number, search in enumerate(asked):
        for kind in search.media:
            assert search.space is not None
            assert search.space.encoder is not None
            wanted.setdefault(search.space.encoder, []).append((number, kind))
    vectors: dict[tuple[int, str], Float32Array] = {}
    failed: dict[int, ShardlakeError] = {}
    for encoder, places in wanted.items():
        _encode(encoder, places, asked, (invoker, function, deadline), (digests, vectors), failed)
    return [failed.get(number) or _fused(number, search, vectors) for number, search in enumerate(asked)], len(wanted)


def _encode(  # noqa: PLR0917  # private: one caller
    encoder: str,
    places: Sequence[tuple[int, str]],
    asked: Sequence[Asked],
    call: tuple[Invoker, str, Deadline],
    made: tuple[Mapping[str, str | None], dict[tuple[int, str], Float32Array]],
    failed: dict[int, ShardlakeError],
) -> None:
    invoker, function, deadline = call
    digests, vectors = made
    inputs = [asked[number].media[kind] for number, kind in places]
    allowed = deadline.shortened(ENCODE_MARGIN_MS)
    try:
        answer = invoker.invoke(
            function, encode_message(encoder, inputs, timeout_ms=allowed.remaining_ms()), deadline=deadline
        )
        decoded = decode_encode_answer(answer, count=len(places))
        found = _fitting(decoded.vectors, asked[places[0][0]])
    except ShardlakeError as error:
        # One bad picture fails the whole call; the searches of the others are asked again without it.
        culprit = error.context.get("index")
        bad = {places[culprit][0]} if isinstance(culprit, int) and culprit < len(places) else {n for n, _ in places}
        failed.update(dict.fromkeys(bad, error))
        rest = [place for place in places if place[0] not in bad]
        if rest:
            _encode(encoder, rest, asked, call, made, failed)
        return
    vectors.update(zip(places, found, strict=True))
    for number, _ in places:
        changed = _changed(asked[number], decoded.model.get("digest"), digests)
        if changed is not None:
            failed[number] = changed


def _changed(search: Asked, digest: str | None, digests: Mapping[str, str | None]) -> ShardlakeError | None:
    assert search.space is not None
    expected = digests.get(search.space.name)
    if expected is None or digest == expected:
        return None
    return Conflict(
        f"the items of the space {search.space.name} were encoded by another model than the deployment has now: "
        "take them in again and build",
        kind=ErrorKind.ENCODER_CHANGED,
        space=search.space.name,
    )


def _fitting(vectors: Float32Array, search: Asked) -> Float32Array:
    if search.space is None or vectors.shape[1] != search.space.dimension:
        raise FormatError("the encode function answered vectors of another dimension than the space has")
    return vectors


def _fused(number: int, search: Asked, vectors: Mapping[tuple[int, str], Float32Array]) -> Float32Array | None:
    space = search.space
    if space is None:
        return None
    kinds = {kind: vectors[number, kind] for kind in search.media}
    if search.vector is not None:
        kinds["vector"] = search.vector
    if len(kinds) == 1:
        (vector,) = kinds.values()
        return np.asarray(prepare(vector[None], space.metric)[0])
    # Each kind counts by its direction: a long vector must not outweigh the others.
    rows = prepare(np.stack(list(kinds.values())), Metric.COSINE)
    weights = np.asarray([search.weights[kind] for kind in kinds], np.float64)
    # By the largest first: the sum of huge weights is no number, and tiny ones are none in float32.
    weights /= weights.max()
    fused = (weights / weights.sum()) @ rows
    return np.asarray(prepare(fused[None].astype(np.float32), space.metric)[0])
