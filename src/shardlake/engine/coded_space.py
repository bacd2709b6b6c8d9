"""A space whose lists hold codes: ivf_pq and ivf_rabitq. Codes are scanned by faiss, what they find is refined."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from shardlake.core import ivf_rabitq, transforms
from shardlake.core.ivf_pq import Codebook, IvfPq, selector
from shardlake.core.vectors import CACHED_ROWS, pad, padded_dimension, score_quantized
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import LoadedLists, Probe
from shardlake.format.shard import ShardSpace
from shardlake.format.shard_header import ShardHeader
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, IndexType, Int64Array, Metric


class CodedSpace:
    """Codes in faiss, refine rows in one array by row number.

    Lists are chosen and rows refined with the query as it is; codes are scanned with the query as the space's transform
    makes it, if there is one. The coarse part of a code's score is that of the query as it is, too: what a transform
    drops is missing from the residual's part only.
    """

    def __init__(self, header: ShardHeader, space: ShardSpace) -> None:
        self.lists = LoadedLists(header, space)
        self._transform: Float32Array | None = header.arrays.get(f"transform/{space.name}")
        self._dimension = padded_dimension(space.code_dimension or space.dimension)
        self._index = _index(header, space, self._of_codes(self.lists.centroids))
        # Zero pages that were never touched cost no memory: each array grows with the lists that are loaded.
        self._refine = np.zeros((header.rows, space.dimension), np.int8)
        self._scales = np.zeros(header.rows, np.float32)

    @property
    def faiss_index(self) -> faiss.IndexIVFFastScan:
        """The faiss index of the lists loaded so far."""
        return self._index.faiss_index

    @property
    def resident_bytes(self) -> int:
        """What it holds in memory."""
        return self.lists.resident_bytes

    def load(self, lists: Sequence[int], reader: Reader) -> None:
        """Makes lists scannable and their rows scorable."""
        for number, block in self.lists.blocks(lists, reader):
            self._refine[block.rows] = block.refine
            self._scales[block.rows] = block.scales
            centroid = None if block.centroid is None else self._of_codes(block.centroid[None])[0]
            self._index.load_list(number, block.rows.astype(np.int64), block.packed, centroid)
            self.lists.keep(number, block.bytes, block.centroid)

    def scan(
        self, query: Float32Array, probe: Probe, candidates: int, passing: RowSet | None, reader: Reader
    ) -> Int64Array:
        """Returns the row numbers of the `candidates` nearest by code in the lists, which may be fewer."""
        if not self.lists.has(probe.lists):
            self.load(probe.lists.tolist(), reader)
        coarse = -probe.scores if self.lists.space.metric is Metric.L2 else probe.scores
        chosen = None if passing is None else selector(passing.bitmap)
        rows = self._index.scan(self._of_codes(query[None]), probe.lists[None], coarse[None], candidates, chosen)[0]
        found: Int64Array = rows if rows[-1] >= 0 else rows[rows >= 0]
        return found

    def scan_many(self, queries: Float32Array, lists: Int64Array, coarse: Float32Array, candidates: int) -> Int64Array:
        """Scans loaded lists for many queries at once: `OpenSpace.scan_many`."""
        signed = -coarse if self.lists.space.metric is Metric.L2 else coarse
        turned = self._of_codes(queries)
        return self._index.scan(turned, np.ascontiguousarray(lists), np.ascontiguousarray(signed), candidates)

    def score_rows(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        """Returns (m,) scores of loaded rows by their refine rows, or (n, m) for n queries and the rows of each."""
        if rows.shape[-1] <= CACHED_ROWS:
            return self._score(query, rows)
        starts = range(0, rows.shape[-1], CACHED_ROWS)
        return np.concatenate([self._score(query, rows[..., s : s + CACHED_ROWS]) for s in starts], axis=-1)

    def _score(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        return score_quantized(query, self._refine.take(rows, axis=0), self._scales.take(rows), self.lists.space.metric)

    def _of_codes(self, vectors: Float32Array) -> Float32Array:
        """Returns vectors (n, d) as codes are made of them: transformed, padded."""
        turned = vectors if self._transform is None else transforms.apply(self._transform, vectors)
        return np.ascontiguousarray(pad(turned, self._dimension))


def _index(header: ShardHeader, space: ShardSpace, centroids: Float32Array) -> IvfPq | ivf_rabitq.IvfRabitq:
    if space.index is IndexType.IVF_RABITQ:
        book = ivf_rabitq.RabitqBook(centroids=centroids, bits=space.bits, metric=space.metric)
        return ivf_rabitq.IvfRabitq(book)
    codewords = header.arrays[f"codewords/{space.name}"]
    return IvfPq(Codebook(centroids=centroids, codewords=codewords, metric=space.metric))
