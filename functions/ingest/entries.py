"""What a dropped table holds, entry by entry: a parsed value, or why it is none. Reading goes on after a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from functions.ingest.lines import lines_of, unpacked
from functions.ingest.world import World
from shardlake import limits
from shardlake.contracts.common import parse_json
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import Json

GZIP_SUFFIX = ".gz"
PARQUET_SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a file, or row of a table, numbered from 1. Exactly one of `value` and `error` counts."""

    line: int
    value: Json = None
    error: InvalidInput | None = None
    size_bytes: int = 0


def entries_of(world: World, key: str) -> Iterator[Entry]:
    """Yields the entries of a jsonl, jsonl.gz or parquet file.

    Raises:
        NotFound: object-not-found.
        InvalidInput: invalid-file, when the file as a whole cannot be read on.
    """
    if key.lower().endswith(PARQUET_SUFFIX):
        # Imported here: pyarrow costs a cold start 0.2 s, and most files are lines.
        from functions.ingest.tables import rows_of

        for number, (value, size) in enumerate(rows_of(world.store, key), start=1):
            yield Entry(line=number, value=value, size_bytes=size)
        return
    with closing(world.store.open(key)) as stream:
        source = unpacked(stream) if key.lower().endswith(GZIP_SUFFIX) else stream
        for line in lines_of(source):
            yield _entry(line.number, line.data)


def _entry(number: int, data: bytes | None) -> Entry:
    if data is None:
        message = f"the line is longer than {limits.MAX_LINE_BYTES} bytes"
        return Entry(line=number, error=InvalidInput(message, kind=ErrorKind.PAYLOAD_TOO_LARGE))
    try:
        return Entry(line=number, value=parse_json(data, max_bytes=limits.MAX_LINE_BYTES), size_bytes=len(data))
    except InvalidInput as error:
        return Entry(line=number, error=error)
