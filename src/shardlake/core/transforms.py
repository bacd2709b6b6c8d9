"""Linear maps that vectors go through before they become codes: rotation, PCA, OPQ.

A map is one matrix (d', d) float32 with orthonormal rows, or columns where d' > d: `vectors @ matrix.T`. Nothing is
subtracted: codes are of residuals to centroids, and inner products must stay what they are. Only codes are made of what
comes out; lists are chosen, rows refined and exact scores computed with the vectors as they are.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from shardlake.core.ivf_pq import BITS
from shardlake.core.vectors import SUBVECTOR
from shardlake.types import Float32Array

OPQ_ITERATIONS = 12  # faiss's default of 50 takes four times as long and its error falls by less than a hundredth
OPQ_SAMPLE_ROWS = 8_192


def apply(matrix: Float32Array, vectors: Float32Array) -> Float32Array:
    """Returns (n, d') float32: vectors (n, d) through a matrix (d', d)."""
    return np.asarray(vectors @ matrix.T, np.float32)


def random_rotation(dimension: int, into: int, rng: np.random.Generator) -> Float32Array:
    """Returns (into, dimension) float32 that keeps all inner products; `into` is at least `dimension`."""
    return np.ascontiguousarray(_orthonormal(into, rng)[:, :dimension])


def _orthonormal(dimension: int, rng: np.random.Generator) -> Float32Array:
    q, r = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    # With the signs of r's diagonal every rotation is equally likely (Mezzadri 2007).
    return np.asarray(q * np.sign(np.diag(r)), np.float32)


def random_directions(count: int, dimension: int, rng: np.random.Generator) -> Float32Array:
    """Returns (count, dimension) float32 unit rows, orthonormal in groups of `dimension`."""
    groups = [_orthonormal(dimension, rng) for _ in range(-(-count // dimension))]
    return np.ascontiguousarray(np.concatenate(groups)[:count])


def pca(residuals: Float32Array) -> tuple[Float32Array, npt.NDArray[np.float64]]:
    """Returns all directions (d, d) float32 of the residuals (n, d), largest variance first, and the share of each."""
    moments = (residuals.T @ residuals).astype(np.float64)
    values, vectors = np.linalg.eigh(moments)
    largest_first = np.argsort(values)[::-1]
    values = np.maximum(values[largest_first], 0)
    share = values / values.sum() if values.sum() else np.full(len(values), 1 / len(values))
    return np.ascontiguousarray(vectors[:, largest_first].T, np.float32), share


def opq(residuals: Float32Array) -> Float32Array:
    """Learns a rotation (d, d) under which 4-bit codes of the residuals (n, d) lose least. d is a multiple of 4.

    Source: Ge et al. 2013, Optimized Product Quantization. Cost: about 2 s for 8,192 × 256 on one core.
    """
    dimension = residuals.shape[1]
    learned = faiss.OPQMatrix(dimension, dimension // SUBVECTOR, dimension)
    learned.niter = OPQ_ITERATIONS
    learned.niter_pq_0 = 10
    learned.niter_pq = 2
    learned.max_train_points = OPQ_SAMPLE_ROWS
    learned.pq = quantizer = faiss.ProductQuantizer(dimension, dimension // SUBVECTOR, BITS)
    learned.train(np.ascontiguousarray(residuals[:OPQ_SAMPLE_ROWS]))
    del quantizer  # faiss read it until here
    return np.asarray(faiss.vector_to_array(learned.A), np.float32).reshape(dimension, dimension)
