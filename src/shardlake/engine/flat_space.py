"""A space of full-precision vectors without codes: ivf_flat, of which lists are probed, and flat, which is one list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shardlake.core.ivf_flat import IvfFlat
from shardlake.engine.reading import Reader
from shardlake.engine.spaces import NO_LIST, NO_ROW, LoadedLists, Probe, RowLists
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
        """Makes lists scannable and their rows scorable. Cost: two rounds; lists are read whole."""
        rows = {number: block.head.rows for number, block in self.lists.blocks(lists, reader)}
        for number, vectors in self.lists.exact(list(rows), reader):
            self._keep(number, slice(None), rows[number].astype(np.int64), vectors)
            self.lists.keep(number)

    def load_rows(self, rows: Int64Array, members: RowLists, reader: Reader) -> None:
        """Makes rows scorable: `OpenSpace.load_rows`."""
        for part, there, vectors in self.lists.exact_rows(rows[~self.lists.held[rows]], members, reader):
            self._keep(part.number, part.members, there, vectors)
            if part.groups is None:
                self.lists.keep(part.number)

    def _keep(self, number: int, members: slice, rows: Int64Array, vectors: Float32Array) -> None:
        self._index.load_rows(number, members, rows, vectors)
        self.lists.keep_rows(rows, vectors.itemsize * vectors.shape[1] + 2 * rows.itemsize)

    def scan(
        self, query: Float32Array, probe: Probe, candidates: int, passing: RowSet | None, reader: Reader
    ) -> Int64Array:
        """Returns the row numbers of the `candidates` nearest in the lists, which may be fewer."""
        if not (self.lists.all_loaded or self.lists.loaded[probe.lists].all()):
            self.load(probe.lists.tolist(), reader)
        return self._index.scan(query, probe.lists, candidates, None if passing is None else passing.mask)

    def scan_many(
        self,
        queries: Float32Array,
        lists: Int64Array,
        coarse: Float32Array,
        candidates: int,
        passing: RowSet | None = None,
    ) -> Int64Array:
        """Scans loaded lists for many queries, one by one: `OpenSpace.scan_many`."""
        mask = None if passing is None else passing.mask
        found = np.full((len(queries), candidates), NO_ROW, np.int64)
        for row, query, probed in zip(found, queries, lists, strict=True):
            rows = self._index.scan(query, probed[probed != NO_LIST], candidates, mask)
            row[: len(rows)] = rows
        return found

    def score_rows(self, query: Float32Array, rows: Int64Array) -> Float32Array:
        """Returns (m,) exact scores of loaded rows."""
        return self._index.score(query, rows)
