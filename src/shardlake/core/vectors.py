"""Vectors made ready for a metric, and their 8-bit refine rows. Arithmetic on arrays, nothing else.

Requires of all callers: finite float32 input of the right dimension; that is checked at the border (`contracts`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shardlake.types import Float32Array, Metric

SUBVECTOR = 2  # dimensions that one 4-bit code stands for
DIMENSION_MULTIPLE = 2 * SUBVECTOR  # fast scan pairs sub-quantizers


def padded_dimension(dimension: int) -> int:
    """Returns the dimension of codes: padded with zeros to a multiple of 4, which changes no distance."""
    return -(-dimension // DIMENSION_MULTIPLE) * DIMENSION_MULTIPLE


CACHED_ROWS = 256  # refine rows to score at a time: their float32 stays in the processor's cache
_MADE_ROWS = 1_024  # rows to make ready at a time: more than are best alone, since beside other threads each step waits


def prepare(vectors: Float32Array, metric: Metric, out: Float32Array | None = None) -> Float32Array:
    """Returns vectors as they are stored and searched: unit length for cosine, as they are otherwise.

    Args:
        vectors: (n, d) float32. A zero vector stays zero: its cosine with anything is taken as 0.
        metric: of the space.
        out: (n, d) float32 to write them to; None makes an array where one is needed.
    """
    if metric is not Metric.COSINE:
        if out is None:
            return np.ascontiguousarray(vectors, np.float32)
        out[:] = vectors
        return out
    unit = np.empty(vectors.shape, np.float32) if out is None else out
    for start in range(0, len(vectors), _MADE_ROWS):
        # Norms in float64: the square of a large float32 would overflow.
        wide = vectors[start : start + _MADE_ROWS].astype(np.float64)
        norms = np.sqrt(np.vecdot(wide, wide))
        unit[start : start + _MADE_ROWS] = wide / np.where(norms > 0, norms, 1.0)[:, None]
    return unit


def pad(vectors: Float32Array, dimension: int) -> Float32Array:
    """Returns (n, dimension) float32, zeros behind the given columns."""
    if vectors.shape[1] == dimension:
        return vectors
    out = np.zeros((len(vectors), dimension), np.float32)
    out[:, : vectors.shape[1]] = vectors
    return out


def quantize_rows(vectors: Float32Array) -> tuple[npt.NDArray[np.int8], Float32Array]:
    """Returns refine rows: (n, d) int8 and (n,) float32 scales, row ≈ scale × int8.

    The scale is a row's largest magnitude / 127, so the error of a component is at most half a scale.
    """
    codes, scales = np.empty(vectors.shape, np.int8), np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _MADE_ROWS):
        part = slice(start, start + _MADE_ROWS)
        scales[part] = np.abs(vectors[part]).max(axis=1, initial=0.0) / np.float32(127)
        # Divided, not multiplied by an inverse: that of a tiny scale would overflow. A row without a scale rounds to
        # zeros; among the smallest numbers there are the rounding of the scale itself can lead past 127.
        steps = vectors[part] / np.where(scales[part] > 0, scales[part], np.float32(1))[:, None]
        np.rint(steps, out=steps)
        codes[part] = np.clip(steps, -127, 127, out=steps)
    return codes, scales


def score_quantized(
    query: Float32Array, codes: npt.NDArray[np.int8], scales: Float32Array, metric: Metric
) -> Float32Array:
    """Scores refine rows against one query, or those of some queries against theirs.

    Args:
        query: (d,) or (b, d) float32, prepared.
        codes: (n, d) or (b, n, d) int8. scales: (n,) or (b, n) float32.
        metric: of the space.

    Returns:
        (n,) or (b, n) float32, higher is nearer: inner product, or minus the Euclidean distance. What a row scores
        depends on nothing that stands beside it.

    Cost: n·d of float32 in memory: fastest for `CACHED_ROWS` rows at a time.
    """
    # Row by row (vecdot), since the sums of a matrix product depend on how many rows stand beside a row, and a row's
    # score must not.
    rows = codes.astype(np.float32)
    products: Float32Array = np.vecdot(rows, query[..., None, :])
    products *= scales
    if metric is not Metric.L2:
        return products
    return _minus_distance(query, products, np.vecdot(rows, rows) * scales * scales)


def score_exact(query: Float32Array, vectors: Float32Array, metric: Metric) -> Float32Array:
    """Scores full-precision vectors (n, d) float32 against one query (d,); returns (n,) float32, higher is nearer."""
    if metric is not Metric.L2:
        return np.asarray(np.vecdot(vectors, query), np.float32)  # not `@`: as in score_quantized
    # The difference itself, not the expansion: that loses the small distances to cancellation.
    difference = vectors - query
    return np.asarray(-np.sqrt(np.einsum("ij,ij->i", difference, difference)), np.float32)


def _minus_distance(query: Float32Array, products: Float32Array, norms: Float32Array) -> Float32Array:
    squared = norms - 2 * products + np.vecdot(query, query)[..., None]
    return np.asarray(-np.sqrt(np.maximum(squared, 0)), np.float32)


def coarse_scores(query: Float32Array, centroids: Float32Array, metric: Metric) -> Float32Array:
    """Scores centroids (lists, d) for probing; (lists,) float32, higher first. For l2 minus the squared distance."""
    products: Float32Array = centroids @ query
    if metric is not Metric.L2:
        return products
    norms = np.einsum("ij,ij->i", centroids, centroids)
    return np.asarray(2 * products - norms - np.float32(query @ query), np.float32)


def coarse_scores_of(query: Float32Array, centroids: Float32Array, metric: Metric) -> Float32Array:
    """Scores the centroids chosen for a query, or those of some queries for each: as `coarse_scores`, one by one.

    Args:
        query: (d,) or (b, d) float32.
        centroids: (p, d) or (b, p, d) float32.
        metric: of the space.

    Returns:
        (p,) or (b, p) float32. What a centroid scores depends on nothing that stands beside it.
    """
    products: Float32Array = np.vecdot(centroids, query[..., None, :])
    if metric is not Metric.L2:
        return products
    norms = np.vecdot(centroids, centroids)
    return np.asarray(2 * products - norms - np.vecdot(query, query)[..., None], np.float32)


def nearest_lists(scores: Float32Array, count: int) -> npt.NDArray[np.int64]:
    """Returns the `count` best lists, best first."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    chosen = np.argpartition(scores, -count)[-count:]
    return chosen[np.argsort(-scores[chosen], kind="stable")]
