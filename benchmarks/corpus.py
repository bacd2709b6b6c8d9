"""A seeded corpus that behaves like embeddings: uneven clusters of low intrinsic dimension, queries of the same law.

Same arguments, same arrays, wherever numpy's generator is the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LATENT = 32
_HIDDEN = 128
_BLOCK_ROWS = 100_000

Vectors = npt.NDArray[np.float32]


def vectors(rows: int, dimension: int = 256, *, seed: int = 0, draw: int = 1, clusters: int = 2_000) -> Vectors:
    """Returns (rows, dimension) float32 unit vectors.

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
    out = np.empty((rows, dimension), np.float32)
    for start in range(0, rows, _BLOCK_ROWS):
        count = min(_BLOCK_ROWS, rows - start)
        chosen = sample.choice(clusters, count, p=sizes / sizes.sum())
        latent = centres[chosen] + 0.6 * sample.normal(size=(count, _LATENT)).astype(np.float32)
        noise = 0.05 * sample.normal(size=(count, dimension)).astype(np.float32)
        block = np.tanh(latent @ bend) @ spread + noise
        out[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return out
