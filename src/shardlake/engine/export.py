"""A shard's space as a plain faiss index: what any program that has faiss can open and search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np

from shardlake.contracts.shard import LeafStats
from shardlake.core.ivf_pq import faiss_metric
from shardlake.engine.coded_space import CodedSpace
from shardlake.engine.reading import Reader, groups
from shardlake.engine.shard import OpenShard
from shardlake.engine.spaces import LoadedLists
from shardlake.errors import NotImplementedYet
from shardlake.format.shard import decode_items
from shardlake.format.shard_header import ShardHeader, items_first_rows
from shardlake.limits import MIB
from shardlake.types import Float32Array, IndexType, Int64Array

GROUP_BYTES = 32 * MIB  # of items or vectors that are read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A space of a shard for faiss.

    Attributes:
        index: takes vectors of the space's dimension, prepared for its metric; its ids are row numbers of the shard.
        ids: the item of each row.
    """

    index: faiss.Index
    ids: list[str]


def export(shard: OpenShard, space: str) -> Exported:
    """Returns a space as a faiss index.

    ivf_pq and ivf_rabitq become faiss's fast-scan indexes, which find by code what our scan finds (we then refine; such
    a file has no refine rows); ivf_flat an IndexIVFFlat; flat an IndexFlat under ids. What a space does to vectors
    before their codes are made (a rotation, zeros behind them) is part of the file. Memory: the index, and one group of
    what is read.

    Raises:
        NotFound: unknown-space. NotImplementedYet: for hash buckets, which are ours alone.
        FormatError: when what is read contradicts the format. Whatever the reads raise.
    """
    reader = shard.reader(LeafStats())
    opened = shard.space(space)
    kind = shard.header.spaces[space].index
    if kind is IndexType.BINARY_MIH:
        raise NotImplementedYet(
            "hash buckets are no index of faiss's: export the space they are made from", space=space
        )
    if isinstance(opened, CodedSpace):
        index = _coded(shard.header, opened, reader)
    elif kind is IndexType.IVF_FLAT:
        index = _listed(opened.lists, reader)
    else:
        index = _flat(opened.lists, reader)
    return Exported(index=index, ids=_ids(shard, reader))


def _coded(header: ShardHeader, opened: CodedSpace, reader: Reader) -> faiss.Index:
    space = opened.lists.space
    numbers = range(space.lists)
    for group in groups(numbers, lambda number: header.list_extent(space.name, number).bytes, GROUP_BYTES):
        opened.load(group, reader)
    index = opened.faiss_index
    transform = header.arrays.get(f"transform/{space.name}")
    if transform is None and index.d == space.dimension:
        return index
    matrix = np.zeros((index.d, space.dimension), np.float32)
    turned = np.eye(space.dimension, dtype=np.float32) if transform is None else transform
    matrix[: len(turned)] = turned
    linear = faiss.LinearTransform(space.dimension, index.d, False)
    faiss.copy_array_to_vector(matrix.reshape(-1), linear.A)
    linear.is_trained = True
    return faiss.IndexPreTransform(linear, index)


def _listed(lists: LoadedLists, reader: Reader) -> faiss.Index:
    space = lists.space
    lists.read_centroids(reader)
    quantizer = faiss.IndexFlat(space.dimension, faiss_metric(space.metric))
    quantizer.add(np.ascontiguousarray(lists.centroids))
    index = faiss.IndexIVFFlat(quantizer, space.dimension, space.lists, faiss_metric(space.metric))
    quantizer.this.disown()  # the index outlives this function, and frees it
    index.own_fields = True
    index.is_trained = True
    for number, rows, vectors in _vectors(lists, reader):
        codes = np.ascontiguousarray(vectors).view(np.uint8)
        index.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes))
        index.ntotal += len(rows)
    return index


def _flat(lists: LoadedLists, reader: Reader) -> faiss.Index:
    index = faiss.IndexIDMap2(faiss.IndexFlat(lists.space.dimension, faiss_metric(lists.space.metric)))
    for _, rows, vectors in _vectors(lists, reader):
        index.add_with_ids(np.ascontiguousarray(vectors), rows)
    return index


def _vectors(lists: LoadedLists, reader: Reader) -> Iterator[tuple[int, Int64Array, Float32Array]]:
    """Yields number, rows and vectors of each list."""
    rows = {number: block.head.rows for number, block in lists.blocks(range(lists.space.lists), reader)}
    for number, vectors in lists.exact(list(rows), reader):
        yield number, rows[number].astype(np.int64), vectors


def _ids(shard: OpenShard, reader: Reader) -> list[str]:
    firsts, header = items_first_rows(shard.header), shard.header
    found: list[str] = []
    for group in groups(range(len(firsts) - 1), lambda number: header.item_extent(number).bytes, GROUP_BYTES):
        extents = [header.item_extent(number) for number in group]
        for number, extent, data in zip(group, extents, reader.extents(extents), strict=True):
            count = firsts[number + 1] - firsts[number]
            chunk = decode_items(count, extent, data)
            found += [chunk.entry(position)[0] for position in range(count)]
    return found
