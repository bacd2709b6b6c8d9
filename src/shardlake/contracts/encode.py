"""Encoding: the public request of POST /v1/encode, and what functions say to the encode function.

Vectors travel between functions as base64 of little-endian float32 (n, dimension), C order.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import Field, model_validator

from shardlake import limits
from shardlake.contracts.common import Name, StrictModel
from shardlake.errors import ErrorKind, FormatError, from_body
from shardlake.types import Float32Array, Modality

MAX_BASE64_CHARS = (limits.MAX_IMAGE_BYTES + 2) // 3 * 4
MAX_LOCATION_CHARS = 2_048

DESCRIBE = orjson.dumps({"describe": True})
"""The message that asks the encode function which encoders it has."""


class ImageModel(StrictModel):
    """A picture: its bytes in base64, or an object of the deployment's own inbox."""

    base64: Annotated[str, Field(min_length=1, max_length=MAX_BASE64_CHARS)] | None = None
    s3: Annotated[str, Field(min_length=1, max_length=MAX_LOCATION_CHARS)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ImageModel:
        if (self.base64 is None) == (self.s3 is None):
            raise ValueError("give either base64 or s3")
        return self


class MediaModel(StrictModel):
    """Media to encode, by kind."""

    text: Annotated[str, Field(min_length=1, max_length=limits.MAX_TEXT_CHARS)] | None = None
    image: ImageModel | None = None
    audio: dict[str, Any] | None = None
    video: dict[str, Any] | None = None

    def kinds(self) -> list[Modality]:
        """Returns the kinds that are given."""
        return [kind for kind in Modality if getattr(self, kind.value) is not None]


class InputModel(MediaModel):
    """One input: exactly one kind of media."""

    @model_validator(mode="after")
    def _one_kind(self) -> InputModel:
        if len(self.kinds()) != 1:
            raise ValueError("give exactly one of text, image, audio and video")
        return self


class EncodeModel(StrictModel):
    """The body of POST /v1/encode.

    `space` names an encoder, or a space of `collection`, or both as collection/space.
    """

    space: Annotated[str, Field(min_length=1, max_length=2 * limits.MAX_NAME_LENGTH + 1)]
    collection: Name | None = None
    inputs: Annotated[list[InputModel], Field(min_length=1, max_length=limits.MAX_INPUTS_PER_ENCODE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInfo:
    """What the encode function says of one encoder. Vectors of one `digest` are comparable."""

    name: str
    dimension: int
    modalities: frozenset[Modality]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeAnswer:
    """What the encode function answered: (n, dimension) unit vectors, in the order of the inputs."""

    vectors: Float32Array
    model: dict[str, str]


def encode_message(encoder: str, inputs: Sequence[Mapping[str, object]], *, timeout_ms: float) -> bytes:
    """Returns the message that asks for vectors; `inputs` are of the contract's form."""
    return orjson.dumps({"encoder": encoder, "inputs": list(inputs), "timeout_ms": int(timeout_ms)})


def decode_encode_answer(payload: bytes, *, count: int) -> EncodeAnswer:
    """Returns the vectors in an answer of the encode function.

    Raises:
        ShardlakeError: the one that the function answered with; InvalidInput has `index` among its details.
        FormatError: malformed-file, when the answer is not one, or not of `count` vectors.
    """
    answer = _answer(payload)
    try:
        flat = np.frombuffer(b64decode(answer["vectors"], validate=True), "<f4").astype(np.float32)
        vectors = flat.reshape(int(answer["count"]), int(answer["dimension"]))
        model = {str(name): str(value) for name, value in answer["model"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise _malformed("the encode function answered no vectors") from exc
    if len(vectors) != count or not np.isfinite(vectors).all():
        raise _malformed("the encode function answered other vectors than were asked for")
    return EncodeAnswer(vectors=vectors, model=model)


def decode_description(payload: bytes) -> dict[str, EncoderInfo]:
    """Returns the encoders in the answer to DESCRIBE, by name. Raises as `decode_encode_answer` does."""
    answer = _answer(payload)
    try:
        infos = [
            EncoderInfo(
                name=str(raw["name"]),
                dimension=int(raw["dimension"]),
                modalities=frozenset(Modality(kind) for kind in raw["modalities"]),
                digest=str(raw["digest"]),
            )
            for raw in answer["encoders"]
        ]
    except (KeyError, TypeError, ValueError) as exc:
        raise _malformed("the encode function answered no description") from exc
    return {info.name: info for info in infos}


def _answer(payload: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        raise _malformed("the encode function answered no JSON") from exc
    if not isinstance(answer, dict):
        raise _malformed("the encode function answered no JSON object")
    if "error" in answer:
        raise from_body(answer)
    return answer


def _malformed(message: str) -> FormatError:
    return FormatError(message, kind=ErrorKind.MALFORMED_FILE)
