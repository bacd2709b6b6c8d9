"""Rows of a parquet file, read from the store in ranges and in small batches, as the JSON that an item would be.

A null is a missing value; a timestamp becomes RFC 3339 (UTC where it has no zone); a map becomes an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from functions.ingest.objects import RangeFile
from functions.ingest.portions import Part
from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.store.base import ObjectInfo, ObjectStore
from shardlake.types import Json

BATCH_ROWS = 512
MAX_ROW_GROUP_BYTES = 1024 * limits.MIB  # unpacked: pyarrow holds the columns of one group


def rows_of(store: ObjectStore, info: ObjectInfo, part: Part | None = None) -> Iterator[tuple[Json, int]]:
    """Yields (row as JSON, its share of bytes) of a parquet file, or of a part of its rows.

    Raises:
        NotFound: object-not-found, also when another file stands there.
        InvalidInput: invalid-file.

    Cost: reads the row groups that have rows of the part, from their beginning.
    """
    with _opened(store, info) as table:
        start, stop = (0, table.metadata.num_rows) if part is None else (part.start, part.stop)
        groups, at = _groups_of(table, start, stop)
        for batch in table.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, use_threads=False):
            if at >= stop:
                return
            size = batch.nbytes // max(1, batch.num_rows)
            wanted = batch.slice(max(0, start - at), max(0, min(stop, at + batch.num_rows) - max(start, at)))
            at += batch.num_rows
            for row in wanted.to_pylist(maps_as_pydicts="lossy"):
                yield _json(row), size


def parts_of_rows(
    store: ObjectStore, info: ObjectInfo, at: Part, *, part_bytes: int, part_lines: int
) -> Iterator[Part]:
    """Yields the parts of a parquet file's rows from one on.

    A part ends where a row more would be too much, by the mean size of the rows of its group, or with the file.

    Args:
        store: has the file. info: of the file.
        at: the first one, as far as it is known: its number and start.
        part_bytes: of one part, unpacked. part_lines: rows of one part.

    Raises:
        NotFound: object-not-found. InvalidInput: invalid-file.
    """
    with _opened(store, info) as table:
        groups = [table.metadata.row_group(index) for index in range(table.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    cuts = _cuts(sizes, part_bytes=part_bytes, part_lines=part_lines)
    for number, (start, stop) in enumerate(cuts):
        if number >= at.number:
            yield Part(number=number, start=start, stop=stop, line=start + 1, lines=stop - start)


def _cuts(sizes: list[tuple[int, int]], *, part_bytes: int, part_lines: int) -> Iterator[tuple[int, int]]:
    start = at = held = 0
    for rows, size in sizes:
        each, left = max(1, size // max(1, rows)), rows
        while left:
            taken = min(left, part_lines - (at - start), max(1, (part_bytes - held) // each))
            at, left, held = at + taken, left - taken, held + taken * each
            if at - start >= part_lines or held + each > part_bytes:
                yield start, at
                start, held = at, 0
    if at > start:
        yield start, at


def _groups_of(table: Any, start: int, stop: int) -> tuple[list[int], int]:  # noqa: ANN401 - pyarrow has no types
    """Returns the groups that have rows from `start` to `stop`, and the number of the first one's first row."""
    found: list[int] = []
    at = begin = 0
    for index in range(table.num_row_groups):
        rows = table.metadata.row_group(index).num_rows
        if at < stop and at + rows > start:
            begin = begin if found else at
            found.append(index)
        at += rows
    return found, begin


@contextmanager
def _opened(store: ObjectStore, info: ObjectInfo) -> Iterator[Any]:
    with RangeFile(store, info) as file:
        try:
            table = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
            _check_groups(table)
            yield table
        except (pa.ArrowException, OSError, ValueError, OverflowError, UnicodeDecodeError) as exc:
            if isinstance(exc, InvalidInput):
                raise
            raise InvalidInput("the file cannot be read as parquet", kind=ErrorKind.INVALID_FILE) from exc


def _check_groups(table: Any) -> None:  # noqa: ANN401 - pyarrow has no types
    for index in range(table.num_row_groups):
        if table.metadata.row_group(index).total_byte_size > MAX_ROW_GROUP_BYTES:
            raise InvalidInput(
                f"a row group unpacks to more than {MAX_ROW_GROUP_BYTES} bytes: write smaller ones",
                kind=ErrorKind.INVALID_FILE,
            )


def _json(row: dict[str, Any]) -> dict[str, Json]:
    """Returns a row as an item: a column that is null is absent, as is a field of the columns that are objects."""
    item: dict[str, Json] = {}
    for column, value in row.items():
        if isinstance(value, dict):
            item[column] = {name: _plain(part) for name, part in value.items() if part is not None}
        elif value is not None:
            item[column] = _plain(value)
    return item


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a parquet file holds
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        # Vectors are long lists of numbers: they are passed on as they are.
        return value if not value or isinstance(value[0], int | float) else [_plain(part) for part in value]
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.isoformat().replace("+00:00", "Z")
    return value
