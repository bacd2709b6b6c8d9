"""The attributes of an opened shard: which rows pass a filter, and whole columns for who needs all values.

A filter is answered from postings in at most two rounds of reads: the pages of dictionaries that its values are found
in, where a dictionary is not in the tail, and then the bitmaps and the values of buckets on a border. A shard of format
version 1 has no postings: there the columns of the filter are read, in one round, and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from pyroaring import BitMap

from shardlake.engine.lru import BytesLru
from shardlake.engine.reading import Reader
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.format.columns import column_blocks, decode_column
from shardlake.format.container import Extent, decode_block
from shardlake.format.posting import AttributePostings, InBucket, Posting, Recipe
from shardlake.format.postings import read_postings
from shardlake.format.shard_header import ShardHeader
from shardlake.query.columns import Column, condition, evaluate
from shardlake.query.filter import Node, attributes_of
from shardlake.query.postings import (
    at_most,
    bitmap_of,
    column_of_bucket,
    conditions,
    row_set,
    rows_passing,
    spelled_out,
)
from shardlake.query.rows import RowSet

FILTER_BYTES = 32 * 1024 * 1024  # of answers to filters that a shard keeps: a million rows have one of 1 to 9 MB
Beside = Callable[[int], Iterable[Extent]]
"""Given how many rows pass at most, returns what its caller will read next, to come in the round of the bitmaps."""

POSTING_BYTES = 16 * 1024 * 1024  # of bitmaps and values of buckets, for filters that are alike


class ShardAttributes:
    """What of a shard's attributes has been read so far. Not safe for two threads at once."""

    def __init__(self, header: ShardHeader) -> None:
        self._header = header
        self._postings: dict[str, AttributePostings | None] = {}
        self._columns: dict[str, Column] = {}
        self._column_bytes = 0
        self._answers: BytesLru[bytes, RowSet] = BytesLru(FILTER_BYTES)
        self._read: BytesLru[int, bytes] = BytesLru(POSTING_BYTES)

    @property
    def resident_bytes(self) -> int:
        """What is held in memory."""
        pages = sum(found.resident_bytes for found in self._postings.values() if found is not None)
        return self._column_bytes + pages + self._answers.resident_bytes + self._read.resident_bytes

    def passing(self, node: Node, reader: Reader, beside: Beside = lambda most: ()) -> RowSet:
        """Returns the rows that pass a filter in wire form.

        Args:
            node: the filter. reader: of the shard. beside: what else is wanted, once the tail has told how many pass.

        Raises:
            InvalidInput: invalid-filter, when the shard has no such attribute or no values of it.
            FormatError: when bytes read contradict the format. Whatever the reads raise.

        Cost: at most two rounds; nothing is read again for a filter that was answered lately, in whatever order its
            conditions stand.
        """
        key = canonical(node)
        found = self._answers.get(key)
        if found is None:
            found = self._answer(node, reader, beside)
            self._answers.put(key, found, found.nbytes)
        return found

    def matching(self, node: Node, reader: Reader) -> RowSet:
        """Returns what `passing` does, of a filter that will not be asked again: its answer is not kept.

        What was read for it is: bitmaps and values of buckets. Raises: as `passing`. Cost: as `passing`.
        """
        return self._answer(node, reader, lambda most: ())

    def column(self, name: str, reader: Reader) -> Column:
        """Returns the whole column of an attribute, which stays. Raises: as `passing`. Cost: one round, once."""
        self._load_columns([name], reader)
        return self._columns[name]

    def _answer(self, node: Node, reader: Reader, beside: Beside) -> RowSet:
        names = attributes_of(node)
        postings = {name: found for name in names if (found := self._postings_of(name)) is not None}
        if len(postings) < len(names):
            self._load_columns(names, reader)
            return RowSet(evaluate(node, self._columns, self._header.rows))
        bitmap = _Question(spelled_out(node), postings, self._header.rows, self._read).answer(reader, beside)
        return row_set(bitmap, self._header.rows)

    def _postings_of(self, name: str) -> AttributePostings | None:
        self._check(name)
        if name not in self._postings:
            self._postings[name] = read_postings(self._header, name)
        return self._postings[name]

    def _check(self, name: str) -> None:
        if name not in self._header.attributes:
            raise InvalidInput(f"the shard has no attribute {name}", kind=ErrorKind.INVALID_FILTER)

    def _load_columns(self, names: Iterable[str], reader: Reader) -> None:
        missing = sorted(set(names) - self._columns.keys())
        for name in missing:
            self._check(name)
        names_of_blocks = [block for name in missing for block in column_blocks(self._header, name)]
        blocks = {block: self._header.directory.block(block) for block in names_of_blocks}
        data = dict(zip(blocks, reader.extents([block.extent for block in blocks.values()]), strict=True))
        for name in missing:
            own = column_blocks(self._header, name)
            arrays: dict[str, npt.NDArray[Any]] = {b: decode_block(b, blocks[b], data[b]) for b in own}
            self._columns[name] = decode_column(self._header, name, arrays)
            self._column_bytes += sum(array.nbytes for array in arrays.values())


def canonical(node: Node) -> bytes:
    """Returns one text for filters that differ in the order of their conditions and values only.

    >>> canonical(["or", ["eq", "b", 1], ["in", "a", [2, 1]]]) == canonical(["or", ["in", "a", [1, 2]], ["eq", "b", 1]])
    True
    """
    return orjson.dumps(_ordered(node))


def _ordered(node: Node) -> Node:
    word = node[0]
    if word in {"and", "or"}:
        return [word, *sorted(map(_ordered, node[1:]), key=orjson.dumps)]
    if word == "not":
        return [word, _ordered(node[1])]
    return [word, node[1], sorted(set(node[2]))] if word in {"in", "all_of"} else node


class _Question:
    """One filter on its way: its conditions, what settles each, and what was read for that."""

    def __init__(
        self, node: Node, postings: Mapping[str, AttributePostings], rows: int, cache: BytesLru[int, bytes]
    ) -> None:
        self._node = node
        self._postings = postings
        self._rows = rows
        self._cache = cache
        # By identity: a condition is a list, and the tree holds every one of them until the end.
        self._recipes: dict[int, Recipe] = {}
        self._data: dict[int, bytes] = {}

    def answer(self, reader: Reader, beside: Beside) -> BitMap:
        conditions_ = conditions(self._node, lambda _: self._rows, self._rows)
        pages = [extent for one in conditions_ for extent in self._postings[one[1]].pages(one[0], one[2:])]
        self._fetch(pages, reader)
        for one in conditions_:
            self._recipes[id(one)] = self._postings[one[1]].recipe(one[0], one[2:], self._fetched)
        # Where a value is in no row, what stands beside it under `and` is not read.
        needed = [self._recipes[id(one)] for one in conditions(self._node, self._count, self._rows)]
        most = at_most(self._node, self._count, self._rows)
        self._fetch(_extents(needed), reader, beside(most))
        return rows_passing(self._node, self._bitmap, self._count, self._rows)

    def _count(self, one: Node) -> int:
        recipe = self._recipes.get(id(one))
        return recipe.count if recipe else 0

    def _fetch(self, extents: Sequence[Extent], reader: Reader, beside: Iterable[Extent] = ()) -> None:
        wanted = {extent.offset: extent for extent in extents}
        for offset in wanted:
            held = self._cache.get(offset)
            if held is not None:
                self._data[offset] = held
        missing = [extent for offset, extent in wanted.items() if offset not in self._data]
        for extent, data in zip(missing, reader.extents(missing, beside), strict=True):
            self._data[extent.offset] = data

    def _fetched(self, extents: Sequence[Extent]) -> list[bytes]:
        return [self._data[extent.offset] for extent in extents]

    def _bitmap(self, one: Node) -> BitMap:
        recipe = self._recipes[id(one)]
        found = self._union(recipe.plus)
        if recipe.minus:
            found = found - self._union(recipe.minus)
        parts = [self._decode(posting) for posting in recipe.also]
        parts.extend(self._inside(bucket, one) for bucket in recipe.inside)
        return BitMap.union(found, *parts) if parts else found

    def _union(self, postings: Sequence[Posting]) -> BitMap:
        parts = [self._decode(posting) for posting in postings]
        return parts[0] if len(parts) == 1 else BitMap.union(BitMap(), *parts)

    def _inside(self, bucket: InBucket, one: Node) -> BitMap:
        data = self._data[bucket.values.offset]
        values = bucket.decode(data)
        self._cache.put(bucket.values.offset, data, len(data))
        rows = np.frombuffer(self._decode(bucket.rows).to_array(), np.uint32)
        return bitmap_of(rows[condition(one[0], column_of_bucket(values), one[2:])])

    def _decode(self, posting: Posting) -> BitMap:
        data = self._data[posting.offset] if posting.size else b""
        bitmap = posting.decode(data, self._rows)
        if data:  # kept once it is known to be right
            self._cache.put(posting.offset, data, len(data))
        return bitmap


def _extents(recipes: Iterable[Recipe]) -> list[Extent]:
    extents = [posting.extent for recipe in recipes for posting in recipe.postings]
    values = [bucket.values for recipe in recipes for bucket in recipe.inside]
    return [extent for extent in [*extents, *values] if extent is not None]
