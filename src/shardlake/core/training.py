"""What a build learns from a sample: centroids, codewords, and which lists lie together in a shard.

On a GPU faiss does the arithmetic, where it sees one (`_gpus` is the one place that chooses). On a processor numpy
finds the nearest centroids: it is one matrix product, and the BLAS in numpy's wheel knows processors that the one in
faiss's does not (1.15.1, of 2021), on which it is four times faster; on others they are equal.
Seeds are fixed by the caller: the same sample gives the same quantizers on the same machine.
"""

from __future__ import annotations

import math
from itertools import pairwise

import faiss
import numpy as np
import numpy.typing as npt

from shardlake.core.ivf_pq import BITS, Codebook, faiss_metric
from shardlake.core.threads import shared
from shardlake.core.vectors import SUBVECTOR, pad, padded_dimension, prepare
from shardlake.types import Float32Array, Float64Array, Int64Array, Metric

MIN_ROWS_FOR_CODES = 640  # below, 16 codewords a sub-quantizer cannot be learned (faiss asks for 39 points each)
ROWS_PER_CENTROID = 64  # of the sample; faiss warns below 39
MAX_SAMPLE_ROWS = 262_144
KMEANS_ITERATIONS = 10
PQ_SAMPLE_ROWS = 65_536
FEW_POINTS = 1_024  # whose singular value decomposition takes no time
_ROWS_TOGETHER = 4_096  # scored against all centroids: a product of this size pays for starting it
_SCORES_BYTES = 16 * 1024 * 1024  # of these scores, however many centroids there are
_NUDGE = 1 / 1024  # of each component, by which the halves of a split list differ: as in faiss's k-means


def _gpus() -> int:
    """Returns how many GPUs faiss sees."""
    count: int = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return count


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
        seed: of the centroids that it begins with.

    Returns:
        (lists, d) float32.

    Cost: 2 · KMEANS_ITERATIONS · n · lists · d floating-point operations; memory, the scores of some thousand rows.
    """
    if _gpus():
        return _train_on_gpus(sample, lists, metric, seed)
    points, most = np.ascontiguousarray(sample), 4 * ROWS_PER_CENTROID * lists
    if len(points) > most:
        points = points[_permutation(len(points), seed)[:most]]
    centroids = points[_permutation(len(points), seed + 1)[:lists]]
    # Centroids are Euclidean means; unit vectors have one order under both metrics.
    near = metric if metric is Metric.COSINE else Metric.L2
    for _ in range(KMEANS_ITERATIONS):
        _move(centroids, points, assign(points, centroids, near))
        if metric is Metric.COSINE:
            centroids = prepare(centroids, metric)
    return centroids


def _permutation(count: int, seed: int) -> npt.NDArray[np.int32]:
    """Returns the numbers below `count` as faiss shuffles them: k-means begins where that of faiss does."""
    shuffled = np.empty(count, np.int32)
    faiss.rand_perm(faiss.swig_ptr(shuffled), count, seed)
    return shuffled


def _move(centroids: Float32Array, points: Float32Array, lists: Int64Array) -> None:
    """Moves each centroid to the mean of its points; one without any takes half of the list that is spread most."""
    counts = np.bincount(lists, minlength=len(centroids))
    members = np.split(np.argsort(lists, kind="stable"), np.cumsum(counts)[:-1])
    for number in np.flatnonzero(counts).tolist():
        centroids[number] = points[members[number]].mean(axis=0)
    empty = np.flatnonzero(counts == 0).tolist()
    if not empty:
        return
    # Not the list with the most points: those may be one and the same, which no half of it is nearer to.
    spread = np.array([((points[own] - centre) ** 2).sum() for own, centre in zip(members, centroids, strict=True)])
    nudge = np.where(np.arange(centroids.shape[1]) % 2, 1 - _NUDGE, 1 + _NUDGE).astype(np.float32)
    for number in empty:
        widest = int(spread.argmax())
        centroids[number], centroids[widest] = centroids[widest] * nudge, centroids[widest] * (2 - nudge)
        spread[number] = spread[widest] = spread[widest] / 2


def _train_on_gpus(sample: Float32Array, lists: int, metric: Metric, seed: int) -> Float32Array:
    dimension = sample.shape[1]
    # Few points a centroid are no mistake in a small collection: no warning about them.
    clustering = faiss.Clustering(dimension, lists)
    clustering.niter = KMEANS_ITERATIONS
    clustering.seed = seed
    clustering.spherical = metric is Metric.COSINE
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = 4 * ROWS_PER_CENTROID
    clustering.train(np.ascontiguousarray(sample), faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(dimension)))
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
    """Learns 4-bit codewords of (n, d) residuals, d a multiple of 4.

    Every sub-quantizer is learned from its own columns, so that the codewords do not depend on how many threads share
    them: as many as faiss was given.
    """
    dimension = residuals.shape[1]
    m = dimension // SUBVECTOR
    workers = min(m, faiss.omp_get_max_threads())
    bounds = SUBVECTOR * np.linspace(0, m, workers + 1).astype(np.int64)
    # Hundreds of tiny clusterings: on shared cores faiss's threads wait for each other, 20 times longer than they work.
    learned = shared(_codewords, (residuals[:, a:b] for a, b in pairwise(bounds)))
    quantizer = faiss.ProductQuantizer(dimension, m, BITS)
    faiss.copy_array_to_vector(np.concatenate(learned), quantizer.centroids)
    return quantizer


def _codewords(residuals: Float32Array) -> Float32Array:
    dimension = residuals.shape[1]
    quantizer = faiss.ProductQuantizer(dimension, dimension // SUBVECTOR, BITS)
    quantizer.train(np.ascontiguousarray(residuals))
    return np.asarray(faiss.vector_to_array(quantizer.centroids), np.float32)


def assign(vectors: Float32Array, centroids: Float32Array, metric: Metric) -> Int64Array:
    """Returns (n,) int64: the list of each vector, its nearest centroid.

    As many threads as faiss was given take some thousand rows each at a time: what is found does not depend on them.

    Cost: 2 · n · lists · d floating-point operations; memory, _SCORES_BYTES a thread.
    """
    if _gpus():
        index = faiss.IndexFlat(centroids.shape[1], faiss_metric(metric))
        index.add(np.ascontiguousarray(centroids))
        return np.asarray(faiss.index_cpu_to_all_gpus(index).search(vectors, 1)[1][:, 0], np.int64)
    together = max(1, min(_ROWS_TOGETHER, _SCORES_BYTES // (4 * max(len(centroids), 1))))
    nearest = np.empty(len(vectors), np.int64)
    # The nearest by squared distance has the greatest product less half its own square.
    halves = np.einsum("ij,ij->i", centroids, centroids) / 2 if metric is Metric.L2 else None

    def find(start: int) -> None:
        # Products of vast numbers may overflow: then any list will do.
        with np.errstate(over="ignore", invalid="ignore"):
            scores = vectors[start : start + together] @ centroids.T
            if halves is not None:
                scores -= halves
        scores.argmax(axis=1, out=nearest[start : start + together])

    shared(find, range(0, len(vectors), together), multiplies=True)
    return nearest


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
    ordered = members[np.argsort(points @ _widest(points), kind="stable")]
    left = groups // 2
    cumulative = np.cumsum(weights[ordered])
    cut = int(np.searchsorted(cumulative, cumulative[-1] * left / groups)) + 1
    cut = min(max(cut, left), len(ordered) - (groups - left))
    _split(centroids, weights, ordered[:cut], left, first, labels)
    _split(centroids, weights, ordered[cut:], groups - left, first + left, labels)


def _widest(points: Float32Array) -> Float32Array | Float64Array:
    """Returns (d,) the direction in which (n, d) centred points vary most.

    Of many by the product of the points with themselves: a singular value decomposition finds more than is asked for,
    and takes minutes of thousands of centroids.
    """
    if len(points) <= FEW_POINTS:
        few: Float32Array = np.linalg.svd(points, full_matrices=False)[2][0]
        return few
    wide = points.astype(np.float64)
    many: Float64Array = np.linalg.eigh(wide.T @ wide)[1][:, -1]
    return many
