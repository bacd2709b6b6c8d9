"""A space of full-precision vectors without codes: ivf_flat, of which lists are probed, and flat, which is one list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shardlake.core.ivf_flat import IvfFlat
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import LoadedLists, Probe
from shardlake.format.shard import ShardSpace
from shardlake.format.shard_header import ShardHeader
from shardlake.query.rows import RowSet
from shardlake.types import Float32Array, Int64Array


class FlatSpace:
    """Vectors list after list; every score is exact."""

    def __init__(self, header: ShardHeader, space: ShardSpace) -> None:
        self.lists = LoadedLists(header, space)
        self._index = IvfFlat(self.lists.list_rows, space.dimension, header.rows, space.metric)

    @property
    def resident_bytes(self) -> int:
        """What it holds in memory."""
        return self.lists.resident_bytes

    def load(self, lists: Sequence[int], reader: Reader) -> None:
        """Makes lists scannable and their rows scorable."""
        rows = {number: block.rows for number, block in self.lists.blocks(lists, reader)}
        for number, vectors in self.lists.exact(list(rows), reader):
            self._index.load_list(number, rows[number].astype(np.int64), vectors)
            self.lists.keep(number, vectors.nbytes + 4 * rows[number].nbytes)

    def scan(
        self, query: Float32Array, probe: Probe, candidates: int, passing: RowSet | None, reader: Reader
    ) -> Int64Array:
        """Returns the row numbers of the `candidates` nearest in the lists, which may be fewer."""
        if not (self.lists.all_loaded or self.lists.loaded[probe.lists].all()):
            self.load(probe.lists.tolist(), reader)
        return self._index.scan(query, probe.lists, candidates, None if passing is None else passing.mask)

    def scan_many(self, queries: Float32Array, lists: Int64Array, coarse: Float32Array, candidates: int) -> Int64Array:
        """Never called: without codes nothing is won by scanning for many queries at once."""
        raise AssertionError("a space without codes is scanned for one query at a time")

    def score_rows(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        """Returns (m,) exact scores of loaded rows."""
        return self._index.score(query, rows)
