"""Media as clients give it: what can be known of it without decoding it."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

from shardlake import limits
from shardlake.contracts.encode import ImageModel, MediaModel
from shardlake.contracts.pictures import picture_size
from shardlake.errors import ErrorKind, Forbidden, InvalidInput
from shardlake.types import Modality

INBOX = "inbox/"
"""What the encode function may read of the bucket, beside its models; the same prefix as in format.locations."""


def inbox_of(bucket: str) -> str:
    """Returns the only place that pictures are read from."""
    return f"s3://{bucket}/{INBOX}"


def media_wire(media: MediaModel, modality: Modality, *, inbox: str) -> dict[str, Any]:
    """Returns the encode input for one kind of the media.

    Args:
        inbox: the only place that pictures are read from, s3://bucket/inbox/.

    Raises:
        InvalidInput: invalid-media or media-too-large.
        Forbidden: forbidden-location.
    """
    if modality is Modality.TEXT or media.image is None:
        if not (media.text or "").strip():
            raise InvalidInput("media.text: is blank", kind=ErrorKind.INVALID_MEDIA, at="media.text")
        return {"text": media.text}
    check_image(media.image, inbox=inbox)
    return {"image": media.image.model_dump(exclude_none=True)}


def check_image(image: ImageModel, *, inbox: str) -> None:
    """Checks what can be known of a picture without decoding it. Raises as `media_wire` does."""
    if image.base64 is not None:
        picture_size(image_bytes(image.base64))
    elif image.s3 is not None and not _is_inside(image.s3, inbox):
        raise Forbidden(f"pictures are read from {inbox} only", kind=ErrorKind.FORBIDDEN_LOCATION, at="media.image.s3")


def image_bytes(text: str) -> bytes:
    """Returns the bytes in base64. Raises InvalidInput (invalid-media, media-too-large)."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(
            "media.image.base64: is not base64", kind=ErrorKind.INVALID_MEDIA, at="media.image.base64"
        ) from exc
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise InvalidInput(
            f"media.image: is larger than {limits.MAX_IMAGE_BYTES} bytes", kind=ErrorKind.MEDIA_TOO_LARGE
        )
    return data


def _is_inside(location: str, inbox: str) -> bool:
    path = location.removeprefix(inbox)
    return len(path) < len(location) and bool(path) and ".." not in path.split("/")
