"""Whether a transform pays before product quantization: tried on the training sample, in bounded time.

What counts is what a search feels: the share of the true nearest among the first of those ranked by code. A transform
costs every query a product with its matrix and every cold shard its bytes, so it is taken only when it wins clearly.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from shardlake.core import training, transforms
from shardlake.core.ivf_pq import faiss_metric
from shardlake.core.vectors import DIMENSION_MULTIPLE, pad, padded_dimension
from shardlake.types import Float32Array, IndexSpec, Int64Array, Metric, Transform

TRIAL_ROWS = 8_192  # searched, and learned from
TRIAL_QUERIES = 128
TRIAL_K, TRIAL_CANDIDATES = 10, 40  # the nearest looked for, and among how many ranked by code
CLEAR_WIN = 0.02  # of recall
LARGE_DIMENSION = 512  # beyond, codes are so long that fewer dimensions may pay
KEPT_VARIANCE = 0.95  # at least, by a pca whose dimension nobody chose
ALLOWED_LOSS = 0.01  # of recall, for codes of at most three quarters of the bytes


def choose_transform(
    sample: Float32Array, centroids: Float32Array, lists: Int64Array, index: IndexSpec, metric: Metric
) -> Float32Array | None:
    """Returns the matrix (d', d) float32 that vectors shall go through before they become codes, None for none.

    Args:
        sample: (n, d) float32, prepared. centroids: (lists, d) float32. lists: (n,) the list of each.
        index: what the collection asks; a transform of None is decided here.
        metric: of the space.

    Cost: where it is decided, about 5 s for 256 dimensions on one core, whatever the size of the collection.
    """
    rows = slice(0, TRIAL_ROWS)
    residuals = sample[rows] - centroids[lists[rows]]
    if index.transform is Transform.NONE:
        return None
    if index.transform is Transform.PCA:
        return _pca(residuals, index.dimension)
    padded = pad(residuals, padded_dimension(residuals.shape[1]))
    if index.transform is Transform.OPQ:
        return transforms.opq(padded)[:, : residuals.shape[1]].copy()
    return _measured(sample[rows], residuals, centroids, lists[rows], metric)


def _pca(residuals: Float32Array, dimension: int | None) -> Float32Array:
    directions, share = transforms.pca(residuals)
    kept = dimension or _kept(share)
    # Turned at random: codes are of equal length, so the variance must not lie in a few of them (faiss's "PCAR").
    turn = transforms.random_directions(kept, kept, np.random.default_rng(kept))
    return np.ascontiguousarray(turn @ directions[:kept])


def _kept(share: npt.NDArray[np.float64]) -> int:
    """Returns the dimension that keeps the variance, but not less than half: what codes tell falls with their bits."""
    needed = int(np.searchsorted(np.cumsum(share), KEPT_VARIANCE)) + 1
    return min(padded_dimension(max(needed, len(share) // 2)), len(share))


def _measured(
    vectors: Float32Array, residuals: Float32Array, centroids: Float32Array, lists: Int64Array, metric: Metric
) -> Float32Array | None:
    trial = _Trial(vectors, centroids, lists, metric)
    plain = trial.recall(None)
    dimension = residuals.shape[1]
    if dimension > LARGE_DIMENSION:
        shorter = _pca(residuals, None)
        saves = len(shorter) <= dimension * 3 // 4
        return shorter if saves and trial.recall(shorter) >= plain - ALLOWED_LOSS else None
    if dimension % DIMENSION_MULTIPLE or plain > 1 - CLEAR_WIN:  # nothing left to win
        return None
    rotation = transforms.opq(residuals)
    return rotation if trial.recall(rotation) >= plain + CLEAR_WIN else None


class _Trial:
    """Some vectors of the sample, searched by others of it."""

    def __init__(self, vectors: Float32Array, centroids: Float32Array, lists: Int64Array, metric: Metric) -> None:
        self._queries, self._vectors = vectors[:TRIAL_QUERIES], vectors[TRIAL_QUERIES:]
        self._centroids, self._lists, self._metric = centroids, lists[TRIAL_QUERIES:], metric
        _, self._truth = faiss.knn(self._queries, self._vectors, TRIAL_K, metric=faiss_metric(metric))

    def recall(self, matrix: Float32Array | None) -> float:
        """Returns the share of the true nearest among the first by code, all lists scanned, through a matrix."""
        residuals = self._vectors - self._centroids[self._lists]
        turned = residuals if matrix is None else transforms.apply(matrix, residuals)
        padded = pad(turned, padded_dimension(turned.shape[1]))
        quantizer = training.train_quantizer(padded)
        decoded = quantizer.decode(quantizer.compute_codes(padded))[:, : turned.shape[1]]
        # The rows of the matrix are orthonormal: its transpose leads back.
        seen = self._centroids[self._lists] + (decoded if matrix is None else decoded @ matrix)
        count = min(TRIAL_CANDIDATES, len(seen))
        _, found = faiss.knn(self._queries, np.ascontiguousarray(seen), count, metric=faiss_metric(self._metric))
        hits = [np.isin(truth, near).mean() for truth, near in zip(self._truth, found, strict=True)]
        return float(np.mean(hits))
