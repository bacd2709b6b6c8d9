"""The object store in memory: the same laws as S3, held to them by the same contract suite."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from shardlake.deadline import Deadline
from shardlake.errors import Conflict, ErrorKind, FormatError, InvalidInput, NotFound
from shardlake.store.base import ByteRange, ObjectInfo

EPOCH = datetime.fromtimestamp(0, UTC)  # when what a test has put into the dictionary itself was written


class MemoryStore:
    """Objects in a dictionary. Safe for threads; `objects` may be looked into and changed by a test.

    Args:
        now: the time of day.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.objects: dict[str, bytes] = {}
        self._written: dict[str, datetime] = {}
        self._now = now
        self._lock = threading.Lock()

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Returns a whole object of at most `max_bytes`."""
        body = self._read(key, deadline)
        if len(body) > max_bytes:
            raise InvalidInput(
                "the object is larger than may be read",
                kind=ErrorKind.PAYLOAD_TOO_LARGE,
                key=key,
                size_bytes=len(body),
                max_bytes=max_bytes,
            )
        return body

    def get_ranges(
        self, key: str, ranges: Sequence[ByteRange], *, etag: str | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        """Returns the bytes of each range, in the order asked."""
        if not ranges:
            return []
        body = self._read(key, deadline)
        if etag is not None and _info(key, body).etag != etag:
            raise NotFound("another object stands there", kind=ErrorKind.OBJECT_NOT_FOUND, key=key)
        return [_cut(key, body, span) for span in ranges]

    def get_suffix(self, key: str, length: int, *, deadline: Deadline | None = None) -> tuple[bytes, int]:
        """Returns the last `length` bytes and the object's full size."""
        body = self._read(key, deadline)
        return body[max(0, len(body) - length) :], len(body)

    def open(self, key: str) -> BinaryIO:
        """Returns a readable stream of the object."""
        return io.BytesIO(self._read(key, None))

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object, replacing what was there."""
        stored = bytes(body)
        with self._lock:
            self.objects[key] = stored
            self._written[key] = self._now()
        return _info(key, stored)

    def put_if_absent(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object only where none is; the same body again is no conflict."""
        stored = bytes(body)
        with self._lock:
            if key not in self.objects:
                self._written[key] = self._now()
            standing = self.objects.setdefault(key, stored)
        if standing != stored:
            raise Conflict("another object stands under this key", kind=ErrorKind.OBJECT_EXISTS, key=key)
        return _info(key, stored)

    def upload_file(self, key: str, path: Path) -> ObjectInfo:
        """Writes an object from a local file."""
        return self.put(key, path.read_bytes())

    def download_file(self, key: str, path: Path) -> None:
        """Reads an object into a local file."""
        path.write_bytes(self._read(key, None))

    def head(self, key: str) -> ObjectInfo:
        """Returns what is known of the object."""
        return _info(key, self._read(key, None))

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects below a prefix in the order of their keys' UTF-8 bytes."""
        with self._lock:
            found = [(key, body) for key, body in self.objects.items() if key.startswith(prefix)]
        found = [(key, body) for key, body in found if key.encode() > after.encode()]
        for key, body in sorted(found, key=lambda pair: pair[0].encode()):
            yield replace(_info(key, body), written_at=self._written.get(key, EPOCH))

    def delete(self, key: str) -> None:
        """Deletes the object; no error where there is none."""
        with self._lock:
            self.objects.pop(key, None)

    def presign_put(self, key: str, *, expires_s: int) -> str:
        """Returns a URL that names the object; nothing listens there."""
        return f"memory://bucket/{key}?expires={expires_s}"

    def _read(self, key: str, deadline: Deadline | None) -> bytes:
        if deadline is not None:
            deadline.check(f"read {key}")
        with self._lock:
            body = self.objects.get(key)
        if body is None:
            raise NotFound("there is no such object", kind=ErrorKind.OBJECT_NOT_FOUND, key=key)
        return body


def _cut(key: str, body: bytes, span: ByteRange) -> bytes:
    if not 0 <= span.start <= span.stop <= len(body):
        raise FormatError(
            "a range lies beyond the end of the object",
            kind=ErrorKind.MALFORMED_FILE,
            key=key,
            start=span.start,
            stop=span.stop,
        )
    return body[span.start : span.stop]


def _info(key: str, body: bytes) -> ObjectInfo:
    return ObjectInfo(key=key, size_bytes=len(body), etag=hashlib.md5(body, usedforsecurity=False).hexdigest())
