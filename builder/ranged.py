"""A stored container of which only some blocks are read, or some rows of a block."""

from __future__ import annotations

from collections.abc import Sequence
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.format.container import Block, Directory, decode_block, directory_offset, parse_tail
from shardlake.limits import MIB
from shardlake.store.base import ByteRange, ObjectStore

_TAIL_BYTES = 64 * 1024  # a directory is a few hundred bytes a space
_COPIED_BYTES = 16 * MIB  # from the store to the disk at a time


class RangedFile:
    """Ranged reads of a container: whole blocks, and blocks by row.

    Rows that are read alone carry no checksum of ours; the store's own covers them.

    Raises:
        NotFound: where nothing stands under the key. FormatError: where it is no container of that kind.

    Cost: one suffix read, two where the directory is long; then one read a call.
    """

    def __init__(self, store: ObjectStore, key: str, kind: bytes) -> None:
        self._store = store
        self._key = key
        tail, size = store.get_suffix(key, _TAIL_BYTES)
        offset = directory_offset(tail, size, kind)
        if offset < size - len(tail):
            tail, size = store.get_suffix(key, size - offset)
        self.directory: Directory = parse_tail(tail, size, kind)

    @property
    def meta(self) -> dict[str, Any]:
        """The directory's meta object."""
        return self.directory.meta

    def array(self, name: str) -> npt.NDArray[Any]:
        """Returns a block, read-only, checked."""
        return self.arrays(name)[0]

    def arrays(self, *names: str) -> list[npt.NDArray[Any]]:
        """Returns blocks, read-only, checked, read together."""
        blocks = [self.directory.block(name) for name in names]
        read = self._read([(block.offset, block.offset + block.bytes) for block in blocks])
        return [decode_block(name, block, data) for name, block, data in zip(names, blocks, read, strict=True)]

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Returns rows start to stop of a block."""
        block = self.directory.block(name)
        begin, row = block.offset, _row_bytes(block)
        (data,) = self._read([(begin + start * row, begin + stop * row)])
        return np.frombuffer(data, np.dtype(block.dtype)).reshape(stop - start, *block.shape[1:])

    def copy(self, name: str, start: int, stop: int, into: FileIO) -> None:
        """Writes the bytes of rows start to stop to an unbuffered file, some in memory at a time."""
        block = self.directory.block(name)
        row = _row_bytes(block)
        end = block.offset + stop * row
        for begin in range(block.offset + start * row, end, _COPIED_BYTES):
            rest = memoryview(self._read([(begin, min(begin + _COPIED_BYTES, end))])[0])
            while rest:
                rest = rest[into.write(rest) :]

    def _read(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        wanted = [ByteRange(start, stop) for start, stop in spans if start < stop]
        read = iter(self._store.get_ranges(self._key, wanted) if wanted else ())
        return [next(read) if start < stop else b"" for start, stop in spans]


def _row_bytes(block: Block) -> int:
    return int(np.prod(block.shape[1:], dtype=np.int64)) * np.dtype(block.dtype).itemsize
