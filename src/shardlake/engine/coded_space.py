"""A space whose lists hold codes: ivf_pq and ivf_rabitq. Codes are scanned by faiss, what they find is refined."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from shardlake.core import ivf_rabitq, transforms
from shardlake.core.ivf_pq import Codebook, IvfPq, selector
from shardlake.core.vectors import CACHED_ROWS, pad, padded_dimension, score_quantized
from shardlake.engine import row_reads
from shardlake.engine.reading import Reader, read_bytes
from shardlake.engine.spaces import LoadedLists, Probe, RowLists
from shardlake.format.shard import ListBlock, ListHead, ShardSpace, decode_head
from shardlake.format.shard_header import ShardHeader
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, IndexType, Int64Array, Metric

ROUND_BYTES = 1024 * 1024  # what a store streams while another round begins


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
        """Makes lists scannable and their rows scorable. Cost: one round; lists are read whole."""
        for number, block in self.lists.blocks(lists, reader):
            self._keep_list(number, block)

    def load_rows(self, rows: Int64Array, members: RowLists, reader: Reader) -> None:
        """Makes rows scorable: `OpenSpace.load_rows`."""
        header, name = self.lists.header, self.lists.space.name
        places = members.places(rows[~self.lists.held[rows]])
        groups_of = partial(header.row_groups, name) if self.lists.space.group_rows else None
        wanted = row_reads.parts(places, partial(header.list_extent, name), groups_of, reader)
        for part, data in row_reads.read(wanted, reader):
            if part.groups is None:
                self._keep_list(part.number, self.lists.decode(part.number, data))
            else:
                found = part.groups.decode_group(part.group, data)
                self._keep_rows(members.rows(part.number)[part.members], found["refine"], found["scales"][:, 0])

    def scan(
        self, query: Float32Array, probe: Probe, candidates: int, passing: RowSet | None, reader: Reader
    ) -> Int64Array:
        """Returns the row numbers of the `candidates` nearest by code in the lists, which may be fewer."""
        lists = self.lists
        if passing is None and not lists.has(probe.lists):
            self.load(probe.lists.tolist(), reader)
        elif not (lists.all_loaded or lists.scannable[probe.lists].all()):
            self._load_codes(probe.lists, min(candidates, passing.count) if passing is not None else candidates, reader)
        coarse = -probe.scores if self.lists.space.metric is Metric.L2 else probe.scores
        chosen = None if passing is None else selector(passing.bitmap)
        rows = self._index.scan(self._of_codes(query[None]), probe.lists[None], coarse[None], candidates, chosen)[0]
        found: Int64Array = rows if rows[-1] >= 0 else rows[rows >= 0]
        return found

    def scan_many(
        self,
        queries: Float32Array,
        lists: Int64Array,
        coarse: Float32Array,
        candidates: int,
        passing: RowSet | None = None,
    ) -> Int64Array:
        """Scans loaded lists for many queries at once: `OpenSpace.scan_many`."""
        signed = -coarse if self.lists.space.metric is Metric.L2 else coarse
        turned = self._of_codes(queries)
        chosen = None if passing is None else selector(passing.bitmap)
        return self._index.scan(turned, np.ascontiguousarray(lists), np.ascontiguousarray(signed), candidates, chosen)

    def score_rows(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        """Returns (m,) scores of loaded rows by their refine rows, or (n, m) for n queries and the rows of each."""
        if rows.shape[-1] <= CACHED_ROWS:
            return self._score(query, rows)
        starts = range(0, rows.shape[-1], CACHED_ROWS)
        return np.concatenate([self._score(query, rows[..., s : s + CACHED_ROWS]) for s in starts], axis=-1)

    def _score(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        return score_quantized(query, self._refine.take(rows, axis=0), self._scales.take(rows), self.lists.space.metric)

    def _load_codes(self, lists: Int64Array, candidates: int, reader: Reader) -> None:
        """Makes lists scannable: by their heads alone, where the rows of candidates are less to read than those of all.

        Args:
            lists: to be scanned. candidates: rows at most that will be refined. reader: of the shard.
        """
        header, space = self.lists.header, self.lists.space
        missing = lists[~self.lists.scannable[lists]].tolist()
        whole = [header.list_extent(space.name, number) for number in missing]
        if not space.group_rows or any(reader.is_at_hand(extent) for extent in whole):
            self.load(missing, reader)
            return
        heads = [header.list_head(space.name, number) for number in missing]
        rows_bytes = candidates * header.row_groups(space.name, missing[0]).group_bytes
        if read_bytes(heads) + rows_bytes + ROUND_BYTES > read_bytes(whole):
            self.load(missing, reader)
            return
        for number, extent, data in zip(missing, heads, reader.extents(heads), strict=True):
            rows = int(self.lists.list_rows[number])
            self._keep_head(number, decode_head(space, rows, header.rows, extent, data))

    def _keep_list(self, number: int, block: ListBlock) -> None:
        self._keep_rows(block.head.rows, block.refine, block.scales)
        if not self.lists.scannable[number]:
            self._keep_head(number, block.head)
        self.lists.keep(number)

    def _keep_head(self, number: int, head: ListHead) -> None:
        centroid = None if head.centroid is None else self._of_codes(head.centroid[None])[0]
        self._index.load_list(number, head.rows.astype(np.int64), head.packed, centroid)
        self.lists.keep_codes(number, head.bytes, head.centroid)

    def _keep_rows(
        self, rows: npt.NDArray[np.integer[Any]], refine: npt.NDArray[np.int8], scales: Float32Array
    ) -> None:
        self._refine[rows] = refine
        self._scales[rows] = scales
        self.lists.keep_rows(rows, refine.shape[1] + scales.itemsize)

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
