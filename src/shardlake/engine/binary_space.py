"""A binary_mih space: codes in hash buckets, which find rows by Hamming distance; the vectors they are computed from
score what was found.

The vectors are those of another space, or its own where it has lists. The one parameter of depth is how many buckets a
search opens (`nprobe`): nearest first, over all tables together, so that a query opens more of a table whose key it is
less sure of. Calibration measures what each depth finds, as it does for lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shardlake.contracts.shard import LeafStats, VectorSource
from shardlake.core import binary
from shardlake.core.calibration import band_for
from shardlake.engine.hidden import hides_few
from shardlake.engine.nearest import FEW_ROWS, Found, MembersOf, Nearest
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import OpenSpace
from shardlake.format.container import Extent
from shardlake.format.shard import ShardSpace, decode_bucket
from shardlake.format.shard_header import ShardHeader
from shardlake.query.rows import RowSet
from shardlake.types import ByteArray, Float32Array, IndexType, Int64Array

ROW_BYTES = 8  # a row number of a bucket in memory


class Buckets:
    """Hash buckets of one shard, loaded when a search first opens them."""

    def __init__(self, header: ShardHeader, space: ShardSpace) -> None:
        self.space = space
        self._header = header
        self._hash = binary.BinaryHash(
            directions=header.arrays[f"directions/{space.name}"],
            thresholds=header.arrays[f"thresholds/{space.name}"],
            key_bits=space.key_bits,
            tables=space.tables,
        )
        self.bucket_rows: Int64Array = header.arrays[f"bucket_rows/{space.name}"].astype(np.int64)
        self._rows: dict[int, Int64Array] = {}
        # By row, since each row is in a bucket of every table. Pages that no bucket has touched cost no memory.
        self._codes = np.zeros((header.rows, space.bits // binary.WORD_BITS), np.uint64)
        self._seen = np.zeros(header.rows, bool)
        self._bucket_bytes = 0

    @property
    def resident_bytes(self) -> int:
        """What they hold in memory, near enough to bound a cache by."""
        return self._bucket_bytes

    def candidates(  # noqa: PLR0917  # the parameters of a scan
        self,
        query: Float32Array,
        nprobe: int,
        bounds: tuple[int, int],
        passing: RowSet | None,
        reader: Reader,
        stats: LeafStats,
    ) -> Int64Array:
        """Returns the rows nearest by Hamming distance in the nearest `nprobe` buckets, nearest first.

        Args:
            query: (d,) float32, prepared for the metric of the vectors.
            nprobe: buckets to open.
            passing: rows that may be returned. reader: of the shard. stats: counts into.
            bounds: how many at least and at most. Where the buckets have fewer than the least, twice as many are
                opened, and so on, until there are no more. Cost: one round of reads, and one more each time.
        """
        least, most = bounds
        try:
            rows, opened = self._members(self._ranked(query), nprobe, least, passing, reader)
        finally:
            self._seen[:] = False
        stats.lists_probed += opened
        stats.codes_scanned += len(rows)
        code = binary.words(self._hash.encode(query[None]))[0]
        return rows[binary.nearest_codes(binary.hamming(code, self._codes[rows]), most)]

    def _members(  # private: one caller
        self, ranked: Int64Array, nprobe: int, least: int, passing: RowSet | None, reader: Reader
    ) -> tuple[Int64Array, int]:
        """Returns the rows of the first buckets, at least so many where there are, and how many were opened."""
        opened, depth = 0, max(nprobe, 1)
        while True:
            buckets = ranked[opened:depth]
            self.load_buckets(buckets.tolist(), reader)
            for number in buckets.tolist():
                self._seen[self._rows[number]] = True
            opened += len(buckets)
            rows = np.flatnonzero(self._seen if passing is None else self._seen & passing.mask)
            if len(rows) >= least or opened == len(ranked):
                return rows, opened
            depth *= 2

    def load_buckets(self, numbers: Sequence[int], reader: Reader) -> None:
        """Reads the buckets that are not loaded yet, in one round."""
        missing = [number for number in numbers if number not in self._rows]
        extents = [self._header.bucket_extent(self.space.name, number) for number in missing]
        for number, extent, data in zip(missing, extents, reader.extents(extents), strict=True):
            count = int(self.bucket_rows[number])
            bucket = decode_bucket(self.space, count, self._header.rows, extent, data)
            rows = bucket.rows.astype(np.int64)
            self._rows[number] = rows
            self._codes[rows] = _words(bucket.codes)
            self._bucket_bytes += count * (ROW_BYTES + self.space.bits // 8 // self.space.tables)

    def _ranked(self, query: Float32Array) -> Int64Array:
        """Returns the buckets that hold anything, nearest first."""
        filled = np.flatnonzero(self.bucket_rows)
        return filled[np.argsort(-self._hash.bucket_scores(query)[filled], kind="stable")]


class NearestBuckets(Nearest):
    """Searches of a binary_mih space: found by its buckets, scored by the space that has the vectors."""

    def __init__(self, space: OpenSpace, members: MembersOf, buckets: Buckets) -> None:
        """Args: the space that has the vectors, its members, and the buckets."""
        super().__init__(space, members)
        self.buckets = buckets

    def wanted(self, source: VectorSource, k: int, most: int) -> list[Extent]:
        """Returns nothing: buckets are found without centroids."""
        return []

    def search(self, source: VectorSource, k: int, passing: RowSet | None, reader: Reader, stats: LeafStats) -> Found:
        """Returns the rows that may be among the k nearest, scored: as `Nearest.search`.

        Where few rows pass, or the search is exact, the vectors themselves are searched. Under another filter as many
        buckets are opened as the curve wants, or without one as many more as it takes to see as many rows that pass.
        """
        if passing is not None and passing.is_all:
            passing = None
        is_whole = hides_few(passing)
        few_pass = passing is not None and not is_whole and passing.count <= max(FEW_ROWS, k)
        if source.exact or few_pass or self.space.lists.space.index is IndexType.FLAT:
            return super().search(source, k, passing, reader, stats)
        share = 1.0 if passing is None or is_whole else passing.count / len(passing.mask)
        bounds = max(k, source.depth), max(source.candidates, k)
        band = None if is_whole else band_for(source.widening, share)
        nprobe = math.ceil(source.nprobe / share) if band is None else band.lists
        rows = self.buckets.candidates(source.query, nprobe, bounds, passing, reader, stats)
        stats.rows_refined += len(rows)
        scores = self.score(source, rows, reader)
        return Found(rows, scores.astype(np.float32), "buckets")


def _words(codes: ByteArray) -> binary.Words:
    # A bucket's codes begin where its rows end, which is no place for words.
    return binary.words(codes.copy())
