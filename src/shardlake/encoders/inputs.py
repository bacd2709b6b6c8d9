"""What both backends do with their inputs before a model sees them: check each, then work in bounded batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError
from shardlake.types import Float32Array, MediaInput, Modality

MAX_IMAGES_PER_BATCH: Final = 32  # of 224 × 224: 19 MB of pixels
MAX_TEXTS_PER_BATCH: Final = 64
MAX_TOKENS_PER_BATCH: Final = 4_096  # texts × longest text, padding included: activations stay under 100 MB

Prepared = TypeVar("Prepared")
ErrorT = TypeVar("ErrorT", bound=ShardlakeError)


def text_of(item: MediaInput) -> str:
    """Returns the text of an input. Raises InvalidInput (invalid-media, media-too-large)."""
    if not isinstance(item.data, str):
        raise InvalidInput("a text must be text, not bytes", kind=ErrorKind.INVALID_MEDIA)
    if len(item.data) > limits.MAX_TEXT_CHARS:
        raise InvalidInput(f"the text has more than {limits.MAX_TEXT_CHARS} characters", kind=ErrorKind.MEDIA_TOO_LARGE)
    try:
        item.data.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput("the text has half a surrogate pair", kind=ErrorKind.INVALID_MEDIA) from exc
    return item.data


def bytes_of(item: MediaInput) -> bytes:
    """Returns the bytes of an input. Raises InvalidInput (invalid-media)."""
    if not isinstance(item.data, bytes):
        raise InvalidInput("a picture must be bytes, not text", kind=ErrorKind.INVALID_MEDIA)
    return item.data


def prepare_each(
    indexes: Sequence[int], inputs: Sequence[MediaInput], prepare: Callable[[MediaInput], Prepared]
) -> list[Prepared]:
    """Returns the prepared inputs at `indexes`.

    Raises:
        InvalidInput: the first failure with its `index`, and `errors` with [{index, kind, message}] of all of them,
            so that a caller can leave out every bad input at once.
    """
    prepared: list[Prepared] = []
    failures: list[tuple[int, InvalidInput]] = []
    for index in indexes:
        try:
            prepared.append(prepare(inputs[index]))
        except InvalidInput as error:
            failures.append((index, error))
    if failures:
        raise refused(failures)
    return prepared


def refused(failures: Sequence[tuple[int, ErrorT]]) -> ErrorT:
    """Returns one error for all bad inputs: the first one's, with `index` and `errors`."""
    index, first = failures[0]
    errors = [{"index": at, "kind": str(error.kind), "message": error.message} for at, error in failures]
    context = {name: value for name, value in first.context.items() if name not in {"index", "errors"}}
    return type(first)(first.message, kind=first.kind, index=index, errors=errors, **context)


def by_modality(inputs: Sequence[MediaInput], known: frozenset[Modality], *, encoder: str) -> dict[Modality, list[int]]:
    """Returns which inputs are of which kind.

    Raises:
        InvalidInput: unknown-modality, with the `index` of the first input that the encoder does not read.
    """
    groups: dict[Modality, list[int]] = {}
    for index, item in enumerate(inputs):
        if item.modality not in known:
            raise InvalidInput(
                f"the encoder {encoder} does not read {item.modality}",
                kind=ErrorKind.UNKNOWN_MODALITY,
                index=index,
                reads=sorted(known),
            )
        groups.setdefault(item.modality, []).append(index)
    return groups


def length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields positions in batches of like lengths, longest first, so that little is spent on padding."""
    batch: list[int] = []
    widest = 0
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) == MAX_TEXTS_PER_BATCH or (len(batch) + 1) * widest > MAX_TOKENS_PER_BATCH):
            yield batch
            batch = []
        if not batch:
            widest = lengths[position]
        batch.append(position)
    if batch:
        yield batch


def fixed_batches(indexes: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yields the indexes in batches of pictures."""
    for start in range(0, len(indexes), MAX_IMAGES_PER_BATCH):
        yield indexes[start : start + MAX_IMAGES_PER_BATCH]


def unit(vectors: Float32Array) -> Float32Array:
    """Returns the rows at length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32Array = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
