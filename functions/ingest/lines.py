"""Lines of a stream, bounded: a file of any size is read in chunks, and no line grows beyond its bound."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput

CHUNK_BYTES = limits.MIB
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end. `data` is None where it was longer than the bound: it was skipped, not kept.

    Attributes:
        end: how many bytes of the stream there are up to its end.
    """

    number: int
    data: bytes | None
    end: int = field(compare=False)


def lines_of(stream: IO[bytes], *, first: int = 1, max_line_bytes: int = limits.MAX_LINE_BYTES) -> Iterator[Line]:
    """Yields the lines that are not blank, numbered from `first` on."""
    for number, (data, end) in enumerate(_raw_lines(stream, max_line_bytes), start=first):
        text = data.removeprefix(BYTE_ORDER_MARK) if number == 1 and data else data
        if text is None or text.strip():
            yield Line(number, text, end)


def unpacked(stream: IO[bytes], *, max_bytes: int = limits.MAX_UNPACKED_FILE_BYTES) -> IO[bytes]:
    """Returns the stream that is compressed in a gzip stream; reading it raises InvalidInput (invalid-file)."""
    return _Unpacked(gzip.GzipFile(fileobj=stream), max_bytes)  # type: ignore[return-value]  # it reads, which is all that is asked


def skip(stream: IO[bytes], count: int) -> None:
    """Reads past some bytes, or to the end where there are fewer."""
    while count and (data := stream.read(min(count, CHUNK_BYTES))):
        count -= len(data)


class _Unpacked:
    """Reads a gzip file, bounded, with our errors."""

    def __init__(self, file: gzip.GzipFile, max_bytes: int) -> None:
        self._file = file
        self._left = max_bytes

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
            raise InvalidInput("the file is not whole gzip", kind=ErrorKind.INVALID_FILE) from exc
        self._left -= len(data)
        if self._left < 0:
            raise InvalidInput("the file unpacks to more than is taken in", kind=ErrorKind.INVALID_FILE)
        return data


@dataclass(slots=True)
class _Open:
    """The line that is not ended yet."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, piece: bytes, bound: int) -> None:
        self.size += len(piece)
        if self.size > bound:
            self.pieces.clear()
        else:
            self.pieces.append(piece)

    def end(self, bound: int) -> bytes | None:
        data = None if self.size > bound else b"".join(self.pieces)
        self.pieces.clear()
        self.size = 0
        return data


def _raw_lines(stream: IO[bytes], bound: int) -> Iterator[tuple[bytes | None, int]]:
    line, end = _Open(), 0
    while chunk := stream.read(CHUNK_BYTES):
        first, *rest = chunk.split(b"\n")
        line.add(first, bound)
        for piece in rest:
            end += line.size + 1
            yield line.end(bound), end
            line.add(piece, bound)
    if line.size:
        end += line.size
        yield line.end(bound), end
