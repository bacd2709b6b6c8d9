"""The attributes of one shard, from its items: columns, postings, and what the shard map says of the values.

Memory is bounded by one attribute of one shard, whatever the number of attributes: items are parsed once, in batches,
and the columns of each batch wait in a scratch file of their attribute. `collect` parses, `write_columns` writes: the
first needs nothing of the shard's file, so that it may run beside what is written before the attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import orjson

from shardlake.format.attributes import AttributeWriter
from shardlake.query.columns import (
    Column,
    GeoColumn,
    KeywordColumn,
    NumberColumn,
    PresenceColumn,
    build_column,
    concatenate,
)
from shardlake.query.summaries import quantiles, summarize
from shardlake.types import AttributeSpec, AttributeType, Summary

_ARRAYS = {AttributeType.GEO: 3, AttributeType.TEXT: 1}  # of a column; 2 of any other, and one more where it is multi


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What the shard map says of a shard's values: {attribute: [min, max]} and {attribute: summary}."""

    zone_maps: dict[str, tuple[object, object]]
    summaries: dict[str, Summary]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The columns of a shard's batches: of each attribute one scratch file."""

    specs: Sequence[AttributeSpec]
    paths: Sequence[Path]


def collect(specs: Sequence[AttributeSpec], batches: Iterable[Sequence[bytes]], scratch: Path) -> Collected:
    """Parses the items of a shard.

    Args:
        specs: the attributes of the schema.
        batches: the items' payloads in the order of rows, at least one batch; each is read once.
        scratch: a folder for files that are gone when `write_columns` has taken them.

    Cost: of a million items with 20 attributes about 3 s of one core.
    """
    paths = [scratch / f"attribute-{number}.npy" for number in range(len(specs))]
    with ExitStack() as files:
        handles = [files.enter_context(path.open("wb")) for path in paths]
        for payloads in batches:
            items = [orjson.loads(payload)["attributes"] for payload in payloads]
            for spec, handle in zip(specs, handles, strict=True):
                name = spec.name
                values = [item.get(name) for item in items]
                if spec.type is AttributeType.TEXT:  # of which a column knows that it is there, and no more
                    values = [None if value is None else "" for value in values]
                for array in _arrays(build_column(spec, values)):
                    np.save(handle, array, allow_pickle=False)
    return Collected(specs=specs, paths=paths)


def write_columns(writer: AttributeWriter, collected: Collected) -> ColumnFacts:
    """Writes every attribute of a shard, and removes the scratch files."""
    zones: dict[str, tuple[object, object]] = {}
    summaries: dict[str, Summary] = {}
    for spec, path in zip(collected.specs, collected.paths, strict=True):
        column = concatenate(spec, list(_columns(spec, path)))
        path.unlink()
        writer.add(spec, column)
        zone = column.zone()
        if zone is not None:
            zones[spec.name] = zone
        summaries[spec.name] = summarize(column)
        if spec.type is AttributeType.DATETIME and isinstance(column, NumberColumn) and (cuts := quantiles(column)):
            summaries[spec.name]["quantiles"] = cuts
    return ColumnFacts(zone_maps=zones, summaries=summaries)


def _arrays(column: Column) -> list[npt.NDArray[Any]]:
    """Returns what `_column` makes the column of again."""
    if isinstance(column, KeywordColumn):
        dictionary = np.frombuffer(orjson.dumps(column.dictionary), np.uint8)
        return [dictionary, column.codes, *([] if column.offsets is None else [column.offsets])]
    if isinstance(column, NumberColumn):
        return [column.present, column.values]
    return [column.present, *([column.latitudes, column.longitudes] if isinstance(column, GeoColumn) else [])]


def _columns(spec: AttributeSpec, path: Path) -> Iterator[Column]:
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            yield _column(spec, file)


def _column(spec: AttributeSpec, file: BinaryIO) -> Column:
    first, *rest = (np.load(file, allow_pickle=False) for _ in range(_ARRAYS.get(spec.type, 2) + spec.multi))
    if spec.type is AttributeType.KEYWORD:
        return KeywordColumn(
            dictionary=orjson.loads(first.tobytes()), codes=rest[0], offsets=rest[1] if spec.multi else None
        )
    if spec.type is AttributeType.GEO:
        return GeoColumn(present=first, latitudes=rest[0], longitudes=rest[1])
    return NumberColumn(present=first, values=rest[0]) if rest else PresenceColumn(present=first)
