"""A seeded generator of captioned pictures: what the embedded model learns from and what the demo searches.

>>> picture = next(generate(1, seed=7))
>>> picture.image.size
(160, 160)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from shardlake.demo.captions import full_caption
from shardlake.demo.scenes import CELLS, COLOURS, Group, Scene, sample_scene
from shardlake.demo.shapes import silhouette

Pixels = npt.NDArray[np.float32]

DEMO_PIXELS = 160
_RADIUS = {"small": 0.145, "medium": 0.24, "large": 0.39}  # of the picture's width
_PAIR_RADIUS = 0.195
_SPREAD = {"small": 0.3, "medium": 0.22, "large": 0.0}  # from the middle to an outer cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, the caption that states every fact of it, and the facts themselves."""

    id: str
    image: Image.Image
    caption: str
    scene: Scene

    def attributes(self) -> dict[str, str | int | list[str]]:
        """Returns the facts as an item's attributes: those of the first thing, and lists over all things."""
        first = self.scene.groups[0]
        return {
            "caption": self.caption,
            "shape": first.shape,
            "colour": first.colour,
            "size": first.size,
            "pattern": first.pattern,
            "background": self.scene.background,
            "objects": sum(group.count for group in self.scene.groups),
            "shapes": [group.shape for group in self.scene.groups],
            "colours": [group.colour for group in self.scene.groups],
        }

    def png(self) -> bytes:
        """Returns the picture as the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG")
        return buffer.getvalue()


def generate(count: int, *, seed: int, pixels: int = DEMO_PIXELS, held_out: bool | None = None) -> Iterator[Picture]:
    """Yields `count` pictures, the same ones for the same arguments.

    Args:
        count: how many.
        seed: of the random generator.
        pixels: the side of the square picture.
        held_out: True: only scenes that are never trained on; False: only the others; None: both.
    """
    rng = np.random.default_rng(seed)
    made = 0
    while made < count:
        scene = sample_scene(rng)
        if held_out is not None and scene.is_held_out() != held_out:
            continue
        image = render(scene, rng, pixels=pixels)
        yield Picture(id=f"picture-{seed}-{made:06d}", image=image, caption=full_caption(scene).text, scene=scene)
        made += 1


def render(scene: Scene, rng: np.random.Generator, *, pixels: int) -> Image.Image:
    """Draws a scene. What no caption speaks of (shades, light, angles, offsets, noise) comes from `rng`."""
    side = 2 * pixels  # drawn twice as large, so that reducing smooths the edges
    canvas = Image.new("RGB", (side, side), _shade(scene.background, rng))
    for group in scene.groups:
        colour = _shade(group.colour, rng)
        paint = _paint(group.pattern, colour, side, rng)
        for x, y, radius in _places(group, rng, paired=len(scene.groups) == 2):
            mask = silhouette(group.shape, radius * side, float(rng.uniform(-10, 10)))
            corner = (round(x * side - mask.width / 2), round(y * side - mask.height / 2))
            area = paint.crop((*corner, corner[0] + mask.width, corner[1] + mask.height))
            canvas.paste(area, corner, mask)
    small = canvas.resize((pixels, pixels), Image.Resampling.BICUBIC)
    return Image.fromarray(_light(np.asarray(small, dtype=np.float32), rng))


def _places(group: Group, rng: np.random.Generator, *, paired: bool) -> list[tuple[float, float, float]]:
    """Returns (x, y, radius) of each thing of a group, as shares of the picture's width."""
    base = _PAIR_RADIUS if paired else _RADIUS[group.size]
    radius = base * float(rng.uniform(0.92, 1.08))
    column, row = CELLS[group.position]
    spread = 0.25 if paired else _SPREAD[group.size]
    centres = [(0.5 + spread * column, 0.5 + spread * row)]
    if group.count > 1:
        start = float(rng.uniform(0, 2 * np.pi))
        distance = {2: 0.24, 3: 0.27}[group.count]
        angles = [start + 2 * np.pi * i / group.count for i in range(group.count)]
        centres = [(0.5 + distance * np.cos(a), 0.5 + distance * np.sin(a)) for a in angles]
    jitter = rng.uniform(-0.025, 0.025, size=(len(centres), 2))
    return [(float(x + dx), float(y + dy), radius) for (x, y), (dx, dy) in zip(centres, jitter, strict=True)]


def _shade(colour: str, rng: np.random.Generator) -> tuple[int, int, int]:
    shifted = np.clip(np.array(COLOURS[colour]) + rng.integers(-16, 17, size=3), 0, 255)
    return int(shifted[0]), int(shifted[1]), int(shifted[2])


def _paint(pattern: str, colour: tuple[int, int, int], side: int, rng: np.random.Generator) -> Image.Image:
    """Returns a picture full of the pattern, from which the things are cut."""
    if pattern == "plain":
        return Image.new("RGB", (side, side), colour)
    step = side * float(rng.uniform(0.085, 0.11))
    x, y = np.meshgrid(np.arange(side) + rng.uniform(0, step), np.arange(side) + rng.uniform(0, step))
    if pattern == "striped":
        second = np.mod(x + y * rng.uniform(-1, 1), step) < step / 2
    elif pattern == "checked":
        second = (np.mod(x, step) < step / 2) ^ (np.mod(y, step) < step / 2)
    else:
        second = np.hypot(np.mod(x, step) - step / 2, np.mod(y, step) - step / 2) < step * 0.3
    is_light = sum(colour) > 400
    other = np.array(colour) * 0.45 + (0 if is_light else 255) * 0.55
    pixels = np.where(second[..., None], other, np.array(colour))
    return Image.fromarray(pixels.astype(np.uint8))


def _light(pixels: Pixels, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Adds a soft gradient of light and a little grain."""
    side = pixels.shape[0]
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-12, 12, size=2)
    gradient = (slope_x * ramp[None, :] + slope_y * ramp[:, None])[..., None]
    grain = rng.standard_normal((side, side, 1), dtype=np.float32) * float(rng.uniform(0, 5))
    lit: npt.NDArray[np.uint8] = np.clip(pixels + gradient + grain, 0, 255).astype(np.uint8)
    return lit
