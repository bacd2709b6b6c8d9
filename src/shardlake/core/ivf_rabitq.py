"""IVF with RaBitQ codes over lists that arrive one by one: faiss does the arithmetic.

One sign bit a dimension of the residual (or `bits` of them), and beside the codes of each block of 32 rows the factors
by which faiss corrects its estimate of each row's distance. faiss keeps both in the bytes of a list, so that a list is
those bytes, and nothing of a row lies elsewhere. Requires of callers: vectors are rotated at random before they come
here (`core.transforms`); the estimate is unbiased only for directions that know nothing of the axes.

Source: Gao and Long 2024 (RaBitQ), Gao et al. 2025 (extended RaBitQ, several bits); faiss `IndexIVFRaBitQFastScan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import faiss
import numpy as np

from shardlake.core.fast_scan import BLOCK_ROWS
from shardlake.core.ivf_pq import ListByList, faiss_metric
from shardlake.types import ByteArray, Float32Array, Int64Array, Metric

DIMENSION_MULTIPLE = 8  # sign bits fill bytes
_SIGN_FACTOR_BYTES = 8  # two float32 a row: faiss's SignBitFactors
_ERROR_FACTOR_BYTES = 4  # with several bits, one more: the bound of the first bit's error
_EXTRA_FACTOR_BYTES = 8  # and two float32 for the extra bits: faiss's ExtraBitsFactors


@dataclass(frozen=True, slots=True, kw_only=True)
class RabitqBook:
    """What a scan needs to know of one space.

    Attributes:
        centroids: (lists, d) float32, rotated, d a multiple of 8.
        bits: of one dimension.
        metric: of the space.
    """

    centroids: Float32Array
    bits: int
    metric: Metric


def padded_dimension(dimension: int) -> int:
    """Returns the dimension of codes: the next multiple of 8."""
    return -(-dimension // DIMENSION_MULTIPLE) * DIMENSION_MULTIPLE


def code_bytes(dimension: int, bits: int) -> int:
    """Returns what a row takes in a list: its bits and its factors.

    Args:
        dimension: of the codes, a multiple of 8. bits: of one dimension.
    """
    signs = dimension // 8 + _SIGN_FACTOR_BYTES
    if bits == 1:
        return signs
    return signs + _ERROR_FACTOR_BYTES + _EXTRA_FACTOR_BYTES + dimension * (bits - 1) // 8


def block_bytes(rows: int, dimension: int, bits: int) -> int:
    """Returns the size of a list of `rows` rows: whole blocks. Sign bits come in pairs of four dimensions."""
    return -(-rows // BLOCK_ROWS) * BLOCK_ROWS * code_bytes(dimension, bits)


def _index(book: RabitqBook) -> tuple[faiss.IndexIVFRaBitQFastScan, faiss.IndexFlat]:
    lists, dimension = book.centroids.shape
    quantizer = faiss.IndexFlat(dimension, faiss_metric(book.metric))
    quantizer.add(np.ascontiguousarray(book.centroids))
    index = faiss.IndexIVFRaBitQFastScan(
        quantizer, dimension, lists, faiss_metric(book.metric), BLOCK_ROWS, True, book.bits
    )
    index.is_trained = True  # there is nothing to learn
    return index, quantizer


class Encoder:
    """Makes the lists of one space, some at a time."""

    def __init__(self, book: RabitqBook) -> None:
        self._index, self._quantizer = _index(book)
        self._packer = self._index.get_CodePacker()

    def encode(self, vectors: Float32Array, lists: Int64Array, wanted: Sequence[int]) -> list[ByteArray]:
        """Returns the bytes of each list in `wanted`: those that faiss's own index has, which a test holds.

        Args:
            vectors: (n, d) float32, rotated.
            lists: (n,) int64, the list of each, ascending.
            wanted: consecutive list numbers, all that occur in `lists`.
        """
        codes = np.empty((len(vectors), self._index.code_size), np.uint8)
        vectors, lists = np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(lists, np.int64)
        pointer = faiss.swig_ptr
        if len(vectors):
            self._index.encode_vectors(len(vectors), pointer(vectors), pointer(lists), pointer(codes), False)
        ends = np.searchsorted(lists, [*wanted, wanted[-1] + 1]).tolist()
        return [self._packed(codes[start:stop]) for start, stop in pairwise(ends)]

    def _packed(self, codes: ByteArray) -> ByteArray:
        blocks = -(-len(codes) // BLOCK_ROWS)
        padded = np.zeros((blocks * BLOCK_ROWS, codes.shape[1]), np.uint8)
        padded[: len(codes)] = codes
        packed = np.zeros((blocks, self._packer.block_size), np.uint8)
        for number in range(blocks):
            rows = padded[number * BLOCK_ROWS :]
            self._packer.pack_all(faiss.swig_ptr(rows), faiss.swig_ptr(packed[number]))
        return packed.reshape(-1)


class IvfRabitq(ListByList):
    """The scannable part of one space of one shard. Not safe for two threads at once."""

    def __init__(self, book: RabitqBook) -> None:
        # The quantizer is held by this object: faiss keeps a bare pointer to it.
        self._index, self._quantizer = _index(book)
        lists, dimension = book.centroids.shape
        self._centroids = faiss.rev_swig_ptr(self._quantizer.get_xb(), lists * dimension).reshape(lists, dimension)
        self._lists = faiss.downcast_InvertedLists(self._index.invlists)

    @property
    def faiss_index(self) -> faiss.IndexIVFRaBitQFastScan:
        """The faiss index itself, holding the lists loaded so far."""
        return self._index

    def scan(
        self,
        queries: Float32Array,
        lists: Int64Array,
        coarse: Float32Array,
        count: int,
        passing: faiss.IDSelector | None = None,
    ) -> Int64Array:
        """Scans lists.

        Args:
            queries: (n, d) float32, rotated, C-order.
            lists: (n, p) int64; -1 probes nothing.
            coarse: (n, p) float32: the inner product of query and centroid, or their squared distance for l2.
            count: rows to return for each query.
            passing: rows that may be returned (`ivf_pq.selector`).

        Returns:
            (n, count) int64 row numbers, nearest first by code; -1 where there are fewer.
        """
        n, p = lists.shape
        rows, scores = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
        pointer = faiss.swig_ptr
        parameters = faiss.SearchParametersIVF(nprobe=p, sel=passing)
        self._index.search_preassigned_c(
            n,
            pointer(queries),
            count,
            pointer(lists),
            pointer(coarse),
            pointer(scores),
            pointer(rows),
            False,
            parameters,
        )
        return rows
