"""Media that tests hand to encoders: sound ones of every mode, and broken ones."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from shardlake.demo.pictures import generate
from shardlake.types import Float32Array, MediaInput, Modality

GREY_16 = np.linspace(0, 65_535, 48 * 32).reshape(32, 48).astype(np.uint16)


def text(value: str) -> MediaInput:
    return MediaInput(modality=Modality.TEXT, data=value)


def picture(data: bytes) -> MediaInput:
    return MediaInput(modality=Modality.IMAGE, data=data)


def sample() -> Image.Image:
    """A picture that looks different when turned or mirrored."""
    return next(generate(1, seed=12, pixels=96)).image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(sample(), "PNG", exif=exif.tobytes())


def sound_pictures() -> dict[str, bytes]:
    """Pictures of every kind and mode that must encode."""
    image = sample()
    alpha = image.convert("RGBA")
    alpha.putalpha(120)
    return {
        "png": saved(image, "PNG"),
        "jpeg": saved(image, "JPEG", quality=95),
        "jpeg progressive": saved(image, "JPEG", progressive=True),
        "webp": saved(image, "WEBP", lossless=True),
        "webp alpha": saved(alpha, "WEBP", lossless=True),
        "bmp": saved(image, "BMP"),
        "gif": saved(image.quantize(64), "GIF"),
        "gif animated": saved(image.quantize(64), "GIF", save_all=True, append_images=[image.rotate(90).quantize(64)]),
        "png animated": saved(image, "PNG", save_all=True, append_images=[image.rotate(90)]),
        "png palette": saved(image.quantize(32), "PNG"),
        "png palette with a clear colour": saved(image.quantize(32), "PNG", transparency=3),
        "png palette with clear bytes": saved(image.quantize(32), "PNG", transparency=bytes(range(32))),
        "png alpha": saved(alpha, "PNG"),
        "png grey": saved(image.convert("L"), "PNG"),
        "png grey and alpha": saved(alpha.convert("LA"), "PNG"),
        "png 16 bits": saved(Image.fromarray(GREY_16), "PNG"),
        "png 1 bit": saved(image.convert("1"), "PNG"),
        "png rgb with a clear colour": saved(image, "PNG", transparency=(255, 0, 0)),
        "jpeg cmyk": saved(image.convert("CMYK"), "JPEG"),
        "jpeg grey": saved(image.convert("L"), "JPEG"),
        "one pixel": saved(Image.new("RGB", (1, 1), "red"), "PNG"),
        "a strip": saved(Image.new("RGB", (4000, 1), "red"), "PNG"),
        "a column": saved(Image.new("RGB", (1, 4000), "red"), "PNG"),
        "exif that makes no sense": saved(image, "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x00"),
    }


def png_bomb(side: int) -> bytes:
    """A PNG of side × side pixels in a few hundred bytes: its header is true, its data are not all there."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 10_000, 9)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def bad_pictures() -> dict[str, tuple[bytes, str]]:
    """Bytes that no encoder may accept, and the kind of the refusal."""
    png, jpeg = saved(sample(), "PNG"), saved(sample(), "JPEG")
    gif, webp = saved(sample().quantize(16), "GIF"), saved(sample(), "WEBP")
    return {
        "nothing": (b"", "invalid-media"),
        "text": (b"not a picture at all", "invalid-media"),
        "zeros": (bytes(5_000), "invalid-media"),
        "only a magic": (png[:8], "invalid-media"),
        "png cut in its header": (png[:20], "invalid-media"),
        "png cut in half": (png[: len(png) // 2], "invalid-media"),
        "jpeg cut in half": (jpeg[: len(jpeg) // 2], "invalid-media"),
        "jpeg cut in its header": (jpeg[:30], "invalid-media"),
        "gif cut in half": (gif[: len(gif) // 2], "invalid-media"),
        "webp cut in half": (webp[: len(webp) // 2], "invalid-media"),
        "png with a wrong byte": (_flipped(png, len(png) // 2), "invalid-media"),
        "pdf": (b"%PDF-1.7\n" + bytes(200), "invalid-media"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "invalid-media"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "invalid-media"),
        "tiff": (saved(sample(), "TIFF"), "invalid-media"),
        "html": (b"<html>404</html>", "invalid-media"),
        "bomb of 49 million pixels": (png_bomb(7_000), "media-too-large"),
        "bomb of 10 billion pixels": (png_bomb(100_000), "media-too-large"),
        "no width": (png_bomb(0), "invalid-media"),
        "too many bytes": (png + bytes(4 * 1024 * 1024), "media-too-large"),
    }


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def cosines(left: Float32Array, right: Float32Array) -> Float32Array:
    """Returns the cosine of each pair of rows."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return (left * right).sum(axis=1) / lengths
