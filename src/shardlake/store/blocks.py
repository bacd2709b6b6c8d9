"""The block port: blocks of immutable objects kept near, on a disk or in memory. A cache: it may forget anything.

Adapters: `FolderBlocks` here, on a disk; in memory: `shardlake.testing.memory_blocks`.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import xxhash

from shardlake.limits import MIB

_CHECKSUM = struct.Struct("<Q")
RESCAN_BYTES = 64 * MIB  # written by us, after which the folder is looked at again: others may write there too
KEPT_SHARE = 0.9  # of the bound, when room is made: not for every block anew


class BlockStore(Protocol):
    """Blocks by key of the object, offset and size. Nothing here raises: what fails is a block that is not there."""

    def get(self, key: str, offset: int, size: int) -> bytes | None:
        """Returns the bytes that were put, or None. A block whose bytes are damaged is gone."""

    def has(self, key: str, offset: int, size: int) -> bool:
        """Returns whether a block seems to be there; only `get` looks at its bytes."""

    def put(self, key: str, offset: int, data: bytes) -> None:
        """Takes a block. It can be got at once, and may be gone after `flush` where there is no room."""

    def flush(self) -> None:
        """Writes down what was put, and drops what was got longest ago where that is more than the bound."""

    @property
    def pending_bytes(self) -> int:
        """What was put and is not written down yet: it costs memory until then."""


class FolderBlocks:
    """Blocks as files of one folder, which several processes may share.

    A file is a checksum and the bytes; it is written beside its place and moved there, so that nobody reads half of it.
    Its time of change is when it was last got, by which the folder is bounded.

    Args:
        folder: made when something is first written.
        max_bytes: of all files together; 0 keeps nothing.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._pending: dict[str, bytes] = {}
        self._pending_bytes = 0
        self._bytes = 0
        self._unseen_bytes = RESCAN_BYTES  # so that the first flush looks at what an earlier process left

    @property
    def pending_bytes(self) -> int:
        """What was put and is not written down yet."""
        return self._pending_bytes

    def get(self, key: str, offset: int, size: int) -> bytes | None:
        """Returns the bytes that were put, or None. Cost: one file read."""
        name = _name(key, offset, size)
        pending = self._pending.get(name)
        if pending is not None:
            return pending
        path = self._folder / name
        try:
            stored = path.read_bytes()
            data = stored[_CHECKSUM.size :]
            if len(data) == size and stored[: _CHECKSUM.size] == _CHECKSUM.pack(_checksum(name, data)):
                os.utime(path)
                return data
        except OSError:
            return None
        _remove(path)
        return None

    def has(self, key: str, offset: int, size: int) -> bool:
        """Returns whether a block seems to be there. Cost: one look at the folder."""
        name = _name(key, offset, size)
        return name in self._pending or (self._folder / name).exists()

    def put(self, key: str, offset: int, data: bytes) -> None:
        """Takes a block, to be written by the next `flush`."""
        name = _name(key, offset, len(data))
        if len(data) + _CHECKSUM.size <= self._max_bytes and name not in self._pending:
            self._pending[name] = data
            self._pending_bytes += len(data)

    def flush(self) -> None:
        """Writes what was put; stops where the disk refuses. Cost: one file written a block."""
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        if not pending:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name, data in pending.items():
                self._make_room(len(data) + _CHECKSUM.size)
                self._write(name, data)
        except OSError:
            # Full, or not ours: a cache that cannot be written is a smaller cache. What stands there is counted anew.
            self._unseen_bytes = RESCAN_BYTES

    def _write(self, name: str, data: bytes) -> None:
        beside = self._folder / f"{name}.{os.getpid()}"
        try:
            with beside.open("wb") as sink:
                sink.write(_CHECKSUM.pack(_checksum(name, data)))
                sink.write(data)
            beside.replace(self._folder / name)
        except OSError:
            _remove(beside)
            raise
        self._bytes += len(data) + _CHECKSUM.size
        self._unseen_bytes += len(data) + _CHECKSUM.size

    def _make_room(self, size: int) -> None:
        if self._unseen_bytes < RESCAN_BYTES and self._bytes + size <= self._max_bytes:
            return
        files = sorted(self._files())
        self._bytes = sum(size_bytes for _, size_bytes, _ in files)
        self._unseen_bytes = 0
        if self._bytes + size <= self._max_bytes:
            return
        for _, size_bytes, path in files:
            if self._bytes + size <= KEPT_SHARE * self._max_bytes:
                return
            _remove(path)
            self._bytes -= size_bytes

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Yields (time of change in ns, bytes, path) of each file."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process made room
                    found = entry.stat()
                    yield found.st_mtime_ns, found.st_size, Path(entry.path)


def _name(key: str, offset: int, size: int) -> str:
    return f"{xxhash.xxh3_128_hexdigest(key.encode())}-{offset}-{size}"


def _checksum(name: str, data: bytes) -> int:
    # With the name: a file that was moved to another's place is no block of that place.
    return xxhash.xxh3_64_intdigest(data, seed=xxhash.xxh32_intdigest(name.encode()))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
