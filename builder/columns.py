"""The attributes of one shard, from its items: columns, postings, and what the shard map says of the values.

Memory is bounded by one attribute of one shard, whatever the number of attributes: items are parsed once, in batches,
and the values of each attribute wait in a scratch file of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shardlake.format.attributes import AttributeWriter
from shardlake.query.columns import build_column, concatenate
from shardlake.query.summaries import summarize
from shardlake.types import AttributeSpec, AttributeType, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What the shard map says of a shard's values: {attribute: [min, max]} and {attribute: summary}."""

    zone_maps: dict[str, tuple[object, object]]
    summaries: dict[str, Summary]


def write_columns(
    writer: AttributeWriter, specs: Sequence[AttributeSpec], batches: Iterable[Sequence[bytes]], scratch: Path
) -> ColumnFacts:
    """Writes every attribute of a shard.

    Args:
        writer: of the shard.
        specs: the attributes of the schema.
        batches: the items' payloads in the order of rows, at least one batch; each is read once.
        scratch: a folder for files that are gone when this returns.
    """
    zones: dict[str, tuple[object, object]] = {}
    summaries: dict[str, Summary] = {}
    paths = [scratch / f"attribute-{number}.jsonl" for number in range(len(specs))]
    _spill(specs, batches, paths)
    for spec, path in zip(specs, paths, strict=True):
        column = concatenate(spec, [build_column(spec, values) for values in _lines(path)])
        path.unlink()
        writer.add(spec, column)
        zone = column.zone()
        if zone is not None:
            zones[spec.name] = zone
        summaries[spec.name] = summarize(column)
    return ColumnFacts(zone_maps=zones, summaries=summaries)


def _spill(specs: Sequence[AttributeSpec], batches: Iterable[Sequence[bytes]], paths: Sequence[Path]) -> None:
    """Writes a line a batch: the values of one attribute, null where an item has none."""
    with ExitStack() as files:
        handles = [files.enter_context(path.open("wb")) for path in paths]
        for payloads in batches:
            items = [orjson.loads(payload)["attributes"] for payload in payloads]
            for spec, handle in zip(specs, handles, strict=True):
                values = [item.get(spec.name) for item in items]
                if spec.type is AttributeType.TEXT:  # of which a column knows that it is there, and no more
                    values = [None if value is None else "" for value in values]
                handle.write(orjson.dumps(values) + b"\n")


def _lines(path: Path) -> Iterator[list[Any]]:
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)
