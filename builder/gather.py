"""What one shard needs of all parts, brought to local disk: memory stays bounded, whatever the size of the shard."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.assign import part_name
from builder.context import ARTEFACT_KIND, BuildContext
from builder.strings import Strings, offsets_of
from shardlake.format.container import Block, Directory, decode_block, directory_offset, parse_tail
from shardlake.limits import MIB
from shardlake.store.base import ByteRange
from shardlake.types import Float32Array, Int64Array

_TAIL_BYTES = 64 * 1024
_COPIED_BYTES = 16 * MIB  # from the store to the disk at a time


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of a scratch file, read as they are asked for: mapped, they would count as memory in use.

    Attributes:
        path: of the file. dimension: of a row, of float32.
    """

    path: Path
    dimension: int

    def __getitem__(self, rows: Int64Array) -> Float32Array:
        """Returns (n, dimension) float32. Cost: one read for rows that stand one behind the other."""
        found = np.empty((len(rows), self.dimension), np.float32)
        if not found.size:
            return found
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        places = zip(starts, [*starts[1:], len(rows)], rows[starts].tolist(), strict=True)
        file = os.open(self.path, os.O_RDONLY)
        try:
            for start, stop, row in places:
                read = os.preadv(file, [found[start:stop]], row * found.strides[0])  # type: ignore[list-item]  # a buffer
                assert read == (stop - start) * found.strides[0], "a scratch file is shorter than it was written"
        finally:
            os.close(file)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """The items of one shard, in the order they arrived; big things are scratch files.

    Attributes:
        labels: (n, 2) part number and row in the part: which row of the whole build each is.
        lists: {space: (n,) int32}.
        vectors: {space: (n, d) float32}.
        ids, payloads: n strings each, mapped.
    """

    labels: Int64Array
    lists: dict[str, npt.NDArray[np.int32]]
    vectors: dict[str, FileRows]
    ids: Strings
    payloads: Strings

    @property
    def rows(self) -> int:
        """How many items."""
        return len(self.labels)


def gather(context: BuildContext, shard_id: int, parts: int, spaces: dict[str, int]) -> ShardRows:
    """Reads one shard's slice of every part, but for the vectors, which `gathered_vectors` reads.

    Args:
        shard_id: which shard.
        parts: how many parts there are.
        spaces: {name: dimension}.
    """
    files = {name: context.scratch / f"{name}.bin" for name in ("id", "payload")}
    with ExitStack() as opened:
        handles = {name: opened.enter_context(path.open("wb", buffering=0)) for name, path in files.items()}
        slices = [_part_slice(context, number, shard_id, list(spaces), handles) for number in range(parts)]
    labels = [
        np.stack([np.full(s.stop - s.start, i), np.arange(s.start, s.stop)], axis=1) for i, s in enumerate(slices)
    ]
    strings = {
        name: Strings.of(_map(path), offsets_of(np.concatenate([s.lengths[name] for s in slices])))
        for name, path in files.items()
    }
    return ShardRows(
        labels=np.concatenate(labels).astype(np.int64),
        lists={space: np.concatenate([s.lists[space] for s in slices]) for space in spaces},
        vectors={space: FileRows(context.scratch / f"vectors-{space}.bin", d) for space, d in spaces.items()},
        ids=strings["id"],
        payloads=strings["payload"],
    )


@contextmanager
def gathered_vectors(context: BuildContext, shard_id: int, parts: int, rows: ShardRows) -> Iterator[None]:
    """Reads the vectors of a shard; they are there within the block, and take no disk after it."""
    for space, vectors in rows.vectors.items():
        with vectors.path.open("wb", buffering=0) as file:
            for number in range(parts):
                part = ArtefactFile(context, part_name(number))
                start, stop = part.whole("shard_starts")[shard_id : shard_id + 2].tolist()
                part.copy(f"vectors/{space}", start, stop, file)
    try:
        yield
    finally:
        for vectors in rows.vectors.values():
            vectors.path.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    start: int
    stop: int
    lists: dict[str, npt.NDArray[np.int32]]
    lengths: dict[str, Int64Array]


def _part_slice(
    context: BuildContext, number: int, shard_id: int, spaces: Sequence[str], handles: dict[str, FileIO]
) -> _Slice:
    part = ArtefactFile(context, part_name(number))
    starts = part.whole("shard_starts")
    start, stop = int(starts[shard_id]), int(starts[shard_id + 1])
    lengths = {}
    for name in ("id", "payload"):
        offsets = np.frombuffer(part.raw(f"{name}_offsets", start, stop + 1), "<u8").astype(np.int64)
        part.copy(name, int(offsets[0]), int(offsets[-1]), handles[name])
        lengths[name] = np.diff(offsets)
    lists = {space: np.frombuffer(part.raw(f"lists/{space}", start, stop), "<i4") for space in spaces}
    return _Slice(start=start, stop=stop, lists=lists, lengths=lengths)


class ArtefactFile:
    """Ranged reads of an artefact: whole blocks, and blocks by row."""

    def __init__(self, context: BuildContext, name: str) -> None:
        self._store = context.store
        self._key = context.artefact_key(name)
        tail, size = self._store.get_suffix(self._key, _TAIL_BYTES)
        offset = directory_offset(tail, size, ARTEFACT_KIND)
        if offset < size - len(tail):
            tail, size = self._store.get_suffix(self._key, size - offset)
        self.directory: Directory = parse_tail(tail, size, ARTEFACT_KIND)

    def whole(self, name: str) -> npt.NDArray[Any]:
        """Returns a block, checked."""
        block = self.directory.block(name)
        return decode_block(name, block, self._read(block, 0, block.bytes))

    def raw(self, name: str, start: int, stop: int) -> bytes:
        """Returns the bytes of rows start to stop. Slices of a block carry no checksum; the store's own covers them."""
        block = self.directory.block(name)
        row = _row_bytes(block)
        return self._read(block, start * row, stop * row)

    def copy(self, name: str, start: int, stop: int, into: FileIO) -> None:
        """Writes the bytes of rows start to stop to an unbuffered file, some in memory at a time."""
        block = self.directory.block(name)
        row = _row_bytes(block)
        for begin in range(start * row, stop * row, _COPIED_BYTES):
            rest = memoryview(self._read(block, begin, min(begin + _COPIED_BYTES, stop * row)))
            while rest:
                rest = rest[into.write(rest) :]

    def _read(self, block: Block, start: int, stop: int) -> bytes:
        if stop <= start:
            return b""
        return self._store.get_ranges(self._key, [ByteRange(block.offset + start, block.offset + stop)])[0]


def _row_bytes(block: Block) -> int:
    return int(np.prod(block.shape[1:], dtype=np.int64)) * np.dtype(block.dtype).itemsize


def _map(path: Path) -> npt.NDArray[np.uint8]:
    return np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
