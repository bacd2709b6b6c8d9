"""A seeded corpus that behaves like embeddings: uneven clusters of low intrinsic dimension, queries of the same law.

Attributes come in three kinds, each at several selectivities: independent of the vector, correlated (the rows of a few
clusters), anti-correlated (the rows farthest from the queries); and four uniform numbers, as SQUASH's generator has
them. Same arguments, same arrays, wherever numpy's generator is the same.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_LATENT = 32
_HIDDEN = 128
_BLOCK_ROWS = 100_000
_NEARNESS_QUERIES = 64

CACHE = Path(".cache/bench")
SELECTIVITIES = (0.5, 0.1, 0.01, 0.001, 0.0001)
KINDS = ("independent", "correlated", "anti")
UNIFORM = ("u0", "u1", "u2", "u3")
SEED = 5

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What every system of a benchmark is given.

    Attributes:
        base: (rows, dimension) float32 unit vectors. queries: (n, dimension), another draw of the same law.
        masks: {name: (rows,) bool}, see `mask_name`. uniform: (rows, 4) float64 in [0, 1), six decimals.
    """

    base: Vectors
    queries: Vectors
    masks: Mapping[str, Mask]
    uniform: npt.NDArray[np.float64]

    @property
    def rows(self) -> int:
        """How many rows the base has."""
        return len(self.base)


def vectors(rows: int, dimension: int = 256, *, seed: int = 0, draw: int = 1, clusters: int = 2_000) -> Vectors:
    """Returns (rows, dimension) float32 unit vectors; see `labelled`."""
    return labelled(rows, dimension, seed=seed, draw=draw, clusters=clusters)[0]


def labelled(
    rows: int, dimension: int = 256, *, seed: int = 0, draw: int = 1, clusters: int = 2_000
) -> tuple[Vectors, Labels]:
    """Returns (rows, dimension) float32 unit vectors and the (rows,) int32 cluster of each.

    Args:
        rows: how many.
        dimension: of each.
        seed: fixes the law: where clusters lie, how large they are, how the latent space bends into `dimension`.
        draw: fixes the sample; base and queries are two draws of one law.
        clusters: of the latent space; their sizes follow Zipf's law, cut at 200 times the smallest.
    """
    law = np.random.default_rng(seed)
    centres = law.normal(size=(clusters, _LATENT)).astype(np.float32)
    bend = law.normal(size=(_LATENT, _HIDDEN)).astype(np.float32) / np.sqrt(_LATENT)
    spread = law.normal(size=(_HIDDEN, dimension)).astype(np.float32) / np.sqrt(_HIDDEN)
    sizes = np.minimum(law.zipf(1.3, size=clusters), 200).astype(np.float64)
    sample = np.random.default_rng([seed, draw])
    out, labels = np.empty((rows, dimension), np.float32), np.empty(rows, np.int32)
    for start in range(0, rows, _BLOCK_ROWS):
        count = min(_BLOCK_ROWS, rows - start)
        chosen = sample.choice(clusters, count, p=sizes / sizes.sum())
        latent = centres[chosen] + 0.6 * sample.normal(size=(count, _LATENT)).astype(np.float32)
        noise = 0.05 * sample.normal(size=(count, dimension)).astype(np.float32)
        block = np.tanh(latent @ bend) @ spread + noise
        out[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
        labels[start : start + count] = chosen
    return out, labels


def attributes(base: Vectors, labels: Labels, queries: Vectors, *, seed: int = 0) -> dict[str, Mask]:
    """Returns {name: (rows,) bool}, `round(rows * selectivity)` rows true in each, at least one.

    Args:
        base: (rows, d) unit vectors. labels: (rows,) their clusters.
        queries: (n, d); 64 of them say what is far.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, 104_729])
    looked_at = queries[rng.choice(len(queries), min(_NEARNESS_QUERIES, len(queries)), replace=False)]
    nearness = np.concatenate(
        [(base[start : start + _BLOCK_ROWS] @ looked_at.T).max(axis=1) for start in range(0, len(base), _BLOCK_ROWS)]
    )
    ordered = {
        "correlated": np.argsort(rng.permutation(labels.max() + 1)[labels], kind="stable"),
        "anti": np.argsort(nearness),
    }
    masks = {}
    for selectivity in SELECTIVITIES:
        count = max(1, round(len(base) * selectivity))
        chosen = {"independent": rng.choice(len(base), count, replace=False)}
        chosen |= {kind: order[:count] for kind, order in ordered.items()}
        for kind in KINDS:
            mask = np.zeros(len(base), bool)
            mask[chosen[kind]] = True
            masks[mask_name(kind, selectivity)] = mask
    return masks


def mask_name(kind: str, selectivity: float) -> str:
    """Returns the name of a mask: `correlated_0_1` is 0.1 % of the rows, a name that any system takes for a column."""
    return f"{kind}_{100 * selectivity:g}".replace(".", "_")


def corpus(rows: int, dimension: int = 256, *, queries: int = 1_000, cache: Path = CACHE) -> Corpus:
    """Returns the corpus of that size, made once and kept under `cache`; its vectors are mapped, not read."""
    folder = corpus_folder(rows, dimension, queries, cache=cache)
    if not (folder / "uniform.npy").exists():
        for old in cache.glob(f"corpus-{rows}x{dimension}-{queries}-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        base, labels = labelled(rows, dimension, seed=SEED)
        asked = vectors(queries, dimension, seed=SEED, draw=2)
        np.save(folder / "base.npy", base)
        np.save(folder / "queries.npy", asked)
        masks = attributes(base, labels, asked, seed=SEED)
        np.savez(folder / "masks.npz", **{name: np.packbits(mask) for name, mask in masks.items()})
        uniform = np.random.default_rng([SEED, 65_537]).random((rows, len(UNIFORM))).round(6)
        np.save(folder / "uniform.npy", uniform)
    with np.load(folder / "masks.npz") as packed:
        masks = {name: np.unpackbits(packed[name], count=rows).astype(bool) for name in packed.files}
    return Corpus(
        base=np.asarray(np.load(folder / "base.npy", mmap_mode="r")),
        queries=np.load(folder / "queries.npy"),
        masks=masks,
        uniform=np.load(folder / "uniform.npy"),
    )


def corpus_folder(rows: int, dimension: int, queries: int, *, cache: Path = CACHE) -> Path:
    """Returns where a corpus is kept: another source of this file, another folder."""
    law = zlib.crc32(Path(__file__).read_bytes())
    return cache / f"corpus-{rows}x{dimension}-{queries}-{law:08x}"
