"""What of one space lies in a shard: list blocks, exact vectors, hash buckets, and what its tail says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from builder.gather import ShardRows
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


def write_space(
    writer: ShardWriter, space: TrainedSpace, shard_id: int, rows: ShardRows, order: Int64Array
) -> ShardSpace:
    """Writes the blocks of one space; returns what the shard's meta object says of it.

    Args:
        writer: of the shard. space: as trained. shard_id: which shard.
        rows: of the shard, as they arrived. order: which arrived row each row of the shard is.
    """
    first_stop = space.shard_lists(shard_id)
    described = _described(space, first_stop)
    if space.spec.source is None:
        _write_own(writer, space, described, first_stop, rows, order)
    if space.hash is not None:
        _write_buckets(writer, space, rows, order)
    return described


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


def write_tail(writer: ShardWriter, space: TrainedSpace) -> None:
    """Writes what a search needs of the space before it can read anything else."""
    name = space.spec.name
    if space.codewords is not None:
        writer.add_array(f"codewords/{name}", space.codewords)
    if space.transform is not None:
        writer.add_array(f"transform/{name}", space.transform)
    if space.hash is not None:
        writer.add_array(f"directions/{name}", space.hash.directions)
        writer.add_array(f"thresholds/{name}", space.hash.thresholds)


def _write_own(  # noqa: PLR0917  # private: one caller
    writer: ShardWriter,
    space: TrainedSpace,
    described: ShardSpace,
    lists_of_shard: tuple[int, int],
    rows: ShardRows,
    order: Int64Array,
) -> None:
    name, (first, stop) = space.spec.name, lists_of_shard
    lists = rows.lists[name][order]
    by_list = np.argsort(lists, kind="stable")
    bounds = np.searchsorted(lists[by_list], np.arange(first, stop + 1))
    encoder = _encoder(space)
    for group in _groups(bounds):
        members = by_list[int(bounds[group.start]) : int(bounds[group.stop])]
        _write_lists(writer, space, described, encoder, rows, order, members, bounds, (first, group))
    for number in range(stop - first):
        members = by_list[bounds[number] : bounds[number + 1]]
        writer.add_exact(described, rows.vectors[name][order[members]])
    if name != next(iter(rows.lists)):
        writer.add_array(f"row_lists/{name}", np.where(lists == NO_LIST, NO_LIST, lists - first).astype(np.int32))


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
    rows: ShardRows,
    order: Int64Array,
    members: Int64Array,
    bounds: Int64Array,
    numbers: tuple[int, range],
) -> None:
    name, (first, group) = space.spec.name, numbers
    begin = int(bounds[group.start])
    if encoder is None:
        refine: npt.NDArray[np.int8] = np.empty((0, space.spec.dimension), np.int8)
        scales = np.empty(0, np.float32)
        packed = [_NOTHING] * len(group)
    else:
        vectors = np.asarray(rows.vectors[name][order[members]])
        refine, scales = quantize_rows(vectors)
        lists = rows.lists[name][order[members]].astype(np.int64)
        packed = encoder(space.of_codes(vectors), lists, [first + number for number in group])
    for number, codes in zip(group, packed, strict=True):
        part = slice(int(bounds[number]) - begin, int(bounds[number + 1]) - begin)
        head = ListHead(
            rows=members[part].astype(np.uint32),
            packed=codes,
            centroid=None if encoder is None else space.centroids[first + number],
        )
        writer.add_list(described, ListBlock(head=head, scales=scales[part], refine=refine[part]))


def _write_buckets(writer: ShardWriter, space: TrainedSpace, rows: ShardRows, order: Int64Array) -> None:
    """Writes every bucket of every table, also the empty ones: a bucket's number is its place."""
    assert space.hash is not None
    has = np.flatnonzero(rows.lists[space.stored_as][order] != NO_LIST)
    vectors = rows.vectors[space.stored_as]
    codes = np.empty((len(has), len(space.hash.directions) // 8), np.uint8)
    for start in range(0, len(has), BATCH_ROWS):
        part = has[start : start + BATCH_ROWS]
        codes[start : start + BATCH_ROWS] = space.hash.encode(np.asarray(vectors[order[part]]))
    for table, keys in enumerate(space.hash.keys(codes).T):
        by_key = np.argsort(keys, kind="stable")
        first = table << space.hash.key_bits
        ends = np.searchsorted(keys[by_key], np.arange(first, first + (1 << space.hash.key_bits) + 1)).tolist()
        for start, stop in pairwise(ends):
            members = by_key[start:stop]
            writer.add_bucket(space.spec.name, has[members].astype(np.uint32), codes[members])
