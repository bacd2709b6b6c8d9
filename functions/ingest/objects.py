"""A dropped object as a file that is read in ranges: what is read stays of one write, whoever writes meanwhile."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from shardlake import limits
from shardlake.store.base import ByteRange, ObjectInfo, ObjectStore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_BYTES = 8 * limits.MIB  # of one GET: no connection waits while items are encoded


class RangeFile(io.RawIOBase):
    """An object of a store as a file that can be sought: every read is one ranged GET of the object that was meant.

    Args:
        store: has the object.
        info: of the object: once another one stands there, reading raises NotFound.
    """

    def __init__(self, store: ObjectStore, info: ObjectInfo) -> None:
        super().__init__()
        self._store = store
        self._info = info
        self._size = info.size_bytes
        self._at = 0

    def readable(self) -> bool:
        """It reads."""
        return True

    def seekable(self) -> bool:
        """It seeks."""
        return True

    def tell(self) -> int:
        """Returns where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to where the next read begins."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Reads into a buffer, as much as there is."""
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._size)
        if stop <= self._at:
            return 0
        (data,) = self._store.get_ranges(self._info.key, [ByteRange(self._at, stop)], etag=self._info.etag)
        view[: len(data)] = data
        self._at = stop
        return len(data)


def stream_of(store: ObjectStore, info: ObjectInfo, start: int = 0, stop: int | None = None) -> BinaryIO:
    """Returns a stream of an object, or of its bytes from `start` to `stop`. Close it. Memory: READ_BYTES."""
    within = info if stop is None else replace(info, size_bytes=min(stop, info.size_bytes))
    file = RangeFile(store, within)
    file.seek(start)
    return io.BufferedReader(file, READ_BYTES)
