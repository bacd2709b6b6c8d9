"""The container: named blocks, a directory, a footer. Every file of ours but the manifest is one.

    file      = block … block · tail
    tail      = hot block … · directory · footer
    footer    = magic (8 bytes) · format version u32 · kind (4 bytes) · directory offset u64 · directory bytes u64 ·
                directory xxh3-64 u64, little-endian: 40 bytes
    directory = JSON {"meta": {…}, "blocks": {name: [offset, bytes, xxh3-64 hex, dtype, shape]}}

Blocks begin at multiples of 64 bytes. The tail is what a reader wants at once: one ranged read opens the file.
Pure: bytes in, values out. The specification is `docs/format.md`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import xxhash

from shardlake.errors import ErrorKind, FormatError
from shardlake.limits import MAX_BLOCK_BYTES, MAX_DIRECTORY_BYTES

MAGIC = b"SHARDLK\n"
FORMAT_VERSION = 3  # what is written
READABLE_VERSIONS = frozenset({1, 2, 3})
ALIGNMENT = 64  # a cache line: arrays read from a block are aligned when the block is
_FOOTER = struct.Struct("<8sI4sQQQ")
FOOTER_BYTES = _FOOTER.size
SEAL_BYTES = 8
_MAX_AXES = 3
# What a block's array may be made of; anything else in a directory is refused.
_DTYPES = frozenset({"|u1", "|i1", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Where a block lies and what it is. `dtype` is "|u1" with shape (bytes,) for plain bytes."""

    offset: int
    bytes: int
    checksum: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def extent(self) -> Extent:
        """Where it lies."""
        return Extent(offset=self.offset, bytes=self.bytes, checksum=self.checksum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where an anonymous block lies.

    Attributes:
        checksum: of its bytes, as the table says that names it.
        is_sealed: no table has its checksum; its last bytes are its seal.
    """

    offset: int
    bytes: int
    checksum: int = 0
    is_sealed: bool = False

    @classmethod
    def of(cls, row: Sequence[int]) -> Extent:
        """Returns the extent that a row of a table names. Raises FormatError when it is larger than any block."""
        offset, size, checksum = row
        if size > MAX_BLOCK_BYTES:
            raise FormatError("a block is larger than any this format writes", bytes=size)
        return cls(offset=offset, bytes=size, checksum=checksum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """What the tail of a container says."""

    kind: bytes
    meta: dict[str, Any]
    blocks: Mapping[str, Block]

    def block(self, name: str) -> Block:
        """Returns a block by name or raises FormatError (malformed-file)."""
        found = self.blocks.get(name)
        if found is None:
            raise FormatError(f"the file has no block {name}", block=name)
        return found


class Sink(Protocol):
    """Where a container is written: a file opened for writing, or BytesIO."""

    def write(self, data: bytes | memoryview, /) -> int: ...  # noqa: D102  # as io.RawIOBase


class ContainerWriter:
    """Writes a container front to back; nothing is held but the directory."""

    def __init__(self, sink: Sink | BinaryIO, kind: bytes) -> None:
        self._sink = sink
        self._kind = kind
        self._offset = 0
        self._blocks: dict[str, Block] = {}
        self._whole = xxhash.xxh3_64()

    @property
    def offset(self) -> int:
        """How many bytes have been written."""
        return self._offset

    @property
    def next_offset(self) -> int:
        """Where the next block will begin."""
        return self._offset + -self._offset % ALIGNMENT

    @property
    def checksum(self) -> str:
        """Returns the xxh3-64 of all bytes written so far, hexadecimal."""
        return self._whole.hexdigest()

    def append(self, data: bytes | memoryview) -> tuple[int, int, int]:
        """Writes an aligned anonymous block, which some table names; returns (offset, bytes, xxh3-64)."""
        offset = self.next_offset
        self._write(b"\0" * (offset - self._offset))
        self._write(data)
        return offset, self._offset - offset, xxhash.xxh3_64_intdigest(data)

    def add_array(self, name: str, array: npt.NDArray[Any]) -> None:
        """Writes a named array, C-order, little-endian."""
        contiguous = np.ascontiguousarray(array)
        contiguous = contiguous.astype(contiguous.dtype.newbyteorder("<"), copy=False)
        # numpy 2.4: an empty array has no cast, but it has no bytes either.
        data = contiguous.reshape(-1).view(np.uint8).data if contiguous.size else b""
        offset, size, checksum = self.append(data)
        self._blocks[name] = Block(
            offset=offset, bytes=size, checksum=checksum, dtype=contiguous.dtype.str, shape=contiguous.shape
        )

    def add_bytes(self, name: str, data: bytes) -> None:
        """Writes a named block of plain bytes."""
        self.add_array(name, np.frombuffer(data, np.uint8))

    def finish(self, meta: Mapping[str, Any]) -> int:
        """Writes directory and footer; returns the size of the file."""
        blocks = {
            name: [b.offset, b.bytes, f"{b.checksum:016x}", b.dtype, list(b.shape)] for name, b in self._blocks.items()
        }
        directory = orjson.dumps({"meta": dict(meta), "blocks": blocks})
        offset, size, checksum = self.append(directory)
        self._write(_FOOTER.pack(MAGIC, FORMAT_VERSION, self._kind, offset, size, checksum))
        return self._offset

    def _write(self, data: bytes | memoryview) -> None:
        if len(data):
            self._sink.write(data)
            self._whole.update(data)
            self._offset += len(data)


def parse_tail(tail: bytes, file_bytes: int, kind: bytes) -> Directory:
    """Reads footer and directory.

    Args:
        tail: the last bytes of the file, at least directory and footer.
        file_bytes: the size of the whole file.
        kind: the four bytes that the file must say it is.

    Raises:
        FormatError: bad-magic, unsupported-version, checksum-mismatch or malformed-file.
    """
    offset, size, checksum = _parse_footer(tail, file_bytes, kind)
    begin = offset - (file_bytes - len(tail))
    if begin < 0:
        raise FormatError("the tail read does not reach the directory", directory_offset=offset, tail_bytes=len(tail))
    raw = tail[begin : begin + size]
    verify(raw, checksum, "directory")
    try:
        parsed = orjson.loads(raw)
        meta, entries = parsed["meta"], parsed["blocks"].items()
        blocks = {name: _parse_block(name, entry, file_bytes) for name, entry in entries}
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise FormatError("the directory is not what the format says") from exc
    if not isinstance(meta, dict):
        raise FormatError("the directory's meta is no object")
    return Directory(kind=kind, meta=meta, blocks=blocks)


def directory_offset(tail: bytes, file_bytes: int, kind: bytes) -> int:
    """Returns where the directory begins, from a tail that may not reach it."""
    return _parse_footer(tail, file_bytes, kind)[0]


def _parse_footer(tail: bytes, file_bytes: int, kind: bytes) -> tuple[int, int, int]:
    if len(tail) < FOOTER_BYTES:
        raise FormatError("the file is shorter than a footer", kind=ErrorKind.BAD_MAGIC, file_bytes=file_bytes)
    magic, version, found, offset, size, checksum = _FOOTER.unpack(tail[-FOOTER_BYTES:])
    if magic != MAGIC or found != kind:
        raise FormatError("the file does not end in the magic of its kind", kind=ErrorKind.BAD_MAGIC)
    if version not in READABLE_VERSIONS:
        raise FormatError(
            "this release cannot read that format version", kind=ErrorKind.UNSUPPORTED_VERSION, version=version
        )
    if size > MAX_DIRECTORY_BYTES or offset + size + FOOTER_BYTES != file_bytes:
        raise FormatError("the footer contradicts the size of the file", offset=offset, bytes=size)
    return offset, size, checksum


def _parse_block(name: str, entry: Sequence[Any], file_bytes: int) -> Block:
    offset, size, checksum, dtype, shape = entry
    if dtype not in _DTYPES or not all(type(n) is int and n >= 0 for n in [offset, size, *shape]):
        raise FormatError("a block of the directory is malformed", block=name)
    within = size <= MAX_BLOCK_BYTES and offset + size <= file_bytes
    # An axis of 0 must not hide others that no array can have.
    has_axes = 1 <= len(shape) <= _MAX_AXES and math.prod(n or 1 for n in shape) <= MAX_BLOCK_BYTES
    if not (within and has_axes) or math.prod(shape) * np.dtype(dtype).itemsize != size:
        raise FormatError("a block of the directory lies outside the file or contradicts its shape", block=name)
    return Block(offset=offset, bytes=size, checksum=int(checksum, 16), dtype=dtype, shape=tuple(shape))


def seal_of(data: bytes | memoryview, offset: int) -> int:
    """Returns the seal of a part that begins at `offset` of its file, from its bytes before the seal."""
    return xxhash.xxh3_64_intdigest(data, seed=offset)


def intact(data: bytes | memoryview, checksum: int) -> bool:
    """Returns whether `data` has that xxh3-64."""
    return xxhash.xxh3_64_intdigest(data) == checksum


def is_intact(extent: Extent, data: bytes | memoryview) -> bool:
    """Returns whether these are the bytes of an extent."""
    if not extent.is_sealed:
        return intact(data, extent.checksum)
    seal = int.from_bytes(data[-SEAL_BYTES:], "little")
    return len(data) == extent.bytes and seal == seal_of(memoryview(data)[:-SEAL_BYTES], extent.offset)


def verify_extent(extent: Extent, data: bytes | memoryview, what: str) -> None:
    """Raises FormatError (checksum-mismatch) unless these are the bytes of the extent."""
    if not is_intact(extent, data):
        raise _mismatch(what)


def verify(data: bytes | memoryview, checksum: int, what: str) -> None:
    """Raises FormatError (checksum-mismatch) unless `data` has that xxh3-64."""
    if not intact(data, checksum):
        raise _mismatch(what)


def _mismatch(what: str) -> FormatError:
    return FormatError(f"the bytes of {what} do not have their checksum", kind=ErrorKind.CHECKSUM_MISMATCH, part=what)


def decode_block(name: str, block: Block, data: bytes | memoryview) -> npt.NDArray[Any]:
    """Returns a block's array, read-only, after its checksum."""
    if len(data) != block.bytes:
        raise FormatError("a block was not read whole", block=name, expected=block.bytes, got=len(data))
    verify(data, block.checksum, name)
    return np.frombuffer(data, np.dtype(block.dtype)).reshape(block.shape)


def expect(name: str, array: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
    """Returns the array, or raises FormatError unless it has the type and the shape; None is any length."""
    fits = len(shape) == array.ndim and all(n in {None, m} for n, m in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != np.dtype(dtype):
        raise FormatError("a block has another type or shape than the format says", block=name)
    return array


class Container:
    """A container held in memory whole: segments, routing files, artefacts."""

    def __init__(self, data: bytes, kind: bytes) -> None:
        self._data = memoryview(data)
        self.directory = parse_tail(data, len(data), kind)

    @property
    def meta(self) -> dict[str, Any]:
        """The directory's meta object."""
        return self.directory.meta

    def array(self, name: str) -> npt.NDArray[Any]:
        """Returns a block's array, read-only, checked."""
        block = self.directory.block(name)
        return decode_block(name, block, self._data[block.offset : block.offset + block.bytes])
