"""Bare faiss with the shard's own centroids and codewords: IVFPQFastScan, refined by faiss's own 8-bit rows.

A filter is an `IDSelectorBitmap` made before the clock runs: faiss is given for nothing what we evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.corpus import Mask, Vectors
from benchmarks.memory_build import Built
from benchmarks.systems.ours import learned

K = 10
_kept: list[faiss.Index] = []  # parts of composed indexes, to which faiss keeps bare pointers


def composed(built: Built, base: Vectors) -> faiss.IndexRefine:
    """Returns faiss's index of `base` with the centroids and codewords of the built shard. Requires: one shard."""
    return with_codes(base, *learned(built))


def with_codes(base: Vectors, centroids: Vectors, codewords: Vectors) -> faiss.IndexRefine:
    """Returns faiss's index of `base` with these centroids (lists, d) and codewords (m, 16, d / m)."""
    lists, dimension = centroids.shape
    metric = faiss.METRIC_INNER_PRODUCT
    quantizer = faiss.IndexFlatIP(dimension)
    quantizer.add(np.ascontiguousarray(centroids, np.float32))
    index = faiss.IndexIVFPQFastScan(quantizer, dimension, lists, dimension // 2, 4, metric)
    index.by_residual = True
    faiss.copy_array_to_vector(np.ascontiguousarray(codewords, np.float32).reshape(-1), index.pq.centroids)
    index.is_trained = True
    refine = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, metric)
    refine.train(base[:100_000])
    both = faiss.IndexRefine(index, refine)
    for start in range(0, len(base), 100_000):
        both.add(np.ascontiguousarray(base[start : start + 100_000]))
    _kept.extend([quantizer, index, refine])
    return both


class BareFaiss:
    """One plan of the composed index: so many lists, so many rows refined."""

    def __init__(
        self, index: faiss.IndexRefine, masks: Mapping[str, Mask], *, nprobe: int, candidates: int, name: str = "faiss"
    ) -> None:
        self.name = name
        self.nprobe = nprobe
        self._index = index
        self._bitmaps = {mask: np.packbits(rows, bitorder="little") for mask, rows in masks.items()}
        self._selectors = {mask: faiss.IDSelectorBitmap(bitmap) for mask, bitmap in self._bitmaps.items()}
        self._candidates = candidates
        self._parameters: dict[str | None, Any] = {}

    def probing(self, nprobe: int) -> BareFaiss:
        """Returns the same with another number of lists."""
        other = BareFaiss(self._index, {}, nprobe=nprobe, candidates=self._candidates, name=self.name)
        other._bitmaps, other._selectors = self._bitmaps, self._selectors
        return other

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], npt.NDArray[np.int64]]:
        """Returns the search."""
        parameters = self._parameters.get(mask)
        if parameters is None:
            parameters = self._parameters[mask] = self._plan(mask)
        row, index = query[None], self._index
        return lambda: index.search(row, K, params=parameters)[1]  # type: ignore[no-any-return]  # faiss has no types

    def settle(self) -> None:
        """Nothing to do."""

    def ids(self, answer: npt.NDArray[np.int64]) -> list[int]:
        """Returns the rows."""
        found: list[int] = answer[0][answer[0] >= 0].tolist()
        return found

    def counters(self, answer: npt.NDArray[np.int64]) -> dict[str, int]:
        """Returns the lists probed."""
        return {"lists_probed": self.nprobe}

    def _plan(self, mask: str | None) -> Any:  # noqa: ANN401
        chosen = {} if mask is None else {"sel": self._selectors[mask]}
        lists = faiss.SearchParametersIVF(nprobe=self.nprobe, **chosen)
        return faiss.IndexRefineSearchParameters(k_factor=self._candidates / K, base_index_params=lists)
