"""A file with attributes and nothing else, written by the format's own writer, and how it is read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shardlake.contracts.shard import LeafStats
from shardlake.deadline import Deadline
from shardlake.engine.attributes import ShardAttributes
from shardlake.engine.reading import Reader
from shardlake.errors import FormatError
from shardlake.format.attributes import AttributeWriter
from shardlake.format.container import ContainerWriter, decode_block, parse_tail
from shardlake.format.shard_header import ShardHeader
from shardlake.query.columns import Column, build_column, concatenate
from shardlake.query.filter import Node
from shardlake.types import AttributeSpec, BoolArray, CollectionSchema

KIND = b"TEST"


@dataclass(slots=True)
class AttributeFile:
    """The file, opened.

    Attributes:
        rounds: the ranges of each round of reads so far.
        limit: what may be read; beyond it lies nothing.
    """

    data: bytes
    tail_offset: int
    specs: tuple[AttributeSpec, ...]
    rows: int
    rounds: list[list[tuple[int, int]]] = field(default_factory=list)
    attributes: ShardAttributes = field(init=False)

    def __post_init__(self) -> None:
        self.attributes = ShardAttributes(self.header())

    def header(self) -> ShardHeader:
        """Returns what a shard's tail would say."""
        directory = parse_tail(self.data[self.tail_offset :], len(self.data), KIND)
        arrays = {
            name: decode_block(name, block, self.data[block.offset : block.offset + block.bytes])
            for name, block in directory.blocks.items()
            if block.offset >= self.tail_offset
        }
        specs = {spec.name: spec for spec in self.specs}
        return ShardHeader(rows=self.rows, spaces={}, attributes=specs, directory=directory, arrays=arrays)

    def passing(self, node: Node) -> BoolArray:
        """Returns (rows,) bool: what passes a filter."""
        return self.attributes.passing(node, self.reader()).mask

    def column(self, name: str) -> Column:
        """Returns a whole column."""
        return self.attributes.column(name, self.reader())

    def reader(self) -> Reader:
        """Returns a reader that counts into `rounds`."""
        return Reader(self._read, None, LeafStats())

    @property
    def bytes_read(self) -> int:
        """All bytes read so far beside the tail."""
        return sum(stop - start for spans in self.rounds for start, stop in spans)

    def _read(self, spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        self.rounds.append(list(spans))
        if any(not 0 <= start <= stop <= len(self.data) for start, stop in spans):
            raise FormatError("a range lies beyond the end of the object")  # as the store's port says
        return [self.data[start:stop] for start, stop in spans]


def written(schema: CollectionSchema, items: Sequence[Mapping[str, Any]], piece: int = 10**9) -> AttributeFile:
    """Returns the file of some items, whose columns were built `piece` items at a time."""
    starts = range(0, max(len(items), 1), piece)
    columns = {
        spec.name: concatenate(
            spec, [build_column(spec, [item.get(spec.name) for item in items[at : at + piece]]) for at in starts]
        )
        for spec in schema.attributes
    }
    return of_columns(schema.attributes, columns, len(items))


def of_columns(specs: Sequence[AttributeSpec], columns: Mapping[str, Column], rows: int) -> AttributeFile:
    """Returns the file of some columns."""
    sink = io.BytesIO()
    container = ContainerWriter(sink, KIND)
    writer = AttributeWriter(container, rows)
    for spec in specs:
        writer.add(spec, columns[spec.name])
    container.append(b"")
    tail_offset = container.offset
    writer.add_tail()
    container.finish({})
    return AttributeFile(sink.getvalue(), tail_offset, tuple(specs), rows)
