"""Exact search, streamed in blocks: the oracle of calibration, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np

from shardlake.core.ivf_pq import faiss_metric
from shardlake.types import Float32Array, Int64Array, Metric


def nearest(
    queries: Float32Array, blocks: Iterable[tuple[Int64Array, Float32Array]], k: int, metric: Metric
) -> tuple[Int64Array, Float32Array]:
    """Finds the k nearest rows of each query among all blocks.

    Args:
        queries: (n, d) float32, prepared for the metric.
        blocks: pairs of (m,) int64 labels and (m, d) float32 vectors, prepared.
        k: at least 1.
        metric: of the space.

    Returns:
        (n, k) int64 labels, -1 where there are fewer, and (n, k) float32 scores, higher first.

    Cost: one pass over the blocks; memory of one block.
    """
    labels = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for block_labels, vectors in blocks:
        if not len(vectors):
            continue
        found, positions = faiss.knn(
            queries, np.ascontiguousarray(vectors), min(k, len(vectors)), metric=faiss_metric(metric)
        )
        found = -np.sqrt(np.maximum(found, 0)) if metric is Metric.L2 else found
        all_scores = np.hstack([scores, found])
        all_labels = np.hstack([labels, block_labels[positions]])
        best = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
        labels = np.take_along_axis(all_labels, best, axis=1)
        scores = np.take_along_axis(all_scores, best, axis=1)
    return labels, scores


def recall(found: Int64Array, truth: Int64Array) -> Float32Array:
    """Returns (n,) float32: the share of each row of `truth` (n, k; -1 pads) that `found` (n, any) has."""
    hits = [
        np.isin(row[row >= 0], got).mean() if (row >= 0).any() else 1.0 for row, got in zip(truth, found, strict=True)
    ]
    return np.asarray(hits, np.float32)
