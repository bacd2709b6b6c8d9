"""Rows of a parquet file, read from the store in ranges and in small batches, as the JSON that an item would be.

A null is a missing value; a timestamp becomes RFC 3339 (UTC where it has no zone); a map becomes an object.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.store.base import ByteRange, ObjectStore
from shardlake.types import Json

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BATCH_ROWS = 512
MAX_ROW_GROUP_BYTES = 1024 * limits.MIB  # unpacked: pyarrow holds the columns of one group


class RangeFile(io.RawIOBase):
    """An object of a store as a file that can be sought: every read is one ranged GET."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._size = store.head(key).size_bytes
        self._at = 0

    def readable(self) -> bool:
        """It reads."""
        return True

    def seekable(self) -> bool:
        """It seeks."""
        return True

    def tell(self) -> int:
        """Returns where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to where the next read begins."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Reads into a buffer, as much as there is."""
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._size)
        if stop <= self._at:
            return 0
        (data,) = self._store.get_ranges(self._key, [ByteRange(self._at, stop)])
        view[: len(data)] = data
        self._at = stop
        return len(data)


def rows_of(store: ObjectStore, key: str) -> Iterator[tuple[Json, int]]:
    """Yields (row as JSON, its share of bytes) of a parquet file.

    Raises:
        NotFound: object-not-found.
        InvalidInput: invalid-file.
    """
    with RangeFile(store, key) as file:
        try:
            table = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
            _check_groups(table)
            for batch in table.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                size = batch.nbytes // max(1, batch.num_rows)
                for row in batch.to_pylist(maps_as_pydicts="lossy"):
                    yield _json(row), size
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
