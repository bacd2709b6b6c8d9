"""Stores that go wrong on purpose. They wrap any store and each other: `SlowStore(FlakyStore(MemoryStore()))`."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, NotFound, Unavailable
from shardlake.store.base import ByteRange, ObjectInfo, ObjectStore

READS = frozenset({"get", "get_ranges", "get_suffix", "open", "download_file", "head"})
WRITES = frozenset({"put", "put_if_absent", "upload_file", "delete"})


class WrappedStore:
    """A store that passes everything on. Faults override the three hooks, not the methods."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    def before(self, operation: str, key: str) -> None:
        """Runs before an operation reaches the inner store; may raise."""

    def after(self, operation: str, key: str) -> None:
        """Runs after the inner store has done an operation; may raise, which loses the reply."""

    def seen(self, key: str, offset: int, body: bytes) -> bytes:
        """Returns what the reader gets for bytes that the store read at `offset`."""
        return body

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Returns a whole object."""
        self.before("get", key)
        body = self.inner.get(key, max_bytes=max_bytes, deadline=deadline)
        self.after("get", key)
        return self.seen(key, 0, body)

    def get_ranges(
        self, key: str, ranges: Sequence[ByteRange], *, etag: str | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        """Returns the bytes of each range."""
        self.before("get_ranges", key)
        bodies = self.inner.get_ranges(key, ranges, etag=etag, deadline=deadline)
        self.after("get_ranges", key)
        return [self.seen(key, span.start, body) for span, body in zip(ranges, bodies, strict=True)]

    def get_suffix(self, key: str, length: int, *, deadline: Deadline | None = None) -> tuple[bytes, int]:
        """Returns the last bytes of an object, and its size."""
        self.before("get_suffix", key)
        body, size_bytes = self.inner.get_suffix(key, length, deadline=deadline)
        self.after("get_suffix", key)
        return self.seen(key, size_bytes - len(body), body), size_bytes

    def open(self, key: str) -> BinaryIO:
        """Returns a stream of the object, read into memory first: a test's objects are small."""
        self.before("open", key)
        with self.inner.open(key) as stream:
            body = stream.read()
        self.after("open", key)
        return io.BytesIO(self.seen(key, 0, body))

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object."""
        self.before("put", key)
        info = self.inner.put(key, body)
        self.after("put", key)
        return info

    def put_if_absent(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object only where none is."""
        self.before("put_if_absent", key)
        info = self.inner.put_if_absent(key, body)
        self.after("put_if_absent", key)
        return info

    def upload_file(self, key: str, path: Path) -> ObjectInfo:
        """Writes an object from a local file."""
        self.before("upload_file", key)
        info = self.inner.upload_file(key, path)
        self.after("upload_file", key)
        return info

    def download_file(self, key: str, path: Path) -> None:
        """Reads an object into a local file."""
        self.before("download_file", key)
        self.inner.download_file(key, path)
        path.write_bytes(self.seen(key, 0, path.read_bytes()))
        self.after("download_file", key)

    def head(self, key: str) -> ObjectInfo:
        """Returns what is known of the object."""
        self.before("head", key)
        info = self.inner.head(key)
        self.after("head", key)
        return info

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects below a prefix."""
        self.before("list", prefix)
        yield from self.inner.list(prefix, after=after)
        self.after("list", prefix)

    def delete(self, key: str) -> None:
        """Deletes the object."""
        self.before("delete", key)
        self.inner.delete(key)
        self.after("delete", key)

    def presign_put(self, key: str, *, expires_s: int) -> str:
        """Returns the inner store's URL."""
        return self.inner.presign_put(key, expires_s=expires_s)


class SlowStore(WrappedStore):
    """Waits before each operation. `wait` is the test's: an event's `wait`, or a clock's `advance` in a lambda."""

    def __init__(self, inner: ObjectStore, *, wait: Callable[[], object]) -> None:
        super().__init__(inner)
        self._wait = wait

    def before(self, operation: str, key: str) -> None:
        """Waits."""
        self._wait()


class FlakyStore(WrappedStore):
    """Is unavailable for the first `failures` operations that `when` is true of, and well afterwards."""

    def __init__(
        self, inner: ObjectStore, *, failures: int = 1, when: Callable[[str, str], bool] = lambda operation, key: True
    ) -> None:
        super().__init__(inner)
        self.left = failures
        self._when = when
        self._lock = threading.Lock()

    def before(self, operation: str, key: str) -> None:
        """Raises Unavailable while failures are left."""
        if self._due(operation, key):
            raise Unavailable("the store is down for a moment", kind=ErrorKind.STORE_UNAVAILABLE, key=key)

    def _due(self, operation: str, key: str) -> bool:
        with self._lock:
            due = self.left > 0 and self._when(operation, key)
            self.left -= due
        return due


class LostReplyStore(FlakyStore):
    """Does the first `failures` writes, and then says that it is unavailable: the reply was lost."""

    def before(self, operation: str, key: str) -> None:
        """Lets every operation through."""

    def after(self, operation: str, key: str) -> None:
        """Loses the replies of writes."""
        if operation in WRITES and self._due(operation, key):
            raise Unavailable("the reply was lost", kind=ErrorKind.STORE_UNAVAILABLE, key=key)


class CorruptStore(WrappedStore):
    """Flips all bits of one byte of the object `key`, at `offset` from its beginning, for every reader."""

    def __init__(self, inner: ObjectStore, *, key: str, offset: int = 0) -> None:
        super().__init__(inner)
        self._key = key
        self._offset = offset

    def seen(self, key: str, offset: int, body: bytes) -> bytes:
        """Returns the bytes with the damaged one among them, where they include it."""
        at = self._offset - offset
        if key != self._key or not 0 <= at < len(body):
            return body
        return body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]


class MissingStore(WrappedStore):
    """Has lost the object `key`: every read of it is NotFound, and listings leave it out."""

    def __init__(self, inner: ObjectStore, *, key: str) -> None:
        super().__init__(inner)
        self._key = key

    def before(self, operation: str, key: str) -> None:
        """Raises NotFound for reads of the lost object."""
        if operation in READS and key == self._key:
            raise NotFound("there is no such object", kind=ErrorKind.OBJECT_NOT_FOUND, key=key)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects that are not lost."""
        return (info for info in super().list(prefix, after=after) if info.key != self._key)


class CountingStore(WrappedStore):
    """Counts what reaches the inner store.

    Attributes:
        operations: calls by name. One get_ranges is one call.
        object_reads: GETs as S3 would bill them: one a range.
        rounds: reads that waited for one another: those that overlap in time are one. True of an inner store that takes
            its time (`SlowStore`) and does not fail.
        bytes_read: bytes that readers got.
    """

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.operations: dict[str, int] = {}
        self.object_reads = 0
        self.bytes_read = 0
        self.rounds = 0
        self._reading = 0
        self._lock = threading.Lock()

    def before(self, operation: str, key: str) -> None:
        """Counts the call."""
        with self._lock:
            self.operations[operation] = self.operations.get(operation, 0) + 1
            if operation in READS:
                self.rounds += self._reading == 0
                self._reading += 1

    def after(self, operation: str, key: str) -> None:
        """Ends the call."""
        if operation in READS:
            with self._lock:
                self._reading -= 1

    def seen(self, key: str, offset: int, body: bytes) -> bytes:
        """Counts the read."""
        with self._lock:
            self.object_reads += 1
            self.bytes_read += len(body)
        return body
