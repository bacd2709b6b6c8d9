"""What a caller may ask, turned into the contract's JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector: TypeAlias = Sequence[float] | npt.NDArray[np.floating[Any]]

MediaFile: TypeAlias = str | Path | bytes
"""A picture, a recording or a film: the path of its file, or its bytes."""

# Room for the API's answer to travel after the search's own deadline.
ANSWER_MARGIN_S = 5.0


class SearchParameters(TypedDict, total=False):
    """Everything a search may say; the names are the contract's. What is absent is the server's to decide.

    Attributes:
        text: words to search by.
        image: a picture to search by: a path, or the bytes of a file.
        vector: vectors to search by, by space.
        like, unlike: ids of items: more like these, less like those.
        spaces: which spaces to search, where several could answer.
        weights: how much each of text, image, vector, like and match counts.
        space_weights: how much each space, and match, counts with fusion weighted or rrf.
        fusion: how the scores of several spaces, and of match, become one: mean, weighted, max or rrf.
        match: words to be found in text attributes, such as {"title": 'boots "red leather"'}.
        filter: conditions on attributes, such as {"price": {"$lte": 100}}.
        k: how many hits, or groups.
        cursor: of the answer before, for the page after it.
        recall: the share of true neighbours wanted, in (0, 1]; 1 is exact.
        nprobe: how many lists to probe, instead of what the recall asks for.
        rank: an expression that takes the place of the score, such as "score + 0.1 * log(1 + stock)".
        group_by: {"attribute": "brand", "size": 2}: the best hits of each value.
        facets: attributes to be counted: names, or {"attribute", "bins" or "limit", "stats"}.
        diversity: from 0, the best hits, to 1, hits that are not like each other.
        include: what comes with a hit: attributes, scores, vectors.
        timeout_ms: when the answer must be there, complete or partial.
        require_complete: an incomplete answer is an error.
        explain: the answer says how it was planned.
    """

    text: str | None
    image: MediaFile | None
    audio: MediaFile | None
    video: MediaFile | None
    vector: Mapping[str, Vector] | None
    like: Sequence[str] | None
    unlike: Sequence[str] | None
    weights: Mapping[str, float] | None
    spaces: Sequence[str] | None
    space_weights: Mapping[str, float] | None
    fusion: Literal["mean", "weighted", "max", "rrf"] | None
    match: Mapping[str, str] | None
    filter: Mapping[str, Any] | None
    k: int | None
    cursor: str | None
    recall: float | None
    nprobe: int | None
    timeout_ms: int | None
    consistency: Literal["strong", "eventual"] | None
    require_complete: bool | None
    rank: str | None
    group_by: Mapping[str, Any] | None
    facets: Sequence[str | Mapping[str, Any]] | None
    diversity: float | None
    include: Sequence[str] | None
    explain: bool | None


_MEDIA_FIELDS = ("image", "audio", "video")
_QUERY_FIELDS = ("text", *_MEDIA_FIELDS, "vector", "like", "unlike", "weights", "spaces", "space_weights")


def search_body(parameters: SearchParameters) -> dict[str, Any]:
    """Returns the JSON body of a search.

    Raises:
        InvalidInput: invalid-request for a name that no search has; invalid-media or media-too-large for a picture.
    """
    unknown = sorted(parameters.keys() - SearchParameters.__annotations__.keys())
    if unknown:
        raise InvalidInput(
            f"a search has no parameter called {unknown[0]}", known=sorted(SearchParameters.__annotations__)
        )
    given: dict[str, Any] = {name: value for name, value in parameters.items() if value is not None}
    for name in _MEDIA_FIELDS:
        if name in given:
            given[name] = media_input(given[name])
    if "vector" in given:
        given["vector"] = _vectors_by_space(given["vector"])
    query = {name: given.pop(name) for name in _QUERY_FIELDS if name in given}
    return ({"query": query} if query else {}) | given


def search_timeout_s(parameters: SearchParameters) -> float:
    """Returns how long to wait for a search's answer."""
    return (parameters.get("timeout_ms") or limits.MAX_TIMEOUT_MS) / 1000 + ANSWER_MARGIN_S


def media_input(media: MediaFile) -> dict[str, str]:
    """Returns a file as the contract carries media: {"base64": …}."""
    data = media if isinstance(media, bytes) else _read(Path(media))
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise InvalidInput(
            f"a file to search by may have {limits.MAX_IMAGE_BYTES} bytes",
            kind=ErrorKind.MEDIA_TOO_LARGE,
            size_bytes=len(data),
        )
    return {"base64": base64.b64encode(data).decode()}


def encode_input(value: str | Path | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns one input of POST encode: a str is text, a Path or bytes a picture, a mapping itself."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Path | bytes):
        return {"image": media_input(value)}
    return value


def _vectors_by_space(vectors: object) -> Mapping[str, object]:
    if not isinstance(vectors, Mapping):
        raise InvalidInput('vectors are given by space: vector={"NAME": [0.1, …]}', kind=ErrorKind.INVALID_VECTOR)
    return vectors


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"cannot read {path}: {exc.strerror}", kind=ErrorKind.INVALID_MEDIA) from exc
