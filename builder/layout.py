"""The parts of a shard's file, one behind another: what a build and an ingest write is laid down here alone.

Knows nothing of how vectors are searched, and so nothing of faiss: a space brings what is written of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from builder.beside import beside
from builder.columns import ColumnFacts, collect, write_columns
from builder.strings import Strings, ascending
from shardlake.core.runs import runs
from shardlake.format.attributes import AttributeWriter
from shardlake.format.container import ContainerWriter
from shardlake.format.shard import ShardSpace, ShardWriter, chunk_bytes
from shardlake.format.terms import TermWriter
from shardlake.types import AttributeSpec, Float32Array, Int64Array

BATCH_ROWS = 16_384  # parsed for columns at a time
BATCH_BYTES = 32 * 1024 * 1024  # likewise


class SpaceParts(Protocol):
    """What is written of one space."""

    @property
    def name(self) -> str:
        """Of the space."""

    @property
    def is_stored(self) -> bool:
        """Whether it has lists of its own; else it is computed from another space."""

    def write_blocks(self, writer: ShardWriter) -> ShardSpace:
        """Writes lists, exact vectors, buckets; returns what the shard's meta object says of the space."""

    def row_lists(self) -> npt.NDArray[np.int32]:
        """Returns (rows,) the list of each row, -1 without a vector."""

    def centroids(self) -> Float32Array:
        """Returns (lists, d), those of the shard's lists."""

    def write_tail(self, writer: ShardWriter) -> None:
        """Writes what a search needs of the space before it can read anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardItems:
    """The items of a shard.

    Attributes:
        ids, payloads: as they arrived.
        order: (rows,) int64: which of them each row of the shard is.
    """

    ids: Strings
    payloads: Strings
    order: Int64Array

    def batches(self) -> Iterator[list[bytes]]:
        """Yields the payloads in the order of rows, so many at a time as BATCH_ROWS and BATCH_BYTES allow."""
        ends = np.cumsum(self.payloads.lengths[self.order])
        start = 0
        while True:
            before = int(ends[start - 1]) if start else 0
            stop = min(start + BATCH_ROWS, max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, "right"))))
            yield self.payloads.take(self.order[start:stop])
            if stop >= len(self.order):
                return
            start = stop

    def write(self, writer: ShardWriter) -> None:
        """Writes the items in chunks."""
        sizes = (self.payloads.lengths + self.ids.lengths)[self.order]
        for start, stop in runs(sizes, chunk_bytes(int(sizes.sum()))):
            chunk = self.order[start:stop]
            writer.add_items(start, self.ids.take(chunk), self.payloads.take(chunk))


def lay_down(  # noqa: PLR0917  # everything that a shard has
    container: ContainerWriter,
    attributes: Sequence[AttributeSpec],
    items: ShardItems,
    spaces: Sequence[SpaceParts],
    terms: TermWriter | None,
    scratch: Path,
    *,
    threads: int = 1,
    when_collected: Callable[[], None] = lambda: None,
) -> tuple[int, ColumnFacts]:
    """Writes a shard behind its terms; returns where its tail begins, and what the shard map says of its values.

    Args:
        container: of the shard.
        attributes: of the schema. items: all of them. spaces: in the order of the schema, the primary one first.
        terms: written already; None where no attribute is a text.
        scratch: a folder for files that are gone afterwards.
        threads: to keep busy. when_collected: called when the columns are parsed.
    """
    writer = ShardWriter(container)
    with beside(threads) as worker:
        ids = worker.submit(items.ids.take, items.order)
        by_id = worker.submit(lambda: ascending(ids.result()))
        collected = worker.submit(collect, attributes, items.batches(), scratch)
        worker.submit(when_collected)
        described = [space.write_blocks(writer) for space in spaces]
        columns = AttributeWriter(container, len(items.order))
        facts = write_columns(columns, collected.result())
    writer.add_array("id_rank", np.argsort(by_id.result()).astype(np.uint32))
    writer.add_ids(ids.result(), by_id.result())
    items.write(writer)
    _write_lists(writer, spaces)
    tail_offset = writer.begin_tail([space.name for space in spaces])
    for space in spaces:
        space.write_tail(writer)
    columns.add_tail()
    if terms is not None:
        terms.add_to_tail()
    writer.finish(rows=len(items.order), spaces=described, attributes=attributes)
    return tail_offset, facts


def _write_lists(writer: ShardWriter, spaces: Sequence[SpaceParts]) -> None:
    for number, space in enumerate(spaces):
        if space.is_stored:
            if number:  # the rows' own order tells the lists of the primary space
                writer.add_array(f"row_lists/{space.name}", space.row_lists())
            writer.add_array(f"centroids/{space.name}", space.centroids())
