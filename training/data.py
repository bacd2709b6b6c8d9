"""Pictures and captions for training, and which caption is true of which picture."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from shardlake.demo.captions import Caption, sample_caption
from shardlake.demo.pictures import generate
from shardlake.demo.scenes import Claims, Group, Scene
from shardlake.types import BoolArray

CHUNK: Final = 1_000
FIELDS: Final = ("shape", "colour", "size", "pattern", "position", "count")
FILLERS: Final = ("please", "nice", "cheap", "on sale", "new", "for me", "best", "2024", "simple", "pretty", "old")
ANY: Final = -1
ABSENT: Final = -2

_codes: dict[str | int, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Pictures as (n, side, side, 3) bytes, and what each shows."""

    pixels: npt.NDArray[np.uint8]
    scenes: tuple[Scene, ...]


class Drawing:
    """Draws the rows of batches: one half at random, the other in groups of pictures that are alike.

    The pictures of a group have one colour, one background, one size and number. Among pictures drawn at random
    colours alone tell nearly every pair apart, and a model that never looks at shapes has little to lose; among alike
    ones it must look.
    """

    def __init__(self, pool: Pool, *, batch: int, groups: int) -> None:
        self._count, self._half = len(pool.scenes), batch // 2
        self._each, self._groups = self._half // groups, groups
        rows: dict[tuple[object, ...], list[int]] = {}
        for row, scene in enumerate(pool.scenes):
            first = scene.groups[0]
            alike = (first.colour, scene.background, first.size, first.count, len(scene.groups))
            rows.setdefault(alike, []).append(row)
        self._alike = [np.array(found) for found in rows.values() if len(found) >= self._each]

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns the rows of one batch."""
        at_random = rng.choice(self._count, size=self._half, replace=False)
        chosen = rng.choice(len(self._alike), size=self._groups, replace=False)
        alike = [rng.choice(self._alike[i], size=self._each, replace=False) for i in chosen]
        return np.concatenate([at_random, *alike])


def build_pool(count: int, *, seed: int, pixels: int, processes: int) -> Pool:
    """Generates pictures that training may see, in chunks with seeds of their own."""
    jobs = [(min(CHUNK, count - start), seed + 1 + start // CHUNK, pixels) for start in range(0, count, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(processes) as workers:
        chunks = workers.map(_chunk, jobs, chunksize=1)
    scenes = tuple(scene for _, chunk in chunks for scene in chunk)
    return Pool(pixels=np.concatenate([chunk for chunk, _ in chunks]), scenes=scenes)


def _chunk(job: tuple[int, int, int]) -> tuple[npt.NDArray[np.uint8], list[Scene]]:
    count, seed, pixels = job
    drawn_pixels = (pixels, pixels, 2 * pixels)[seed % 3]  # some arrive larger and are reduced, as a user's do
    pictures = list(generate(count, seed=seed, pixels=drawn_pixels, held_out=False))
    images = [picture.image.resize((pixels, pixels), Image.Resampling.BICUBIC) for picture in pictures]
    return np.stack([np.asarray(image) for image in images]), [picture.scene for picture in pictures]


def training_caption(scene: Scene, rng: np.random.Generator) -> Caption:
    """Draws a caption, sometimes with words that mean nothing here, so that the model learns to pass over them."""
    caption = sample_caption(scene, rng)
    if rng.random() > 0.08:
        return caption
    if rng.random() < 0.5:
        filler = FILLERS[int(rng.integers(len(FILLERS)))]
    else:
        filler = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=int(rng.integers(2, 6))))
    text = f"{filler} {caption.text}" if rng.random() < 0.5 else f"{caption.text} {filler}"
    return Caption(text=text, claims=caption.claims)


def truth(claims: Sequence[Claims], scenes: Sequence[Scene]) -> BoolArray:
    """Returns (claims, scenes): whether each caption is true of each scene; `scenes.is_true` for whole batches."""
    said = np.stack([_claim_codes(claim) for claim in claims])[:, None, :, None, :]
    seen = np.stack([[_group_codes(group) for group in _both(scene)] for scene in scenes])[None, :, None, :, :]
    holds = (((said == ANY) | (said == seen)) & (seen != ABSENT)).all(axis=-1)  # claim, scene, claim's group, scene's
    is_single = np.array([len(claim.groups) == 1 for claim in claims])[:, None]
    either_order = (holds[:, :, 0, 0] & holds[:, :, 1, 1]) | (holds[:, :, 0, 1] & holds[:, :, 1, 0])
    groups_hold = np.where(is_single, holds[:, :, 0, :].any(axis=-1), either_order)
    stated = np.array([_code(claim.background) for claim in claims])[:, None]
    shown = np.array([_code(scene.background) for scene in scenes])[None, :]
    true: BoolArray = groups_hold & ((stated == ANY) | (stated == shown))
    return true


def _both(scene: Scene) -> tuple[Group | None, Group | None]:
    return scene.groups[0], scene.groups[1] if len(scene.groups) == 2 else None


def _group_codes(group: Group | None) -> list[int]:
    return [ABSENT if group is None else _code(getattr(group, field)) for field in FIELDS]


def _claim_codes(claims: Claims) -> npt.NDArray[np.int64]:
    groups = (*claims.groups, {}) if len(claims.groups) == 1 else claims.groups
    return np.array([[_code(group.get(field)) for field in FIELDS] for group in groups])


def _code(value: str | int | None) -> int:
    return ANY if value is None else _codes.setdefault(value, len(_codes))
