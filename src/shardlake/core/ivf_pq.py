"""Residual IVF-PQ over lists that arrive one by one: faiss does the arithmetic.

An `IvfPq` begins empty; `load_list` gives it the codes and the centroid of one list, `scan` searches the lists it has.
Source: Jégou et al. 2011 (IVFADC), André et al. 2015 (fast scan).
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from shardlake.core.fast_scan import BLOCK_ROWS
from shardlake.core.threads import shared
from shardlake.core.vectors import SUBVECTOR
from shardlake.types import ByteArray, Float32Array, Int64Array, Metric

BITS = 4
_ENCODED_TOGETHER = 2_048  # rows, a multiple of what faiss takes at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Codebook:
    """What training learned for one space.

    Attributes:
        centroids: (lists, d) float32, d the padded dimension.
        codewords: (m, 16, d / m) float32: of the residuals.
        metric: of the space.
    """

    centroids: Float32Array
    codewords: Float32Array
    metric: Metric


def faiss_metric(metric: Metric) -> int:
    """Returns faiss's number of the metric; cosine is the inner product of unit vectors."""
    return int(faiss.METRIC_L2 if metric is Metric.L2 else faiss.METRIC_INNER_PRODUCT)


def nearest_centroids(queries: Float32Array, centroids: Float32Array, count: int, metric: Metric) -> Int64Array:
    """Returns (n, count) int64: the `count` nearest centroids (lists, d) of each of many queries (n, d)."""
    _, numbers = faiss.knn(np.ascontiguousarray(queries), centroids, count, metric=faiss_metric(metric))
    return np.asarray(numbers, np.int64)


def product_quantizer(codewords: Float32Array) -> faiss.ProductQuantizer:
    """Returns faiss's quantizer with these codewords (m, 16, d / m)."""
    m, _, sub = codewords.shape
    quantizer = faiss.ProductQuantizer(m * sub, m, BITS)
    faiss.copy_array_to_vector(np.ascontiguousarray(codewords, np.float32).reshape(-1), quantizer.centroids)
    return quantizer


def encode(vectors: Float32Array, lists: Int64Array, book: Codebook) -> ByteArray:
    """Returns (n, m / 2) uint8: the PQ codes of each vector's residual to the centroid of its list.

    As many threads as faiss was given take some thousand rows each at a time.
    """
    quantizer = product_quantizer(book.codewords)
    quantizer.sync_transposed_centroids()  # a fifth faster, for 8 KB
    codes = np.empty((len(vectors), quantizer.code_size), np.uint8)

    def of_rows(start: int) -> None:
        rows = slice(start, start + _ENCODED_TOGETHER)
        codes[rows] = quantizer.compute_codes(vectors[rows] - book.centroids[lists[rows]])

    shared(of_rows, range(0, len(vectors), _ENCODED_TOGETHER))
    return codes


class ListByList:
    """A faiss IVF index whose lists arrive one by one, each with its codes and its centroid.

    Requires: `_lists` are the inverted lists of `_index`, `_centroids` (lists, d) a view of its quantizer's.
    """

    _index: faiss.IndexIVFFastScan
    _lists: faiss.InvertedLists
    _centroids: Float32Array

    def load_list(self, number: int, rows: Int64Array, packed: ByteArray, centroid: Float32Array | None = None) -> None:
        """Gives the index one list.

        Args:
            number: of the list within the shard; loaded at most once.
            rows: (n,) int64 row numbers.
            packed: codes of those rows, as the index holds them.
            centroid: (d,) float32 of the list, as codes are made of it, where it is not known yet.
        """
        if centroid is not None:
            self._centroids[number, : len(centroid)] = centroid
        self._lists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(packed))
        self._index.ntotal += len(rows)


class IvfPq(ListByList):
    """The scannable part of one space of one shard. Not safe for two threads at once."""

    def __init__(self, book: Codebook) -> None:
        lists, dimension = book.centroids.shape
        self._book = book
        self._dimension = dimension
        # Held by this object: faiss keeps a bare pointer to its quantizer.
        self._quantizer = faiss.IndexFlat(dimension, faiss_metric(book.metric))
        self._quantizer.add(book.centroids)
        self._index = faiss.IndexIVFPQFastScan(
            self._quantizer, dimension, lists, dimension // SUBVECTOR, BITS, faiss_metric(book.metric), BLOCK_ROWS
        )
        self._index.by_residual = True
        codewords = np.ascontiguousarray(book.codewords, np.float32).reshape(-1)
        faiss.copy_array_to_vector(codewords, self._index.pq.centroids)
        self._index.is_trained = True
        # No precomputed table: it needs the centroids of all lists, and saves a thousandth of a scan.
        start = faiss.rev_swig_ptr(self._quantizer.get_xb(), lists * dimension)
        self._centroids = start.reshape(lists, dimension)
        self._lists = faiss.downcast_InvertedLists(self._index.invlists)
        self._parameters = faiss.SearchParametersIVF()
        self._nprobe = 0
        self._make_room(1, 1)

    @property
    def faiss_index(self) -> faiss.IndexIVFPQFastScan:
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
            queries: (n, d) float32, C-order.
            lists: (n, p) int64; -1 probes nothing.
            coarse: (n, p) float32: the inner product of query and centroid, or their squared distance for l2.
            count: rows to return for each query.
            passing: rows that may be returned (`selector`).

        Returns:
            (n, count) int64 row numbers, nearest first by code; -1 where there are fewer.
        """
        n, p = lists.shape
        if self._found_shape != (n, count):
            self._make_room(n, count)
        if self._nprobe != p:  # setting a field of a faiss object costs as much as a probe
            self._parameters.nprobe = self._nprobe = p
        parameters = self._parameters
        if passing is not None:
            parameters = faiss.SearchParametersIVF(nprobe=p, sel=passing)
        pointer = faiss.swig_ptr
        self._index.search_preassigned_c(
            n,
            pointer(queries),
            count,
            pointer(lists),
            pointer(coarse),
            self._scores_at,
            self._rows_at,
            False,
            parameters,
        )
        return self._rows.copy()

    def _make_room(self, n: int, count: int) -> None:
        # Kept from scan to scan: making arrays and pointers costs as much as probing a list.
        self._found_shape = (n, count)
        self._scores = np.empty((n, count), np.float32)
        self._rows = np.empty((n, count), np.int64)
        self._scores_at, self._rows_at = faiss.swig_ptr(self._scores), faiss.swig_ptr(self._rows)


def selector(bitmap: ByteArray) -> faiss.IDSelector:
    """Returns faiss's selector of the rows whose bits are set, little bit first. The bitmap must outlive it."""
    return faiss.IDSelectorBitmap(bitmap)
