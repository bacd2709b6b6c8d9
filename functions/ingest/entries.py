"""What a dropped table holds, entry by entry: a parsed value, or why it is none. Reading goes on after a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from functions.ingest.lines import Line, lines_of, unpacked
from functions.ingest.objects import stream_of
from functions.ingest.portions import Part
from functions.ingest.world import World
from shardlake import limits
from shardlake.contracts.common import parse_json
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.store.base import ObjectInfo
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


def is_parquet(key: str) -> bool:
    """Returns whether a file is a table of rows."""
    return key.lower().endswith(PARQUET_SUFFIX)


def is_packed(key: str) -> bool:
    """Returns whether a file is compressed as a whole, so that it can be read from its beginning only."""
    return key.lower().endswith(GZIP_SUFFIX)


def entries_of(world: World, info: ObjectInfo) -> Iterator[Entry]:
    """Yields the entries of a jsonl, jsonl.gz or parquet file.

    Raises:
        NotFound: object-not-found, also when another file stands there.
        InvalidInput: invalid-file, when the file as a whole cannot be read on.
    """
    if is_parquet(info.key):
        yield from _rows(world, info, None)
        return
    with closing(world.store.open(info.key)) as stream:
        for line in lines_of(unpacked(stream) if is_packed(info.key) else stream):
            yield entry_of(line)


def entries_of_part(world: World, info: ObjectInfo, part: Part) -> Iterator[Entry]:
    """Yields the entries of a part of a file, numbered as in the whole file. Raises as `entries_of`."""
    if is_parquet(info.key):
        yield from _rows(world, info, part)
        return
    with closing(stream_of(world.store, info, part.start, part.stop)) as stream:
        for line in lines_of(stream, first=part.line):
            yield entry_of(line)


def entry_of(line: Line) -> Entry:
    """Returns what a line holds."""
    if line.data is None:
        message = f"the line is longer than {limits.MAX_LINE_BYTES} bytes"
        return Entry(line=line.number, error=InvalidInput(message, kind=ErrorKind.PAYLOAD_TOO_LARGE))
    try:
        value = parse_json(line.data, max_bytes=limits.MAX_LINE_BYTES)
    except InvalidInput as error:
        return Entry(line=line.number, error=error)
    return Entry(line=line.number, value=value, size_bytes=len(line.data))


def _rows(world: World, info: ObjectInfo, part: Part | None) -> Iterator[Entry]:
    # Imported here: pyarrow costs a cold start 0.2 s, and most files are lines.
    from functions.ingest.tables import rows_of

    first = 1 if part is None else part.line
    for number, (value, size) in enumerate(rows_of(world.store, info, part), start=first):
        yield Entry(line=number, value=value, size_bytes=size)
