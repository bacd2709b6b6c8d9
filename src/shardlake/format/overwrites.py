"""The ids that a segment overwrites, as a container of kind OVER: all its distinct ids, deleted ones included.

Whoever searches an older shard reads this alone to know which rows of it are no longer true. Blocks: `id` concatenated
UTF-8 in ascending order of bytes, and `id_offsets` u8 (ids + 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from itertools import pairwise

import numpy as np

from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.segment import check_strings

OVERWRITES_KIND = b"OVER"


def encode_overwrites(ids: Iterable[str]) -> bytes:
    """Returns the bytes of the file. The same ids, in whatever order and however often, give the same bytes."""
    distinct = sorted({each.encode() for each in ids})
    sink = BytesIO()
    writer = ContainerWriter(sink, OVERWRITES_KIND)
    writer.add_array("id_offsets", np.cumsum([0, *map(len, distinct)]).astype(np.uint64))
    writer.add_bytes("id", b"".join(distinct))
    writer.finish({"ids": len(distinct)})
    return sink.getvalue()


def decode_overwrites(data: bytes) -> list[bytes]:
    """Returns the distinct ids, ascending. Raises FormatError when the file contradicts the format."""
    file = Container(data, OVERWRITES_KIND)
    offsets, text = file.array("id_offsets"), file.array("id")
    check_strings("id", offsets, text)
    joined = text.tobytes()
    ids = [joined[a:b] for a, b in pairwise(offsets.tolist())]
    if any(first >= second for first, second in pairwise(ids)):
        raise FormatError("the ids that a segment overwrites are not ascending")
    return ids
