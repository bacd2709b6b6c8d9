"""The outlines of the things in generated pictures, as data: what to draw where, in a square from -1 to 1.

Shapes are silhouettes: a later part with `ink=False` cuts a hole through which the background shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image, ImageDraw

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One primitive. `points`: two opposite corners of an ellipse or a box, or the corners of a polygon."""

    kind: Literal["ellipse", "box", "polygon"]
    points: tuple[Point, ...]
    ink: bool = True


def _ellipse(left: float, top: float, right: float, bottom: float, *, ink: bool = True) -> Part:
    return Part("ellipse", ((left, top), (right, bottom)), ink)


def _box(left: float, top: float, right: float, bottom: float, *, ink: bool = True) -> Part:
    return Part("box", ((left, top), (right, bottom)), ink)


def _polygon(*points: Point, ink: bool = True) -> Part:
    return Part("polygon", points, ink)


def _around(corners: int, radii: tuple[float, ...]) -> Part:
    """A polygon with corners at equal angles from the top, whose radii repeat in turn."""
    angles = [2 * math.pi * i / corners - math.pi / 2 for i in range(corners)]
    return _polygon(
        *((radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles))
    )


def _petals(count: int) -> tuple[Part, ...]:
    angles = [2 * math.pi * i / count for i in range(count)]
    centres = [(0.58 * math.cos(a), 0.58 * math.sin(a)) for a in angles]
    return tuple(_ellipse(x - 0.38, y - 0.38, x + 0.38, y + 0.38) for x, y in centres)


SHAPES: dict[str, tuple[Part, ...]] = {
    "circle": (_ellipse(-1, -1, 1, 1),),
    "square": (_box(-0.88, -0.88, 0.88, 0.88),),
    "triangle": (_polygon((0, -1), (1, 0.85), (-1, 0.85)),),
    "star": (_around(10, (1.0, 0.42)),),
    "heart": (
        _ellipse(-1, -0.85, 0.05, 0.2),
        _ellipse(-0.05, -0.85, 1, 0.2),
        _polygon((-0.95, -0.1), (0.95, -0.1), (0, 1)),
    ),
    "ring": (_ellipse(-1, -1, 1, 1), _ellipse(-0.55, -0.55, 0.55, 0.55, ink=False)),
    "cross": (_box(-0.32, -1, 0.32, 1), _box(-1, -0.32, 1, 0.32)),
    "diamond": (_polygon((0, -1), (0.72, 0), (0, 1), (-0.72, 0)),),
    "hexagon": (_around(6, (1.0,)),),
    "moon": (_ellipse(-0.9, -1, 1, 1), _ellipse(-0.25, -0.95, 1.35, 0.75, ink=False)),
    "arrow": (_box(-1, -0.28, 0.2, 0.28), _polygon((0.1, -0.85), (1, 0), (0.1, 0.85))),
    "boot": (
        _polygon((-0.6, -1), (0.15, -1), (0.15, 0.1), (0.75, 0.3), (1, 0.6), (1, 1), (-0.6, 1)),
        _box(-0.2, 0.82, 0.15, 1.01, ink=False),
    ),
    "cup": (
        _ellipse(0.2, -0.5, 1, 0.5),
        _ellipse(0.4, -0.25, 0.78, 0.25, ink=False),
        _polygon((-0.9, -0.8), (0.55, -0.8), (0.4, 0.85), (-0.75, 0.85)),
    ),
    "tree": (
        _box(-0.14, 0.5, 0.14, 1),
        _polygon((0, -1), (0.5, -0.25), (-0.5, -0.25)),
        _polygon((0, -0.65), (0.68, 0.2), (-0.68, 0.2)),
        _polygon((0, -0.2), (0.88, 0.65), (-0.88, 0.65)),
    ),
    "house": (
        _box(-0.75, -0.15, 0.75, 1),
        _polygon((0, -1), (1, -0.1), (-1, -0.1)),
        _box(-0.5, 0.35, -0.05, 1.01, ink=False),
        _box(0.2, 0.15, 0.55, 0.5, ink=False),
    ),
    "fish": (
        _ellipse(-1, -0.58, 0.6, 0.58),
        _polygon((0.35, 0), (1, -0.6), (1, 0.6)),
        _ellipse(-0.72, -0.28, -0.45, -0.01, ink=False),
    ),
    "car": (
        _box(-1, -0.05, 1, 0.5),
        _polygon((-0.65, 0), (-0.4, -0.6), (0.35, -0.6), (0.7, 0)),
        _polygon((-0.38, -0.08), (-0.26, -0.43), (0.24, -0.43), (0.44, -0.08), ink=False),
        _ellipse(-0.8, 0.15, -0.15, 0.8, ink=False),
        _ellipse(0.15, 0.15, 0.8, 0.8, ink=False),
        _ellipse(-0.7, 0.25, -0.25, 0.7),
        _ellipse(0.25, 0.25, 0.7, 0.7),
    ),
    "flower": (*_petals(6), _ellipse(-0.27, -0.27, 0.27, 0.27, ink=False)),
    "umbrella": (
        _ellipse(-1, -0.95, 1, 1.05),
        _box(-1.1, 0.05, 1.1, 1.1, ink=False),
        _box(-0.08, 0, 0.08, 0.9),
        _box(0, 0.76, 0.38, 0.9),
        _box(0.26, 0.6, 0.38, 0.9),
    ),
    "hat": (_ellipse(-1, 0.2, 1, 0.75), _box(-0.52, -0.75, 0.52, 0.48), _box(-0.53, 0.08, 0.53, 0.24, ink=False)),
    "bottle": (
        _box(-0.2, -1, 0.2, -0.3),
        _polygon((-0.2, -0.5), (0.2, -0.5), (0.48, 0), (-0.48, 0)),
        _box(-0.48, -0.02, 0.48, 1),
        _box(-0.3, -0.86, 0.3, -0.76, ink=False),
    ),
    "key": (
        _ellipse(-1, -0.5, 0, 0.5),
        _ellipse(-0.72, -0.22, -0.28, 0.22, ink=False),
        _box(-0.05, -0.13, 1, 0.13),
        _box(0.72, 0, 0.92, 0.48),
        _box(0.4, 0, 0.58, 0.4),
    ),
    "mushroom": (
        _ellipse(-1, -0.9, 1, 0.7),
        _box(-1.1, 0, 1.1, 0.8, ink=False),
        _polygon((-0.28, -0.02), (0.28, -0.02), (0.36, 0.95), (-0.36, 0.95)),
    ),
    "leaf": (
        _polygon((0, -1), (0.45, -0.5), (0.6, 0.05), (0.4, 0.5), (0, 0.75)),
        _polygon((0, -1), (-0.45, -0.5), (-0.6, 0.05), (-0.4, 0.5), (0, 0.75)),
        _box(-0.06, 0.5, 0.06, 1),
        _polygon((-0.03, -0.6), (0.03, -0.6), (0.05, 0.5), (-0.05, 0.5), ink=False),
    ),
}


def silhouette(shape: str, radius: float, angle_degrees: float) -> Image.Image:
    """Returns the shape as an "L" mask (255 inside) of about 2.4 radii a side, turned about its centre."""
    half = max(2.0, 1.2 * radius)
    side = round(2 * half)
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    for part in SHAPES[shape]:
        points = [(half + radius * x, half + radius * y) for x, y in part.points]
        fill = 255 if part.ink else 0
        if part.kind == "polygon":
            draw.polygon(points, fill=fill)
        elif part.kind == "ellipse":
            draw.ellipse(points, fill=fill)
        else:
            draw.rectangle(points, fill=fill)
    return mask.rotate(angle_degrees, resample=Image.Resampling.BILINEAR)
