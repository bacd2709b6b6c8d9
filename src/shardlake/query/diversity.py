"""Maximal marginal relevance: hits that are near the query and not near each other.

Source: Carbonell and Goldstein 1998, The Use of MMR, Diversity-Based Reranking for Reordering Documents (SIGIR).
"""

from __future__ import annotations

import numpy as np

from shardlake.types import Float32Array, Float64Array


def reorder(scores: Float64Array, vectors: Float32Array, diversity: float, k: int) -> list[int]:
    """Returns the positions of k candidates in the order in which they are to be shown.

    The first is always the best by score. Each next one has the greatest

        (1 − diversity) × relevance − diversity × (largest cosine with what was chosen, at least 0)

    so that being the opposite is no merit. Relevance is the score, moved to [0, 1] over the candidates, so that scores
    of any metric, and of rank expressions, weigh the same. What is equal stays in the order of the candidates.

    Args:
        scores: (n,) float64, best first, ties by id.
        vectors: (n, d) float32; zero where an item has none, which then is like nothing.
        diversity: from 0, the order by score, to 1.
        k: at least 1.

    Cost: k·n·d.
    """
    if not len(scores):
        return []
    # Norms in float64, as in the core: the square of a large float32 would overflow.
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))[:, None]
    unit = np.divide(vectors, norms, out=np.zeros(vectors.shape, np.float64), where=norms > 0)
    best, worst = scores[0], scores[-1]
    relevance = (scores - worst) / (best - worst) if best > worst else np.ones(len(scores))
    nearest = np.zeros(len(scores))
    is_open = np.ones(len(scores), bool)
    chosen = [0]
    while len(chosen) < min(k, len(scores)):
        is_open[chosen[-1]] = False
        nearest = np.maximum(nearest, unit @ unit[chosen[-1]])
        value = (1 - diversity) * relevance - diversity * nearest
        chosen.append(int(np.argmax(np.where(is_open, value, -np.inf))))
    return chosen
