"""The object store port: immutable bytes under keys. Adapters: `s3.py`; in memory: `shardlake.testing.memory_store`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from shardlake.deadline import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of an object without reading it.

    Attributes:
        written_at: by the store's clock; only `list` says it.
    """

    key: str
    size_bytes: int
    etag: str
    written_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start <= i < stop` of an object."""

    start: int
    stop: int


class ObjectStore(Protocol):
    """Objects by key. Every method raises Unavailable (store-unavailable), Overloaded, Forbidden or
    DeadlineExceeded when the store does, and nothing foreign."""

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Returns a whole object.

        Raises:
            NotFound: object-not-found.
            InvalidInput: payload-too-large, when it is larger than `max_bytes`; nothing larger is allocated.
        """

    def get_ranges(
        self, key: str, ranges: Sequence[ByteRange], *, etag: str | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        """Returns the bytes of each range, in the order asked, read in parallel.

        Args:
            key: of the object.
            ranges: of it.
            etag: of the one that is meant, where another one may have been written in its place.
            deadline: when to give up.

        Raises:
            NotFound: object-not-found, also when another one stands there.
            FormatError: malformed-file, when a range lies beyond the end of the object.

        Cost: one GET a range. Coalescing is the caller's business.
        """

    def get_suffix(self, key: str, length: int, *, deadline: Deadline | None = None) -> tuple[bytes, int]:
        """Returns the last `length` bytes (or the whole object when shorter) and the object's full size."""

    def open(self, key: str) -> BinaryIO:
        """Returns a readable stream of the object: what a file larger than memory is read through. Close it."""

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object, replacing what was there."""

    def put_if_absent(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object only where none is.

        Raises:
            Conflict: object-exists, when another body is there. The same body again is no conflict, so that a
                reply lost on the way can be retried.
        """

    def upload_file(self, key: str, path: Path) -> ObjectInfo:
        """Writes an object from a local file, in parts when it is large."""

    def download_file(self, key: str, path: Path) -> None:
        """Reads an object into a local file, without holding it in memory."""

    def head(self, key: str) -> ObjectInfo:
        """Returns what is known of the object, or raises NotFound."""

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects below a prefix in key order, those behind the key `after`."""

    def delete(self, key: str) -> None:
        """Deletes the object; no error where there is none."""

    def presign_put(self, key: str, *, expires_s: int) -> str:
        """Returns a URL to which one PUT of the object's bytes may be made until it expires."""
