"""What a build learns from a sample: centroids, codewords, and which lists lie together in a shard.

faiss does the arithmetic, on a GPU where faiss sees one (`on_device` is the one place that chooses).
Seeds are fixed by the caller: the same sample gives the same quantizers on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np
import numpy.typing as npt

from shardlake.core.ivf_pq import BITS, Codebook, faiss_metric
from shardlake.core.vectors import SUBVECTOR, pad, padded_dimension
from shardlake.types import Float32Array, Int64Array, Metric

MIN_ROWS_FOR_CODES = 640  # below, 16 codewords a sub-quantizer cannot be learned (faiss asks for 39 points each)
ROWS_PER_CENTROID = 64  # of the sample; faiss warns below 39
MAX_SAMPLE_ROWS = 262_144
KMEANS_ITERATIONS = 10
PQ_SAMPLE_ROWS = 65_536


def on_device(index: faiss.Index) -> faiss.Index:
    """Returns the index on all GPUs where faiss has any, else as it is."""
    gpus: int = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return faiss.index_cpu_to_all_gpus(index) if gpus else index


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Runs faiss on that many threads within the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def list_count(rows: int) -> int:
    """Returns how many lists `rows` rows get: the power of two next to √rows, so that a probe costs √rows."""
    power: int = round(math.log2(math.sqrt(max(rows, 1))))
    return 1 << power


def sample_rows(lists: int) -> int:
    """Returns how many rows training wants for that many lists."""
    return min(MAX_SAMPLE_ROWS, max(ROWS_PER_CENTROID * lists, 16_384))


def train_centroids(sample: Float32Array, lists: int, metric: Metric, seed: int) -> Float32Array:
    """Learns centroids by k-means.

    Args:
        sample: (n, d) float32, prepared for the metric, n >= lists.
        lists: how many centroids.
        metric: cosine centroids are kept at unit length (spherical k-means).
        seed: of faiss's generator.

    Returns:
        (lists, d) float32.
    """
    dimension = sample.shape[1]
    # Few points a centroid are no mistake in a small collection: no warning about them.
    clustering = faiss.Clustering(dimension, lists)
    clustering.niter = KMEANS_ITERATIONS
    clustering.seed = seed
    clustering.spherical = metric is Metric.COSINE
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = 4 * ROWS_PER_CENTROID
    # Centroids are Euclidean means; unit vectors have one order under both metrics.
    index = on_device(faiss.IndexFlatL2(dimension))
    clustering.train(np.ascontiguousarray(sample), index)
    return np.asarray(faiss.vector_float_to_array(clustering.centroids), np.float32).reshape(lists, dimension)


def train_codebook(
    sample: Float32Array, centroids: Float32Array, metric: Metric, lists: Int64Array | None = None
) -> Codebook:
    """Learns 4-bit codewords of the residuals of (n, d) vectors to their lists' centroids.

    Args:
        sample: (n, d) float32. centroids: (lists, d) float32; both as codes are made of them.
        metric: of the space.
        lists: (n,) the list of each; None assigns them.
    """
    dimension = padded_dimension(sample.shape[1])
    padded, padded_centroids = pad(sample[:PQ_SAMPLE_ROWS], dimension), pad(centroids, dimension)
    of_row = assign(padded, padded_centroids, metric) if lists is None else lists[:PQ_SAMPLE_ROWS]
    quantizer = train_quantizer(padded - padded_centroids[of_row])
    codewords = np.asarray(faiss.vector_to_array(quantizer.centroids), np.float32)
    shape = (dimension // SUBVECTOR, 2**BITS, SUBVECTOR)
    return Codebook(centroids=padded_centroids, codewords=codewords.reshape(shape), metric=metric)


def train_quantizer(residuals: Float32Array) -> faiss.ProductQuantizer:
    """Learns 4-bit codewords of (n, d) residuals, d a multiple of 4."""
    dimension = residuals.shape[1]
    quantizer = faiss.ProductQuantizer(dimension, dimension // SUBVECTOR, BITS)
    # Hundreds of tiny clusterings: on shared cores their threads wait for each other, 20 times longer than they work.
    with threads(1):
        quantizer.train(np.ascontiguousarray(residuals))
    return quantizer


def assign(vectors: Float32Array, centroids: Float32Array, metric: Metric) -> Int64Array:
    """Returns (n,) int64: the list of each vector, its nearest centroid."""
    index = faiss.IndexFlat(centroids.shape[1], faiss_metric(metric))
    index.add(np.ascontiguousarray(centroids))
    _, nearest = on_device(index).search(np.ascontiguousarray(vectors), 1)
    return np.asarray(nearest[:, 0], np.int64)


def group_lists(centroids: Float32Array, weights: Int64Array, groups: int) -> Int64Array:
    """Deals lists out to shards: near lists together, rows balanced.

    Splits recursively across the direction of largest variance, at the weight that balances the sides.

    Args:
        centroids: (lists, d). weights: (lists,) rows expected in each list. groups: of 1 to lists.

    Returns:
        (lists,) int64 group numbers; every group has at least one list.
    """
    labels = np.zeros(len(centroids), np.int64)
    _split(centroids, weights.astype(np.float64) + 1e-3, np.arange(len(centroids)), groups, 0, labels)
    return labels


def _split(  # noqa: PLR0917  # private and recursive: names at each call would say nothing new
    centroids: Float32Array,
    weights: npt.NDArray[np.float64],
    members: Int64Array,
    groups: int,
    first: int,
    labels: Int64Array,
) -> None:
    if groups == 1:
        labels[members] = first
        return
    points = centroids[members] - centroids[members].mean(axis=0)
    direction = np.linalg.svd(points, full_matrices=False)[2][0]
    ordered = members[np.argsort(points @ direction, kind="stable")]
    left = groups // 2
    cumulative = np.cumsum(weights[ordered])
    cut = int(np.searchsorted(cumulative, cumulative[-1] * left / groups)) + 1
    cut = min(max(cut, left), len(ordered) - (groups - left))
    _split(centroids, weights, ordered[:cut], left, first, labels)
    _split(centroids, weights, ordered[cut:], groups - left, first + left, labels)
