"""Which class opens a space of which index type."""

from __future__ import annotations

from shardlake.engine.coded_space import CodedSpace
from shardlake.engine.flat_space import FlatSpace
from shardlake.engine.spaces import OpenSpace
from shardlake.format.shard import ShardSpace
from shardlake.format.shard_header import ShardHeader
from shardlake.types import IndexType

CODED = frozenset({IndexType.IVF_PQ, IndexType.IVF_RABITQ})


def open_space(header: ShardHeader, space: ShardSpace) -> OpenSpace:
    """Returns a space that has lists, opened. The vectors of a binary_mih space of its own lie as an ivf_flat's do."""
    return CodedSpace(header, space) if space.index in CODED else FlatSpace(header, space)
