"""The container: what is written is read, what is damaged is noticed, and a lie costs nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest

from shardlake.errors import ErrorKind, FormatError
from shardlake.format.container import (
    ALIGNMENT,
    FOOTER_BYTES,
    FORMAT_VERSION,
    Container,
    ContainerWriter,
    directory_offset,
    parse_tail,
)
from tests.unit.format.lies import lying_directories, what_breaks

KIND = b"TEST"
ARRAYS = {
    "bytes": np.arange(70, dtype=np.uint8),
    "table": np.arange(12, dtype=np.uint64).reshape(4, 3),
    "signed": np.array([-1, 2], np.int8),
    "empty": np.empty((0, 5), np.float32),
    "floats": np.array([[1.5, -2.5]], np.float64),
}


def _file() -> bytes:
    sink = io.BytesIO()
    writer = ContainerWriter(sink, KIND)
    for name, array in ARRAYS.items():
        writer.add_array(name, array)
    assert writer.finish({"answer": 42}) == len(sink.getvalue()) == writer.offset
    return sink.getvalue()


def _read(data: bytes) -> list[object]:
    file = Container(data, KIND)
    return [file.meta, *(file.array(name).tolist() for name in file.directory.blocks)]


def test_arrays_come_back_as_they_were_aligned_and_read_only() -> None:
    file = Container(_file(), KIND)

    assert file.meta == {"answer": 42}
    for name, array in ARRAYS.items():
        found = file.array(name)
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tolist() == array.tolist()
        assert not found.flags.writeable
        assert file.directory.block(name).offset % ALIGNMENT == 0


def test_big_endian_and_transposed_arrays_are_written_in_the_format_s_own_order() -> None:
    sink = io.BytesIO()
    writer = ContainerWriter(sink, KIND)
    writer.add_array("a", np.arange(6, dtype=">u4").reshape(2, 3).T)
    writer.finish({})

    assert Container(sink.getvalue(), KIND).array("a").tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_same_arrays_give_the_same_bytes() -> None:
    assert _file() == _file()


def test_no_flipped_byte_goes_unnoticed_where_it_is_read() -> None:
    data = _file()
    expected = _read(data)
    silent = []
    for at in range(len(data)):
        for mask in (0xFF, 0x01):
            damaged = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            try:
                if _read(damaged) != expected:
                    silent.append(at)
            except FormatError:
                pass

    assert silent == []


def test_no_cut_goes_unnoticed() -> None:
    data = _file()
    for length in range(len(data)):
        with pytest.raises(FormatError):
            _read(data[:length])
        with pytest.raises(FormatError):
            _read(data[length + 1 :] if length + FOOTER_BYTES < len(data) else b"")


def test_a_lying_directory_is_a_format_error_and_allocates_nothing() -> None:
    assert what_breaks(_read, lying_directories(_file())) == []


def test_a_file_of_another_kind_or_version_says_so() -> None:
    data = _file()

    with pytest.raises(FormatError) as other:
        Container(data, b"SEGM")
    assert other.value.kind is ErrorKind.BAD_MAGIC
    version = len(data) - FOOTER_BYTES + 8
    with pytest.raises(FormatError) as newer:
        Container(data[:version] + (FORMAT_VERSION + 1).to_bytes(4, "little") + data[version + 4 :], KIND)
    assert newer.value.kind is ErrorKind.UNSUPPORTED_VERSION
    assert newer.value.context["version"] == FORMAT_VERSION + 1


def test_a_tail_that_does_not_reach_the_directory_says_where_it_begins() -> None:
    data = _file()
    short = data[-FOOTER_BYTES - 1 :]

    offset = directory_offset(short, len(data), KIND)

    with pytest.raises(FormatError):
        parse_tail(short, len(data), KIND)
    assert parse_tail(data[offset:], len(data), KIND).meta == {"answer": 42}


def test_an_absent_block_is_a_format_error_that_names_it() -> None:
    with pytest.raises(FormatError) as caught:
        Container(_file(), KIND).array("nothing")

    assert caught.value.context["block"] == "nothing"
