"""The true nearest rows among those that pass, by exact search, made once for a corpus and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.corpus import CACHE, Corpus, corpus_folder
from shardlake.core import exact
from shardlake.types import Metric

K = 10
_BLOCK_ROWS = 200_000


def truth(corpus: Corpus, mask: str | None, *, cache: Path = CACHE) -> list[list[int]]:
    """Returns the K nearest passing rows of each query of a corpus, nearest first; fewer where fewer pass."""
    folder = corpus_folder(*corpus.base.shape, len(corpus.queries), cache=cache)
    path = folder / f"truth-{mask or 'all'}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, _nearest(corpus, mask))
    return [[int(row) for row in found if row >= 0] for found in np.load(path)]


def _nearest(corpus: Corpus, mask: str | None) -> np.ndarray:
    passing = np.arange(corpus.rows) if mask is None else np.flatnonzero(corpus.masks[mask])
    blocks = (
        (part, np.asarray(corpus.base[part]))
        for part in np.array_split(passing, max(1, -(-len(passing) // _BLOCK_ROWS)))
    )
    return exact.nearest(corpus.queries, blocks, K, Metric.COSINE)[0]
