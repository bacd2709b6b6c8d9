"""The object store as a folder: what benchmarks build into and read from, so that no store's memory counts as ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shardlake.deadline import Deadline
from shardlake.errors import Conflict, ErrorKind, FormatError, InvalidInput, NotFound
from shardlake.store.base import ByteRange, ObjectInfo


class FolderStore:
    """Objects as files below a folder; the key is the path. Read with `pread`, never mapped."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Returns a whole object of at most `max_bytes`."""
        info = self.head(key)
        if info.size_bytes > max_bytes:
            raise InvalidInput("the object is larger than may be read", kind=ErrorKind.PAYLOAD_TOO_LARGE, key=key)
        return self._path(key).read_bytes()

    def get_ranges(
        self, key: str, ranges: Sequence[ByteRange], *, etag: str | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        """Returns the bytes of each range, in the order asked."""
        if not ranges:
            return []
        if deadline is not None:
            deadline.check(f"read {key}")
        self.head(key)
        file = os.open(self._path(key), os.O_RDONLY)
        try:
            parts = [os.pread(file, span.stop - span.start, span.start) for span in ranges]
        finally:
            os.close(file)
        if any(len(part) != span.stop - span.start for part, span in zip(parts, ranges, strict=True)):
            raise FormatError("a range lies beyond the end of the object", kind=ErrorKind.MALFORMED_FILE, key=key)
        return parts

    def get_suffix(self, key: str, length: int, *, deadline: Deadline | None = None) -> tuple[bytes, int]:
        """Returns the last `length` bytes and the object's full size."""
        size = self.head(key).size_bytes
        return self.get_ranges(key, [ByteRange(max(0, size - length), size)], deadline=deadline)[0], size

    def open(self, key: str) -> BinaryIO:
        """Returns a readable stream of the object."""
        self.head(key)
        return self._path(key).open("rb")

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object, replacing what was there."""
        with self._draft(key) as draft:
            draft.write_bytes(body)
        return self.head(key)

    def put_if_absent(self, key: str, body: bytes) -> ObjectInfo:
        """Writes an object only where none is; the same body again is no conflict."""
        path = self._path(key)
        if path.exists():
            if path.stat().st_size != len(body) or path.read_bytes() != body:
                raise Conflict("another object stands under this key", kind=ErrorKind.OBJECT_EXISTS, key=key)
            return self.head(key)
        return self.put(key, body)

    def upload_file(self, key: str, path: Path) -> ObjectInfo:
        """Makes a local file an object: the same one under another name. Requires: nobody writes to it any more."""
        with self._draft(key) as draft:
            draft.unlink(missing_ok=True)
            try:
                os.link(path, draft)
            except OSError:  # another file system
                shutil.copyfile(path, draft)
        return self.head(key)

    def download_file(self, key: str, path: Path) -> None:
        """Reads an object into a local file."""
        self.head(key)
        shutil.copyfile(self._path(key), path)

    def head(self, key: str) -> ObjectInfo:
        """Returns what is known of the object."""
        try:
            stat = self._path(key).stat()
        except FileNotFoundError:
            raise NotFound("there is no such object", kind=ErrorKind.OBJECT_NOT_FOUND, key=key) from None
        return ObjectInfo(key=key, size_bytes=stat.st_size, etag=f"{stat.st_size}-{stat.st_mtime_ns}")

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects below a prefix in the order of their keys' UTF-8 bytes."""
        files = (path for path in self.root.rglob("*") if path.is_file() and path.suffix != ".part")
        keys = (path.relative_to(self.root).as_posix() for path in files)
        yield from map(
            self.head,
            sorted((key for key in keys if key.startswith(prefix) and key.encode() > after.encode()), key=str.encode),
        )

    def delete(self, key: str) -> None:
        """Deletes the object; no error where there is none."""
        self._path(key).unlink(missing_ok=True)

    def presign_put(self, key: str, *, expires_s: int) -> str:
        """Returns a URL that names the object; nothing listens there."""
        return f"{self._path(key).absolute().as_uri()}?expires={expires_s}"

    def _path(self, key: str) -> Path:
        return self.root / key

    @contextmanager
    def _draft(self, key: str) -> Iterator[Path]:
        """Gives the file that becomes the object at the end of the block."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.part")
        yield draft
        draft.replace(path)
