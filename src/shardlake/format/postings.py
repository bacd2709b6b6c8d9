"""The postings of a shard, read: which bitmaps settle a condition. `format/attributes.py` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shardlake.format.attributes import EXTENT_TABLES, POSTING, PREFIX
from shardlake.format.bucket_postings import bucket_postings
from shardlake.format.container import Extent
from shardlake.format.keyword_postings import keyword_postings
from shardlake.format.paged_map import ReadExtents
from shardlake.format.posting import AttributePostings, Posting, Recipe, Tables
from shardlake.format.shard_header import ShardHeader
from shardlake.query.columns import condition
from shardlake.query.postings import column_of_bucket
from shardlake.types import AttributeType


def read_postings(header: ShardHeader, name: str) -> AttributePostings | None:
    """Returns the postings of an attribute, None in a shard of format version 1. Raises FormatError."""
    prefix = f"{PREFIX}{name}"
    if f"{prefix}/present" not in header.arrays:
        return None
    spec = header.attributes[name]
    tables = Tables(header, prefix)
    present = Posting.of(tables.array("present", np.uint64, (POSTING,)).tolist(), header.rows)
    if spec.type is AttributeType.TEXT:
        return AttributePostings(present)
    if spec.type is AttributeType.KEYWORD:
        return keyword_postings(tables, present)
    if spec.type is AttributeType.BOOL:
        return _BoolPostings(present, tables.postings("table", 2))
    return bucket_postings(tables, present, spec)


def posting_extents(header: ShardHeader) -> Iterator[Extent]:
    """Yields where the postings lie that the tail names: all but those of values in pages."""
    for name, array in header.arrays.items():
        if name.startswith(PREFIX) and name.endswith(EXTENT_TABLES):
            for offset, size, checksum in array.reshape(-1, array.shape[-1])[:, :3].tolist():
                if size:
                    yield Extent.of((offset, size, checksum))


class _BoolPostings(AttributePostings):
    def __init__(self, present: Posting, table: list[Posting]) -> None:
        super().__init__(present)
        self._table = table

    def _recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        passing = condition(word, column_of_bucket(np.array([0, 1], np.uint8)), operands)
        return Recipe(plus=[posting for posting, passes in zip(self._table, passing, strict=True) if passes])
