"""A segment: one immutable batch of ingested items, as a container of kind SEGM.

Blocks: `id` and `payload` are concatenated UTF-8 with `id_offsets` and `payload_offsets` (rows + 1, u8);
`rows/{space}` (m,) u4 are the rows that have a vector in the space, `vectors/{space}` (m, dimension) f4 theirs.
A row with an empty payload is a tombstone: it says that the item was deleted, and has no vectors.
Where items of the collection expire, `expires` i8 (rows) says when, in microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter, expect
from shardlake.types import BoolArray, Float32Array, Int64Array, SpaceSpec

SEGMENT_KIND = b"SEGM"
NEVER_EXPIRES = 2**63 - 1
"""What `expires` has for an item that does not, and for a tombstone: behind every moment that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentItem:
    """One item on its way in, or a tombstone.

    Attributes:
        payload: canonical JSON {"id", "attributes", "media"?}: what a search answers with. Empty for a tombstone.
        vectors: {space: (dimension,) float32}; a space may be absent. None for a tombstone.
    """

    id: str
    payload: bytes
    vectors: dict[str, Float32Array]

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that the item was deleted."""
        return not self.payload


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentVectors:
    """The vectors of one space: row `rows[i]` has `vectors[i]`."""

    rows: npt.NDArray[np.uint32]
    vectors: Float32Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A decoded segment; its arrays are views into the bytes read.

    Attributes:
        encoders: {space: digest of the encoder that made vectors of it}.
    """

    id_text: memoryview
    id_offsets: npt.NDArray[np.uint64]
    payload: memoryview
    payload_offsets: npt.NDArray[np.uint64]
    spaces: dict[str, SegmentVectors]
    encoders: dict[str, str]

    @property
    def rows(self) -> int:
        """How many rows it holds, tombstones among them."""
        return len(self.id_offsets) - 1

    @property
    def deleted(self) -> BoolArray:
        """(rows,) bool: which rows are tombstones."""
        return _deleted(self.payload_offsets)

    @property
    def ids(self) -> list[str]:
        """The id of each item."""
        return [str(self.id_text[a:b], "utf-8") for a, b in pairwise(self.id_offsets.tolist())]

    def payloads(self, rows: Int64Array) -> list[bytes]:
        """Returns the payloads of some of its rows."""
        starts, stops = self.payload_offsets[rows].tolist(), self.payload_offsets[rows + 1].tolist()
        data = self.payload
        return [bytes(data[start:stop]) for start, stop in zip(starts, stops, strict=True)]

    def items(self) -> list[SegmentItem]:
        """Returns its rows as the items they were encoded from."""
        vectors: list[dict[str, Float32Array]] = [{} for _ in range(self.rows)]
        for name, space in self.spaces.items():
            for row, vector in zip(space.rows.tolist(), space.vectors, strict=True):
                vectors[row][name] = vector
        payloads = self.payloads(np.arange(self.rows))
        return [SegmentItem(id=a, payload=b, vectors=c) for a, b, c in zip(self.ids, payloads, vectors, strict=True)]


def encode_segment(
    items: Sequence[SegmentItem],
    spaces: Sequence[SpaceSpec],
    encoders: Mapping[str, str] | None = None,
    expires: Int64Array | None = None,
) -> bytes:
    """Returns the bytes of a segment. The same items give the same bytes.

    Args:
        items: its rows.
        spaces: of the collection; those computed from another have no vectors of their own.
        encoders: {space: digest of the encoder that made vectors of it}; a space of brought vectors alone has none.
        expires: (items,) int64 microseconds since 1970, or NEVER_EXPIRES; None where the collection's never expire.

    Requires: every vector has its space's dimension and is finite, and no tombstone has any.
    """
    sink = BytesIO()
    writer = ContainerWriter(sink, SEGMENT_KIND)
    _add_strings(writer, "id", [item.id.encode() for item in items])
    _add_strings(writer, "payload", [item.payload for item in items])
    if expires is not None:
        writer.add_array("expires", expires)
    stored = [space for space in spaces if space.source is None]
    for space in stored:
        rows = [row for row, item in enumerate(items) if space.name in item.vectors]
        vectors = np.zeros((len(rows), space.dimension), np.float32)
        for position, row in enumerate(rows):
            vectors[position] = items[row].vectors[space.name]
        writer.add_array(f"rows/{space.name}", np.asarray(rows, np.uint32))
        writer.add_array(f"vectors/{space.name}", vectors)
    meta: dict[str, object] = {"rows": len(items), "spaces": [space.name for space in stored]}
    writer.finish(meta | ({"encoders": dict(encoders)} if encoders else {}))
    return sink.getvalue()


def decode_segment(data: bytes) -> Segment:
    """Returns the segment in `data`. Raises FormatError when it contradicts the format."""
    file = Container(data, SEGMENT_KIND)
    ids, id_offsets = _strings(file, "id")
    payload, payload_offsets = _strings(file, "payload")
    rows = len(id_offsets) - 1
    if len(payload_offsets) != rows + 1:
        raise FormatError("a segment's ids and payloads differ in number")
    spaces = {
        name: vectors_of(file.array(f"rows/{name}"), file.array(f"vectors/{name}"), space=name, rows=rows)
        for name in _space_names(file)
    }
    _check_utf8(ids, id_offsets)
    _check_tombstones(_deleted(payload_offsets), spaces)
    return Segment(
        id_text=ids,
        id_offsets=id_offsets,
        payload=payload,
        payload_offsets=payload_offsets,
        spaces=spaces,
        encoders=_encoders(file),
    )


def vectors_of(numbers: npt.NDArray[Any], vectors: npt.NDArray[Any], *, space: str, rows: int) -> SegmentVectors:
    """Returns the vectors of a space from its two blocks. Raises FormatError when they contradict the format.

    Args:
        numbers, vectors: what lies in `rows/{space}` and `vectors/{space}`.
        space: for the error. rows: of the segment.
    """
    expect(f"rows/{space}", numbers, np.uint32, (None,))
    expect(f"vectors/{space}", vectors, np.float32, (len(numbers), None))
    if len(numbers) and int(numbers.max()) >= rows:
        raise FormatError("a segment's rows and vectors differ", space=space)
    return SegmentVectors(rows=numbers, vectors=vectors)


def _deleted(payload_offsets: npt.NDArray[np.uint64]) -> BoolArray:
    deleted: BoolArray = payload_offsets[1:] == payload_offsets[:-1]
    return deleted


def _check_tombstones(deleted: BoolArray, spaces: Mapping[str, SegmentVectors]) -> None:
    for name, space in spaces.items():
        if deleted[space.rows].any():
            raise FormatError("a deleted item of a segment has a vector", space=name)


def _check_utf8(text: memoryview, offsets: npt.NDArray[np.uint64]) -> None:
    """Raises FormatError unless every string is UTF-8: all of them together, and none begins within a character."""
    begins = offsets[offsets < len(text)]
    within = (np.frombuffer(text, np.uint8)[begins] & 0xC0) == 0x80 if len(begins) else np.zeros(0, bool)
    try:
        str(text, "utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError("an id of a segment is not UTF-8") from exc
    if within.any():
        raise FormatError("an id of a segment is not UTF-8")


def check_strings(name: str, offsets: npt.NDArray[np.uint64], data: npt.NDArray[np.uint8]) -> None:
    """Raises FormatError unless `offsets` (n + 1,) cut all of `data` into n strings."""
    expect(f"{name}_offsets", offsets, np.uint64, (None,))
    expect(name, data, np.uint8, (None,))
    whole = len(offsets) and offsets[0] == 0 and int(offsets[-1]) == len(data)
    if not whole or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise FormatError("a segment's offsets contradict its bytes", block=name)


def _space_names(file: Container) -> list[str]:
    names = file.meta.get("spaces")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError("the segment's meta object is not what the format says")
    return names


def _encoders(file: Container) -> dict[str, str]:
    encoders = file.meta.get("encoders", {})
    if not isinstance(encoders, dict) or not all(isinstance(digest, str) for digest in encoders.values()):
        raise FormatError("the segment's meta object is not what the format says")
    return encoders


def _add_strings(writer: ContainerWriter, name: str, values: Sequence[bytes]) -> None:
    offsets = np.zeros(len(values) + 1, np.uint64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    writer.add_array(f"{name}_offsets", offsets)
    writer.add_bytes(name, b"".join(values))


def _strings(file: Container, name: str) -> tuple[memoryview, npt.NDArray[np.uint64]]:
    offsets, data = file.array(f"{name}_offsets"), file.array(name)
    check_strings(name, offsets, data)
    return memoryview(data), offsets  # type: ignore[arg-type]  # an array is a buffer
