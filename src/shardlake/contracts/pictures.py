"""What a picture's bytes say of themselves, read without decoding: its kind, its size, and whether its end is there.

The api function has no decoder, so that a hostile picture meets none there; what passes here and still cannot be
decoded is refused by the encode function and lands in rejected/.

| kind | size from | the end |
|---|---|---|
| PNG | IHDR | every chunk whole, checksums right, IEND last (PNG specification §5) |
| JPEG | SOFn | an EOI marker after the first scan (ITU-T T.81 annex B) |
| GIF | logical screen | the trailer 0x3B (GIF89a §27) |
| WebP | VP8, VP8L, VP8X | RIFF says how long it is (RFC 9649 §2) |
| BMP | DIB header | the file header says how long it is |
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
GIF_MAGICS = (b"GIF87a", b"GIF89a")
RIFF_MAGIC = b"RIFF"
WEBP_MAGIC = b"WEBP"
BMP_MAGIC = b"BM"

# SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """How many pixels a decoder would make of it."""
        return self.width * self.height


def picture_size(data: bytes) -> PictureSize:
    """Returns a picture's size.

    Raises:
        InvalidInput: invalid-media, when it is of no known kind, broken or cut short; media-too-large, when decoding
            it would make more than MAX_IMAGE_PIXELS.

    Cost: reads headers; of a PNG every byte, for its checksums.
    """
    try:
        size = _reader(data)(data)
    except (struct.error, IndexError) as exc:
        raise _broken("ends within a header") from exc
    if size.width < 1 or size.height < 1:
        raise _broken("has no pixels")
    if size.pixels > limits.MAX_IMAGE_PIXELS:
        raise InvalidInput(
            f"the picture has more than {limits.MAX_IMAGE_PIXELS} pixels",
            kind=ErrorKind.MEDIA_TOO_LARGE,
            width=size.width,
            height=size.height,
        )
    return size


def _reader(data: bytes) -> Callable[[bytes], PictureSize]:
    if data.startswith(PNG_MAGIC):
        return _png
    if data.startswith(JPEG_MAGIC):
        return _jpeg
    if data.startswith(GIF_MAGICS):
        return _gif
    if data.startswith(RIFF_MAGIC) and data[8:12] == WEBP_MAGIC:
        return _webp
    if data.startswith(BMP_MAGIC):
        return _bmp
    raise _broken("is no PNG, JPEG, GIF, WebP or BMP")


def _png(data: bytes) -> PictureSize:
    if data[12:16] != b"IHDR":
        raise _broken("has no header")
    width, height = struct.unpack_from(">II", data, 16)
    at, kind = len(PNG_MAGIC), b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(memoryview(data)[at + 4 : at + 8 + length]) != checksum:
            raise _broken("has a wrong checksum")
        at += 12 + length
    return PictureSize(width, height)


def _jpeg(data: bytes) -> PictureSize:
    at, size = 2, None
    while True:
        if data[at] != 0xFF:
            raise _broken("has no marker where one must be")
        code = data[at + 1]
        if code == 0xFF:  # fill bytes may stand before a marker
            at += 1
        elif code in _JPEG_BARE:
            at += 2
        elif code == _JPEG_SCAN:
            break
        else:
            if code in _JPEG_FRAMES:
                height, width = struct.unpack_from(">HH", data, at + 5)
                size = PictureSize(width, height)
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    if size is None or data.find(_JPEG_END, at) < 0:
        raise _broken("is cut short")
    return size


def _gif(data: bytes) -> PictureSize:
    if not data.rstrip(b"\x00").endswith(b"\x3b"):
        raise _broken("is cut short")
    return PictureSize(*struct.unpack_from("<HH", data, 6))


def _webp(data: bytes) -> PictureSize:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise _broken("is cut short")
    kind = data[12:16]
    if kind == b"VP8X":
        return PictureSize(1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little"))
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return PictureSize((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return PictureSize(width & 0x3FFF, height & 0x3FFF)
    raise _broken("has no picture chunk")


def _bmp(data: bytes) -> PictureSize:
    if struct.unpack_from("<I", data, 2)[0] > len(data):
        raise _broken("is cut short")
    width, height = struct.unpack_from("<ii", data, 18)
    return PictureSize(width, abs(height))


def _broken(problem: str) -> InvalidInput:
    return InvalidInput(f"the picture {problem}", kind=ErrorKind.INVALID_MEDIA)
