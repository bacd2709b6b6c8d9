"""A shard's space as a plain faiss index: what any program that has faiss can open and search."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from shardlake.contracts.shard import LeafStats
from shardlake.core.ivf_pq import faiss_metric
from shardlake.engine.reading import Reader, groups
from shardlake.engine.shard import OpenShard
from shardlake.engine.spaces import IvfPqSpace, LoadedLists
from shardlake.errors import NotImplementedYet
from shardlake.format.shard import decode_items
from shardlake.format.shard_header import items_first_rows
from shardlake.limits import MIB
from shardlake.types import IndexType

GROUP_BYTES = 32 * MIB  # of items or vectors that are read at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A space of a shard for faiss.

    Attributes:
        index: its ids are row numbers of the shard.
        dimension: of its vectors: the space's own, padded with zeros to a multiple of 4 where it holds codes.
        ids: the item of each row.
    """

    index: faiss.Index
    dimension: int
    ids: list[str]


def export(shard: OpenShard, space: str) -> Exported:
    """Returns a space as a faiss index.

    An ivf_pq space becomes an IndexIVFPQFastScan that finds by code what our scan finds (we then refine, faiss can not:
    its file has no refine rows); a flat one an IndexFlat under ids. Memory: the index, and one group of what is read.

    Raises:
        NotFound: unknown-space. NotImplementedYet: for an index type that faiss has no file for yet.
        FormatError: when what is read contradicts the format. Whatever the reads raise.
    """
    reader = shard.reader(LeafStats())
    opened = shard.space(space)
    if isinstance(opened, IvfPqSpace):
        index = _coded(opened, reader)
    elif opened.lists.space.index is IndexType.FLAT:
        index = _flat(shard, opened.lists, reader)
    else:
        raise NotImplementedYet(f"a space of type {opened.lists.space.index} cannot be exported yet", space=space)
    return Exported(index=index, dimension=index.d, ids=_ids(shard, reader))


def _coded(opened: IvfPqSpace, reader: Reader) -> faiss.Index:
    lists = opened.lists
    numbers = list(range(lists.space.lists))
    for group in groups(numbers, lambda number: lists.header.list_extent(lists.space.name, number).bytes, GROUP_BYTES):
        opened.load(group, reader)
    return opened.faiss_index


def _flat(shard: OpenShard, lists: LoadedLists, reader: Reader) -> faiss.Index:
    space = lists.space
    index = faiss.IndexIDMap2(faiss.IndexFlat(space.dimension, faiss_metric(space.metric)))
    rows = {number: block.rows for number, block in lists.blocks(range(space.lists), reader)}
    for number, vectors in lists.exact(list(rows), reader):
        index.add_with_ids(np.ascontiguousarray(vectors), rows[number].astype(np.int64))
    return index


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
