"""What a generated picture shows, and what may be said of it: values only, nothing is drawn here.

A scene has one or two groups of equal things on a coloured background. A caption states some of the facts;
`Claims` are those facts, so that code can tell of which other scenes the caption would be true as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from shardlake.demo.shapes import SHAPES

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (212, 36, 40),
    "orange": (245, 130, 30),
    "yellow": (250, 216, 40),
    "green": (45, 158, 72),
    "blue": (40, 92, 208),
    "purple": (132, 58, 172),
    "pink": (246, 150, 190),
    "brown": (122, 74, 38),
    "black": (24, 24, 26),
    "white": (246, 246, 244),
    "grey": (136, 136, 138),
}
SIZES: Final = ("small", "medium", "large")
PATTERNS: Final = ("plain", "striped", "dotted", "checked")
CELLS: Final[dict[str, tuple[int, int]]] = {  # column and row from the middle
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
}
HELD_OUT_SHARE: Final = 20  # one scene in this many is never trained on


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`count` equal things: 1 anywhere, 2 or 3 around the middle."""

    shape: str
    colour: str
    size: str = "medium"
    pattern: str = "plain"
    position: str = "centre"
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One or two groups on a background; two groups differ in shape or in colour."""

    groups: tuple[Group, ...]
    background: str

    def is_held_out(self) -> bool:
        """Returns whether this scene belongs to the share that no training picture ever shows."""
        digest = hashlib.blake2s(repr(self).encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The facts a caption states: for each group it names, field → value; the background or None."""

    groups: tuple[dict[str, str | int], ...]
    background: str | None = None


def is_true(claims: Claims, scene: Scene) -> bool:
    """Returns whether every stated fact holds in the scene (which may show more than is said)."""
    if claims.background not in (None, scene.background):
        return False
    if len(claims.groups) == 1:
        return any(_holds(claims.groups[0], group) for group in scene.groups)
    first, second = claims.groups
    pairs = [(a, b) for a in scene.groups for b in scene.groups if a is not b]
    return any(_holds(first, a) and _holds(second, b) for a, b in pairs)


def _holds(claim: dict[str, str | int], group: Group) -> bool:
    return all(getattr(group, field) == value for field, value in claim.items())


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene: 55 % one thing, 20 % two or three equal things, 25 % two different ones."""
    kind = rng.random()
    if kind < 0.55:
        groups: tuple[Group, ...] = (_sample_one(rng),)
    elif kind < 0.75:
        groups = (_sample_some(rng),)
    else:
        groups = _sample_pair(rng)
    free = [colour for colour in COLOURS if all(group.colour != colour for group in groups)]
    return Scene(groups=groups, background=_pick(rng, free))


def _sample_one(rng: np.random.Generator) -> Group:
    size = _pick(rng, SIZES)
    return Group(
        shape=_pick(rng, tuple(SHAPES)),
        colour=_pick(rng, tuple(COLOURS)),
        size=size,
        # a pattern cannot be seen on a small thing, and a large one fills the picture
        pattern=_pick(rng, PATTERNS) if size != "small" else "plain",
        position=_pick(rng, tuple(CELLS)) if size != "large" else "centre",
    )


def _sample_some(rng: np.random.Generator) -> Group:
    return Group(
        shape=_pick(rng, tuple(SHAPES)),
        colour=_pick(rng, tuple(COLOURS)),
        size="small",
        count=int(rng.integers(2, 4)),
    )


def _sample_pair(rng: np.random.Generator) -> tuple[Group, ...]:
    places = ("left", "right") if rng.random() < 0.5 else ("top", "bottom")
    shapes = [_pick(rng, tuple(SHAPES)) for _ in places]
    colours = [_pick(rng, tuple(COLOURS)) for _ in places]
    if shapes[0] == shapes[1] and colours[0] == colours[1]:
        return _sample_pair(rng)
    return tuple(
        Group(shape=shape, colour=colour, position=place)
        for shape, colour, place in zip(shapes, colours, places, strict=True)
    )


def _pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]
