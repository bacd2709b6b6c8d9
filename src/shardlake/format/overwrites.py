"""The ids that a segment overwrites, as a container of kind OVER: all its distinct ids, deleted ones included.

Whoever searches an older shard reads this alone to know which rows of it are no longer true. Blocks: `id` concatenated
UTF-8 in ascending order of bytes, and `id_offsets` u8 (ids + 1). Of a segment that compaction has merged of others:
`part` u4 (ids), which part each id belongs to, and the meta object's `parts` has the sequence and order of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter, expect
from shardlake.format.segment import check_strings

OVERWRITES_KIND = b"OVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Ids of a merged segment whose last place in the log is the same, and their latest order.

    That need not be the order of what stands at that place: a change made of an item has none of its own.
    """

    sequence: int
    order: str
    ids: frozenset[bytes]


def encode_overwrites(ids: Iterable[str]) -> bytes:
    """Returns the bytes of the file. The same ids, in whatever order and however often, give the same bytes."""
    return _encoded(sorted({each.encode() for each in ids}), None, {})


def encode_parts(parts: Sequence[Part]) -> bytes:
    """Returns the bytes of the file of a merged segment, given what was merged, by sequence.

    An id that several have gets the last of their sequences and the latest of their orders.
    """
    told: dict[bytes, tuple[int, str]] = {}
    for part in parts:
        for each in part.ids:
            before = told.get(each)
            told[each] = part.sequence, part.order if before is None else max(before[1], part.order)
    ids = sorted(told)
    numbered = {place: number for number, place in enumerate(sorted(set(told.values())))}
    numbers = np.asarray([numbered[told[each]] for each in ids], np.uint32)
    return _encoded(ids, numbers, {"parts": [list(place) for place in numbered]})


def decode_overwrites(data: bytes) -> list[bytes]:
    """Returns the distinct ids, ascending. Raises FormatError when the file contradicts the format."""
    return _ids(Container(data, OVERWRITES_KIND))


def decode_parts(data: bytes) -> list[Part]:
    """Returns the parts of a merged segment; none where the file is of one segment. Raises FormatError."""
    file = Container(data, OVERWRITES_KIND)
    ids = _ids(file)
    if "part" not in file.directory.blocks:
        return []
    numbers = expect("part", file.array("part"), np.uint32, (len(ids),)).tolist()
    try:
        told = [(int(sequence), str(order)) for sequence, order in file.meta["parts"]]
        owned: list[list[bytes]] = [[] for _ in told]
        for each, number in zip(ids, numbers, strict=True):
            owned[number].append(each)
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise FormatError("the parts of a merged segment contradict themselves") from exc
    return [
        Part(sequence=sequence, order=order, ids=frozenset(own))
        for (sequence, order), own in zip(told, owned, strict=True)
    ]


def _encoded(ids: Sequence[bytes], part: npt.NDArray[np.uint32] | None, meta: Mapping[str, object]) -> bytes:
    sink = BytesIO()
    writer = ContainerWriter(sink, OVERWRITES_KIND)
    writer.add_array("id_offsets", np.cumsum([0, *map(len, ids)]).astype(np.uint64))
    writer.add_bytes("id", b"".join(ids))
    if part is not None:
        writer.add_array("part", part)
    writer.finish({"ids": len(ids), **meta})
    return sink.getvalue()


def _ids(file: Container) -> list[bytes]:
    offsets, text = file.array("id_offsets"), file.array("id")
    check_strings("id", offsets, text)
    joined = text.tobytes()
    ids = [joined[a:b] for a, b in pairwise(offsets.tolist())]
    if any(first >= second for first, second in pairwise(ids)):
        raise FormatError("the ids that a segment overwrites are not ascending")
    return ids
