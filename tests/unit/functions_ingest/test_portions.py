"""Parts of a file: together they are the file, whatever it holds and wherever they are cut."""

from __future__ import annotations

import io
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest import portions
from functions.ingest.lines import Line, lines_of, skip
from functions.ingest.objects import RangeFile, stream_of
from functions.ingest.portions import Dealt, Part, parts_of_lines
from functions.ingest.tables import parts_of_rows, rows_of
from shardlake.errors import NotFound
from shardlake.store.base import ObjectInfo
from shardlake.testing import MemoryStore
from shardlake.types import Json

FIRST = Part(number=0, start=0, stop=0, line=1)
texts = st.lists(
    st.sampled_from([b"a", b"bb", b"\n", b"\r\n", b" ", b"\xff", b"\xef\xbb\xbf", b"c" * 9]), max_size=40
).map(b"".join)


def stored(body: bytes) -> tuple[MemoryStore, ObjectInfo]:
    store = MemoryStore()
    store.put("k", body)
    return store, store.head("k")


def read(store: MemoryStore, info: ObjectInfo, part: Part) -> list[Line]:
    return list(lines_of(stream_of(store, info, part.start, part.stop), first=part.line, max_line_bytes=5))


@given(texts, st.integers(1, 12), st.integers(1, 6), st.integers(1, 9))
def test_the_lines_of_all_parts_are_the_lines_of_the_file(
    text: bytes, part_bytes: int, part_lines: int, chunk_bytes: int
) -> None:
    store, info = stored(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "CHUNK_BYTES", chunk_bytes)
        parts = list(parts_of_lines(io.BytesIO(text), FIRST, part_bytes=part_bytes, part_lines=part_lines))

    assert [line for part in parts for line in read(store, info, part)] == list(
        lines_of(io.BytesIO(text), max_line_bytes=5)
    )
    assert [part.start for part in parts] == [0, *(part.stop for part in parts)][: len(parts)]
    assert [part.number for part in parts] == list(range(len(parts)))
    for part, after in itertools.pairwise(parts):
        lines = text[part.start : part.stop].splitlines(keepends=True)
        assert text[part.stop - 1 : part.stop] == b"\n"
        assert after == parts_from(text, part.next, part_bytes, part_lines)[0], "cutting goes on anywhere"
        held = text[part.start : part.stop].count(b"\n")
        assert held == part.lines
        reaches_only_with_its_last = part.stop - part.start - len(lines[-1]) < part_bytes
        assert held == part_lines or (held < part_lines and reaches_only_with_its_last)


def parts_from(text: bytes, at: Part, part_bytes: int, part_lines: int) -> list[Part]:
    return list(parts_of_lines(io.BytesIO(text[at.start :]), at, part_bytes=part_bytes, part_lines=part_lines))


@given(texts, st.integers(1, 12), st.integers(1, 6), st.integers(0, 5))
def test_lines_that_are_dealt_are_the_lines_of_the_file_wherever_a_run_ends(
    text: bytes, part_bytes: int, part_lines: int, parts_a_run: int
) -> None:
    at, found, is_over = FIRST, [], False
    while not is_over:
        stream = io.BytesIO(text)
        skip(stream, at.start)
        lines = lines_of(stream, first=at.line, max_line_bytes=5)
        dealt = Dealt(lines, at, part_bytes=part_bytes, part_lines=part_lines)
        for _ in range(parts_a_run + 1):
            part = list(dealt.part())
            assert len(part) <= part_lines
            assert sum(len(line.data or b"") for line in part[:-1]) < part_bytes
            found += part
            if dealt.is_over:
                break
        at, is_over = dealt.at, dealt.is_over

    assert found == list(lines_of(io.BytesIO(text), max_line_bytes=5))


@given(
    groups=st.lists(st.integers(0, 12), max_size=5),
    part_bytes=st.integers(1, 400),
    part_lines=st.integers(1, 9),
    first=st.integers(0, 3),
)
def test_the_rows_of_all_parts_are_the_rows_of_the_table(
    groups: list[int], part_bytes: int, part_lines: int, first: int
) -> None:
    store, info = stored(table_of(groups))
    parts = list(parts_of_rows(store, info, FIRST, part_bytes=part_bytes, part_lines=part_lines))

    found = [(part.line + index, row) for part in parts for index, (row, _) in enumerate(rows_of(store, info, part))]

    assert found == [(number + 1, {"id": f"i{number}"}) for number in range(sum(groups))]
    assert all(part.lines <= part_lines for part in parts)
    at = Part(number=first, start=0, stop=0, line=1)
    assert list(parts_of_rows(store, info, at, part_bytes=part_bytes, part_lines=part_lines)) == parts[first:]


def table_of(groups: list[int]) -> bytes:
    """Returns a parquet file whose groups have so many rows."""
    file, numbers = io.BytesIO(), itertools.count()
    with pq.ParquetWriter(file, pa.schema([("id", pa.string())])) as writer:
        for rows in groups:
            writer.write_table(pa.table({"id": pa.array([f"i{next(numbers)}" for _ in range(rows)], pa.string())}))
    return file.getvalue()


def test_a_part_of_a_table_reads_the_groups_that_have_rows_of_it() -> None:
    store, info = stored(table_of([10, 10, 10]))
    rows: list[Json] = [row for row, _ in rows_of(store, info, Part(number=0, start=12, stop=23, line=13))]

    assert rows == [{"id": f"i{number}"} for number in range(12, 23)]


def test_a_part_is_never_read_of_another_object() -> None:
    store, info = stored(b"one\ntwo\n")
    file = RangeFile(store, info)
    assert file.read(4) == b"one\n"

    store.put("k", b"ONE\nTWO\n")

    with pytest.raises(NotFound):
        file.read(4)
