"""What of one space lies in a shard: list blocks, exact vectors, hash buckets, and what its tail says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from builder.beside import ahead
from builder.gather import ShardVectors
from builder.train import TrainedSpace
from shardlake.core import ivf_pq, ivf_rabitq
from shardlake.core.fast_scan import pack
from shardlake.core.vectors import quantize_rows
from shardlake.engine.spaces import NO_LIST
from shardlake.format.row_groups import GROUP_ROWS
from shardlake.format.shard import ListBlock, ListHead, ShardSpace, ShardWriter
from shardlake.types import ByteArray, Float32Array, IndexType, Int64Array

BATCH_ROWS = 16_384  # encoded at a time
_NOTHING = np.empty(0, np.uint8)

EncodeLists = Callable[[Float32Array, Int64Array, Sequence[int]], list[ByteArray]]
"""Takes vectors, the list of each, and lists; returns the packed codes of each of these."""


@dataclass(frozen=True, slots=True)
class SpaceInShard:
    """What is written of a trained space: `builder.layout.SpaceParts`.

    Attributes:
        space: as trained. shard_id: which shard.
        vectors: that the space is about, placed. reader: reads them ahead.
    """

    space: TrainedSpace
    shard_id: int
    vectors: ShardVectors
    reader: Executor

    @property
    def name(self) -> str:
        """Of the space."""
        return self.space.spec.name

    @property
    def is_stored(self) -> bool:
        """Whether it has lists of its own."""
        return self.space.spec.source is None

    def write_blocks(self, writer: ShardWriter) -> ShardSpace:
        """Writes lists, exact vectors, buckets; returns what the shard's meta object says of the space."""
        first_stop = self.space.shard_lists(self.shard_id)
        described = _described(self.space, first_stop)
        if self.is_stored:
            _write_own(writer, self.space, described, first_stop, self.vectors, self.reader)
        if self.space.hash is not None:
            _write_buckets(writer, self.space, self.vectors)
        return described

    def row_lists(self) -> npt.NDArray[np.int32]:
        """Returns (rows,) the list of each row."""
        lists = np.full(self.vectors.shard_rows, NO_LIST, np.int32)
        lists[self.vectors.rows] = self.vectors.lists - self.space.shard_lists(self.shard_id)[0]
        return lists

    def centroids(self) -> Float32Array:
        """Returns (lists, d), those of the shard's lists."""
        return self.space.centroids[slice(*self.space.shard_lists(self.shard_id))]

    def write_tail(self, writer: ShardWriter) -> None:
        """Writes what turns vectors into codes and keys."""
        space = self.space
        if space.codewords is not None:
            writer.add_array(f"codewords/{self.name}", space.codewords)
        if space.transform is not None:
            writer.add_array(f"transform/{self.name}", space.transform)
        if space.hash is not None:
            writer.add_array(f"directions/{self.name}", space.hash.directions)
            writer.add_array(f"thresholds/{self.name}", space.hash.thresholds)


def _described(space: TrainedSpace, first_stop: tuple[int, int]) -> ShardSpace:
    return ShardSpace(
        name=space.spec.name,
        dimension=space.spec.dimension,
        metric=space.spec.metric,
        index=space.index,
        lists=first_stop[1] - first_stop[0],
        code_bytes=space.code_bytes,
        code_dimension=space.code_dimension,
        bits=(space.spec.index.bits or 0) if space.index is not IndexType.FLAT else 0,
        tables=space.hash.tables if space.hash else 0,
        key_bits=space.hash.key_bits if space.hash else 0,
        source=space.spec.source,
        group_rows=GROUP_ROWS if space.spec.source is None else 0,
    )


def _write_own(  # noqa: PLR0917  # private: one caller
    writer: ShardWriter,
    space: TrainedSpace,
    described: ShardSpace,
    lists_of_shard: tuple[int, int],
    vectors: ShardVectors,
    reader: Executor,
) -> None:
    first, stop = lists_of_shard
    by_list = np.lexsort((vectors.rows, vectors.lists))
    bounds = np.searchsorted(vectors.lists[by_list], np.arange(first, stop + 1))
    groups = list(_groups(bounds))
    members = [by_list[int(bounds[group.start]) : int(bounds[group.stop])] for group in groups]
    reads = [partial(vectors.read, some) for some in members]
    encoder = _encoder(space)
    if encoder is None:
        ready: Iterator[_Ready] = repeat(_no_codes(space), len(groups))
    else:
        ready = ahead(reader, [partial(_made_ready, read) for read in reads])
    for group, some, of_group in zip(groups, members, ready, strict=True):
        _write_lists(writer, space, described, encoder, vectors.rows[some], of_group, bounds, (first, group))
    for group, read in zip(groups, ahead(reader, reads), strict=True):
        cuts = (bounds[group.start : group.stop + 1] - bounds[group.start]).tolist()
        for start, end in pairwise(cuts):
            writer.add_exact(described, read[start:end])


def _encoder(space: TrainedSpace) -> EncodeLists | None:
    """Returns what makes the codes of some lists; None where lists have none."""
    centroids = space.of_codes(space.centroids)
    if space.index is IndexType.IVF_RABITQ:
        bits = space.spec.index.bits or 1
        book = ivf_rabitq.RabitqBook(centroids=centroids, bits=bits, metric=space.spec.metric)
        return ivf_rabitq.Encoder(book).encode
    if space.codewords is None:
        return None
    codebook = ivf_pq.Codebook(centroids=centroids, codewords=space.codewords, metric=space.spec.metric)

    def encode(vectors: Float32Array, lists: Int64Array, wanted: Sequence[int]) -> list[ByteArray]:
        codes = ivf_pq.encode(vectors, lists, codebook)
        ends = np.searchsorted(lists, [*wanted, wanted[-1] + 1]).tolist()
        return [pack(codes[start:stop]) for start, stop in pairwise(ends)]

    return encode


class _Ready(NamedTuple):
    """Vectors of some lists, and their refine rows."""

    vectors: Float32Array
    refine: npt.NDArray[np.int8]
    scales: Float32Array


def _made_ready(read: Callable[[], Float32Array]) -> _Ready:
    vectors = read()
    return _Ready(vectors, *quantize_rows(vectors))


def _no_codes(space: TrainedSpace) -> _Ready:
    dimension = space.spec.dimension
    return _Ready(np.empty((0, dimension), np.float32), np.empty((0, dimension), np.int8), np.empty(0, np.float32))


def _groups(bounds: Int64Array) -> Iterator[range]:
    """Yields ranges of consecutive lists of about BATCH_ROWS rows together."""
    start = 0
    for number in range(1, len(bounds)):
        if bounds[number] - bounds[start] >= BATCH_ROWS or number == len(bounds) - 1:
            yield range(start, number)
            start = number


def _write_lists(  # noqa: PLR0917  # private: one caller
    writer: ShardWriter,
    space: TrainedSpace,
    described: ShardSpace,
    encoder: EncodeLists | None,
    members: Int64Array,
    ready: _Ready,
    bounds: Int64Array,
    numbers: tuple[int, range],
) -> None:
    first, group = numbers
    ends = bounds[group.start : group.stop + 1] - bounds[group.start]
    packed = [_NOTHING] * len(group)
    if encoder is not None:
        wanted = range(first + group.start, first + group.stop)
        packed = encoder(space.of_codes(ready.vectors), np.repeat(wanted, np.diff(ends)), wanted)
    for number, codes, (start, stop) in zip(group, packed, pairwise(ends.tolist()), strict=True):
        head = ListHead(
            rows=members[start:stop].astype(np.uint32),
            packed=codes,
            centroid=None if encoder is None else space.centroids[first + number],
        )
        writer.add_list(
            described, ListBlock(head=head, scales=ready.scales[start:stop], refine=ready.refine[start:stop])
        )


def _write_buckets(writer: ShardWriter, space: TrainedSpace, vectors: ShardVectors) -> None:
    """Writes every bucket of every table, also the empty ones: a bucket's number is its place."""
    assert space.hash is not None
    codes = np.empty((len(vectors.rows), len(space.hash.directions) // 8), np.uint8)
    for start in range(0, len(codes), BATCH_ROWS):
        some = np.arange(start, min(start + BATCH_ROWS, len(codes)))
        codes[some] = space.hash.encode(vectors.read(some))
    by_row = np.argsort(vectors.rows)
    rows, codes = vectors.rows[by_row].astype(np.uint32), codes[by_row]
    for table, keys in enumerate(space.hash.keys(codes).T):
        by_key = np.argsort(keys, kind="stable")
        first = table << space.hash.key_bits
        ends = np.searchsorted(keys[by_key], np.arange(first, first + (1 << space.hash.key_bits) + 1)).tolist()
        for start, stop in pairwise(ends):
            members = by_key[start:stop]
            writer.add_bucket(space.spec.name, rows[members], codes[members])
