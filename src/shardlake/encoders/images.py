"""From a file's bytes to a picture in RGB: bounded before anything is decoded, whatever the bytes are.

What a person would see is what is encoded: turned as EXIF says, transparency on white, the first frame of several.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from shardlake import limits
from shardlake.contracts.pictures import picture_size
from shardlake.encoders.manifest import ImagePart
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import Float32Array

FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
"""The same kinds that contracts.pictures lets in; every further decoder is further surface."""

ORIENTATION_TAG: Final = 0x0112
TURNS: Final = {  # EXIF 2.32, tag Orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MAX_ASPECT: Final = 4  # a strip is cut to its middle: reducing its short edge would make the long one huge

# What Pillow's parsers are known to raise on hostile bytes, besides its own errors.
DECODER_ERRORS: Final = (
    UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip


def decode_image(data: bytes) -> Image.Image:
    """Returns the picture in mode RGB, its sides at most MAX_ASPECT apart.

    Raises:
        InvalidInput: media-too-large (bytes or pixels, before decoding), or invalid-media.

    Cost: 3 to 8 bytes a pixel while decoding.
    """
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise _too_large(f"{limits.MAX_IMAGE_BYTES} bytes", size_bytes=len(data))
    picture_size(data)  # headers, ends and checksums, which Pillow is lenient about
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files: our own bounds decide
            return _decode(data)
    except Image.DecompressionBombError as exc:
        raise _too_large(f"{limits.MAX_IMAGE_PIXELS} pixels") from exc
    except InvalidInput:
        raise
    except DECODER_ERRORS as exc:
        raise InvalidInput("the picture cannot be decoded", kind=ErrorKind.INVALID_MEDIA) from exc


def _decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > limits.MAX_IMAGE_PIXELS:
            raise _too_large(f"{limits.MAX_IMAGE_PIXELS} pixels", width=width, height=height)
        turn = TURNS.get(_orientation(image))
        image.load()
        middle = _middle(image)
        upright = middle if turn is None else middle.transpose(turn)
        return _to_rgb(upright)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except DECODER_ERRORS:  # broken EXIF in a sound picture: it stands as it is
        return 1
    return value if isinstance(value, int) else 1


def _middle(image: Image.Image) -> Image.Image:
    width, height = image.size
    new_width, new_height = min(width, MAX_ASPECT * height), min(height, MAX_ASPECT * width)
    if (new_width, new_height) == (width, height):
        return image
    left, top = (width - new_width) // 2, (height - new_height) // 2
    return image.crop((left, top, left + new_width, top + new_height))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, seen).convert("RGB")
    # A new picture even when the mode is right: the file behind the old one is closed on return.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _from_deep(image: Image.Image) -> Image.Image:
    """Returns a grey picture of 16 bits or more as RGB; Pillow itself would cut its values off at 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    top = max(65_535.0, float(values.max(initial=0.0)))
    grey = np.clip(values / top * 255.0, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _too_large(bound: str, **context: object) -> InvalidInput:
    return InvalidInput(f"the picture has more than {bound}", kind=ErrorKind.MEDIA_TOO_LARGE, **context)


def to_pixels(image: Image.Image, part: ImagePart) -> Float32Array:
    """Returns (3, crop_height, crop_width) float32, as CLIP's image processor makes them of an RGB picture.

    Source: transformers' CLIPImageProcessor (5.23): resize, centre crop, rescale, normalise.
    """
    filter_ = Image.Resampling(part.resample)
    if part.shortest_edge is None:
        resized = image.resize((part.crop_width, part.crop_height), filter_)
    else:
        resized = _centre(image.resize(_reduced(image.size, part.shortest_edge), filter_), part)
    scaled = np.asarray(resized, dtype=np.float32) * np.float32(part.scale)
    mean, deviation = (np.asarray(values, dtype=np.float32) for values in (part.mean, part.deviation))
    return np.ascontiguousarray(((scaled - mean) / deviation).transpose(2, 0, 1))


def _reduced(size: tuple[int, int], shortest: int) -> tuple[int, int]:
    width, height = size
    if width <= height:
        return shortest, int(shortest * height / width)
    return int(shortest * width / height), shortest


def _centre(image: Image.Image, part: ImagePart) -> Image.Image:
    left, top = (image.width - part.crop_width) // 2, (image.height - part.crop_height) // 2
    return image.crop((left, top, left + part.crop_width, top + part.crop_height))
