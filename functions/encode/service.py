"""Media to vectors: one service behind two doors, a Lambda handler and SageMaker's container contract.

request  {"encoder": "clip", "inputs": [{"text": …} | {"image": {"base64": …} | {"s3": …}}], "timeout_ms": 5000}
answer   {"vectors": base64 of float32 (n, d), "count": n, "dimension": d, "model": {"encoder", "name", "digest"}}
request  {"describe": true}
answer   {"encoders": [{"name", "dimension", "modalities", "digest"}], "unavailable": [{"name", "kind", "message"}]}
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field

from shardlake import limits
from shardlake.contracts.common import StrictModel, validated
from shardlake.contracts.encode import ImageModel, InputModel
from shardlake.contracts.media import check_image, image_bytes, inbox_of
from shardlake.deadline import Clock, Deadline
from shardlake.encoders.base import Encoder
from shardlake.encoders.inputs import refused
from shardlake.encoders.registry import EncoderRegistry
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError
from shardlake.store.base import ObjectStore
from shardlake.types import Float32Array, MediaInput, Modality

INPUTS_AT_ONCE: Final = 32  # of pictures at most 128 MB of files are held, and the deadline is looked at in between
READS_AT_ONCE: Final = 8
MAX_TIMEOUT_MS: Final = 120_000  # ingest waits longer than a caller of the API can

Answer = dict[str, Any]


class DescribeModel(StrictModel):
    """The request for what there is."""

    describe: bool


class EncodeRequestModel(StrictModel):
    """A request for vectors; each input is validated by itself, so that its error has its `index`."""

    encoder: Annotated[str, Field(min_length=1, max_length=limits.MAX_NAME_LENGTH)]
    inputs: Annotated[list[object], Field(min_length=1, max_length=limits.MAX_INPUTS_PER_ENCODE)]
    timeout_ms: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)] = limits.DEFAULT_TIMEOUT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeService:
    """What both doors answer with.

    Attributes:
        bucket: the only one that pictures are read from; empty: none is.
    """

    registry: EncoderRegistry
    store: ObjectStore
    bucket: str
    clock: Clock

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """Returns the answer to either request.

        Raises:
            InvalidInput: invalid-request, unknown-encoder; with `index`, and `errors` for all bad inputs of a part:
                unknown-modality, invalid-media, media-too-large.
            Forbidden: forbidden-location, with `index`.
            NotFound: object-not-found, with `index`.
            Unavailable: encoder-unavailable, or the store's.
            DeadlineExceeded: when the time is gone between two parts of the work.
        """
        if "describe" in request:
            return self.describe() if validated(DescribeModel, dict(request)).describe else {"encoders": []}
        return self.encode(validated(EncodeRequestModel, dict(request)))

    def describe(self) -> Answer:
        """Returns what is known of each encoder; those that cannot be loaded are named with the reason."""
        found, missing = self.registry.describe()
        encoders = [
            {"name": f.name, "dimension": f.dimension, "modalities": sorted(f.modalities), "digest": f.digest}
            for f in found
        ]
        unavailable = [
            {"name": name, "kind": str(error.kind), "message": error.message} for name, error in missing.items()
        ]
        return {"encoders": encoders, "unavailable": unavailable}

    def encode(self, request: EncodeRequestModel) -> Answer:
        """Returns the vectors of all inputs, in order."""
        deadline = Deadline.after(request.timeout_ms, clock=self.clock)
        encoder = self.registry.get(request.encoder)
        models = _each(request.inputs, 0, lambda raw: _input_model(raw, encoder))
        parts: list[Float32Array] = []
        for start in range(0, len(models), INPUTS_AT_ONCE):
            deadline.check("encode media")
            part = self._read(models[start : start + INPUTS_AT_ONCE], start, deadline)
            parts.append(_encode(encoder, part, start))
        return _answer(np.concatenate(parts), encoder)

    def _read(self, models: Sequence[InputModel], start: int, deadline: Deadline) -> list[MediaInput]:
        if not any(model.image is not None and model.image.s3 is not None for model in models):
            return _each(models, start, lambda model: self._input(model, deadline))
        with ThreadPoolExecutor(READS_AT_ONCE) as threads:
            futures = [threads.submit(self._input, model, deadline) for model in models]
        return _each(futures, start, lambda future: future.result())

    def _input(self, model: InputModel, deadline: Deadline) -> MediaInput:
        if model.image is None:
            return MediaInput(modality=Modality.TEXT, data=model.text or "")
        return MediaInput(modality=Modality.IMAGE, data=self._picture(model.image, deadline))

    def _picture(self, image: ImageModel, deadline: Deadline) -> bytes:
        if image.base64 is not None:
            return image_bytes(image.base64)
        check_image(image, inbox=inbox_of(self.bucket))
        key = str(image.s3).removeprefix(f"s3://{self.bucket}/")
        try:
            return self.store.get(key, max_bytes=limits.MAX_IMAGE_BYTES, deadline=deadline)
        except InvalidInput as error:
            message = f"the picture has more than {limits.MAX_IMAGE_BYTES} bytes"
            raise InvalidInput(message, kind=ErrorKind.MEDIA_TOO_LARGE) from error


def _input_model(raw: object, encoder: Encoder) -> InputModel:
    model = validated(InputModel, raw, kind=ErrorKind.INVALID_MEDIA)
    (modality,) = model.kinds()
    if modality not in encoder.modalities:
        raise InvalidInput(
            f"the encoder {encoder.name} does not read {modality}",
            kind=ErrorKind.UNKNOWN_MODALITY,
            reads=sorted(encoder.modalities),
        )
    return model


def _encode(encoder: Encoder, inputs: Sequence[MediaInput], start: int) -> Float32Array:
    try:
        return encoder.encode(inputs)
    except InvalidInput as error:
        raise _shifted(error, start) from error


def _shifted(error: InvalidInput, start: int) -> InvalidInput:
    """Returns the error with the indexes of the whole request instead of those of one part."""
    moved = dict(error.context)
    if isinstance(index := moved.get("index"), int):
        moved["index"] = index + start
    if isinstance(errors := moved.get("errors"), list):
        moved["errors"] = [{**entry, "index": entry["index"] + start} for entry in errors]
    return InvalidInput(error.message, kind=error.kind, **moved)


def _each(values: Sequence[Any], start: int, make: Callable[[Any], Any]) -> list[Any]:
    made: list[Any] = []
    failures: list[tuple[int, ShardlakeError]] = []
    for index, value in enumerate(values, start=start):
        try:
            made.append(make(value))
        except ShardlakeError as error:
            if error.http_status >= 500 or error.retryable:  # the store's failure, not this input's
                raise
            failures.append((index, error))
    if failures:
        raise refused(failures)
    return made


def _answer(vectors: Float32Array, encoder: Encoder) -> Answer:
    return {
        "vectors": b64encode(vectors.astype("<f4").tobytes()).decode(),
        "count": len(vectors),
        "dimension": encoder.dimension,
        "model": {"encoder": encoder.name, "name": encoder.name, "digest": encoder.digest},
    }
