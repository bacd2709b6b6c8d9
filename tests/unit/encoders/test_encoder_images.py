from __future__ import annotations

import random

import numpy as np
import pytest
from encoder_media import bad_pictures, png_bomb, sample, saved, sound_pictures, turned
from PIL import Image, ImageOps

from shardlake.encoders.images import MAX_ASPECT, TURNS, decode_image, to_pixels
from shardlake.encoders.manifest import ImagePart
from shardlake.errors import InvalidInput

PART = ImagePart(
    model="", shortest_edge=32, crop_height=32, crop_width=32, resample=3, scale=1 / 255, mean=(0, 0, 0),
    deviation=(1, 1, 1),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(sound_pictures()))
def test_every_kind_and_mode_of_picture_decodes_to_rgb_and_to_pixels_of_one_shape(name: str) -> None:
    image = decode_image(sound_pictures()[name])
    pixels = to_pixels(image, PART)

    assert image.mode == "RGB"
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == np.float32
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize("name", sorted(bad_pictures()))
def test_bad_bytes_are_refused_by_kind(name: str) -> None:
    data, kind = bad_pictures()[name]

    with pytest.raises(InvalidInput) as caught:
        decode_image(data)

    assert caught.value.kind == kind


@pytest.mark.parametrize("orientation", sorted(TURNS))
def test_a_picture_stands_as_exif_says(orientation: int) -> None:
    data = turned(orientation)
    image = decode_image(data)

    with Image.open(__import__("io").BytesIO(data)) as raw:
        expected = ImageOps.exif_transpose(raw).convert("RGB")

    assert np.array_equal(np.asarray(image), np.asarray(expected))
    assert not np.array_equal(np.asarray(image), np.asarray(sample()))


def test_transparency_shows_white() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))

    assert np.asarray(decode_image(saved(clear, "PNG"))).min() == 255


def test_only_the_first_frame_of_an_animation_is_seen() -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    data = saved(first, "GIF", save_all=True, append_images=[second])

    assert np.asarray(decode_image(data))[0, 0].tolist() == [255, 0, 0]


def test_a_16_bit_picture_keeps_its_greys() -> None:
    deep = Image.fromarray(np.full((8, 8), 32_768, dtype=np.uint16))
    grey = np.asarray(decode_image(saved(deep, "PNG")))

    # An 8-bit cut would give 255; 32,768 of 65,535 is the middle.
    assert 126 <= int(grey.mean()) <= 129


def test_a_strip_is_cut_to_its_middle_before_it_is_scaled() -> None:
    image = decode_image(saved(Image.new("RGB", (5_000, 2), "red"), "PNG"))

    assert image.size == (2 * MAX_ASPECT, 2)


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_image(png_bomb(8_000))

    assert caught.value.kind == "media-too-large"
    assert caught.value.context == {"width": 8_000, "height": 8_000}


@pytest.mark.parametrize("name", ["png", "jpeg", "gif", "webp", "bmp", "png palette", "png alpha"])
def test_random_damage_gives_a_picture_or_a_refusal_and_nothing_else(name: str) -> None:
    source = sound_pictures()[name]
    chance = random.Random(7)
    outcomes = {"decoded": 0, "refused": 0}

    for _ in range(150):
        data = bytearray(source)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(min(len(data), chance.choice([64, 400, len(data)])))] = chance.randrange(256)
        try:
            decode_image(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
            outcomes["decoded"] += 1
        except InvalidInput:
            outcomes["refused"] += 1

    assert outcomes["refused"] > 0
