"""Lines of a stream: the same wherever the stream is cut into chunks, and none longer than its bound."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.lines import lines_of, unpacked
from shardlake.errors import InvalidInput


class Dripping(io.BytesIO):
    """A stream that gives a few bytes at a time, as a network may."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


texts = st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\r\n", b" ", b"\xff", b"ccccccccc"]), max_size=30).map(b"".join)


@given(texts, st.integers(1, 9))
def test_lines_are_those_of_the_whole_text_wherever_it_is_cut(text: bytes, step: int) -> None:
    bound = 5

    found = [(line.number, line.data) for line in lines_of(Dripping(text, step), max_line_bytes=bound)]

    kept = [line if len(line) <= bound else None for line in text.split(b"\n")]
    assert found == [(number, line) for number, line in enumerate(kept, start=1) if line is None or line.strip()]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert [line.data for line in lines_of(io.BytesIO(b"\xef\xbb\xbf{}\n\xef\xbb\xbf"))] == [b"{}", b"\xef\xbb\xbf"]


def test_a_bomb_ends_at_its_bound() -> None:
    stream = io.BytesIO(gzip.compress(bytes(1_000_000)))

    with pytest.raises(InvalidInput) as caught:
        list(lines_of(unpacked(stream, max_bytes=500_000), max_line_bytes=10))

    assert caught.value.kind == "invalid-file"


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b", gzip.compress(b"x" * 1_000)[:-9]])
def test_what_is_no_whole_gzip_is_an_invalid_file(data: bytes) -> None:
    if not data:
        assert list(lines_of(unpacked(io.BytesIO(data)))) == []
        return
    with pytest.raises(InvalidInput):
        list(lines_of(unpacked(io.BytesIO(data))))
