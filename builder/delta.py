"""A delta: the live items of one segment as a shard of their own, searched until a build has folded them in.

It is what a build of these items alone would write, every space flat. Nothing is learned, so no faiss is asked for, and
who takes items in can write it beside the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import xxhash

from builder.layout import ShardItems, lay_down
from builder.strings import Strings, offsets_of
from builder.terms import invert
from shardlake.core.vectors import prepare
from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.row_groups import GROUP_ROWS
from shardlake.format.segment import SegmentItem
from shardlake.format.shard import SHARD_KIND, ListBlock, ListHead, ShardSpace, ShardWriter
from shardlake.types import CollectionSchema, Float32Array, IndexType, Int64Array, SpaceSpec, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A segment's live items as a shard.

    Attributes:
        data: the file. footer_offset: where its tail begins. checksum: xxh3-64 of it, hexadecimal. rows: how many.
        zone_maps, summaries: as of a `ShardRow`.
    """

    data: bytes
    footer_offset: int
    checksum: str
    rows: int
    zone_maps: dict[str, tuple[object, object]]
    summaries: dict[str, Summary]


def write_delta(items: Sequence[SegmentItem], schema: CollectionSchema) -> Delta | None:
    """Returns the delta of a segment, None where no item of it lives. The same items give the same bytes.

    Args:
        items: of the segment, as they came: of each id the last one counts, and none where that is a tombstone.
        schema: of the collection.

    Cost: of 1,000 items × 256 with four values and a text of twenty words each 65 ms, of one item 4 ms (one core of an
        Intel Xeon, 2026-11); memory, twice the items. Columns and texts go through files of a temporary folder.
    """
    live = _live(items)
    if not live:
        return None
    # As in every shard: by the lists of the primary space, of which there is one; rows without a vector in it are last.
    primary = schema.spaces[0].name
    live.sort(key=lambda item: primary not in item.vectors)
    placed = ShardItems(
        ids=_strings([item.id.encode() for item in live]),
        payloads=_strings([item.payload for item in live]),
        order=np.arange(len(live)),
    )
    sink = BytesIO()
    container = ContainerWriter(sink, SHARD_KIND)
    with TemporaryDirectory(prefix="delta-") as folder:
        terms = invert(container, schema.attributes, placed, Path(folder))
        footer_offset, facts = lay_down(
            container,
            schema.attributes,
            placed,
            [_FlatSpace(spec, live) for spec in schema.spaces],
            None if terms is None else terms.writer,
            Path(folder),
        )
    return Delta(
        data=sink.getvalue(),
        footer_offset=footer_offset,
        checksum=container.checksum,
        rows=len(live),
        zone_maps=facts.zone_maps,
        summaries=facts.summaries,
    )


def reread(data: bytes, made: Delta) -> Delta:
    """Returns the delta of the same items that another release has written: its bytes, and where its tail begins.

    Args:
        data: that file. made: what this release makes of the items.

    Raises:
        FormatError: when it is no shard, or one of other items.
    """
    file = Container(data, SHARD_KIND)
    try:
        first, rows = file.meta["spaces"][0]["name"], file.meta["rows"]
    except (KeyError, IndexError, TypeError) as exc:
        raise FormatError("the shard's meta object is not what the format says") from exc
    if rows != made.rows:
        raise FormatError("a delta has other items than its segment", rows=rows, expected=made.rows)
    # The tail begins with the tables of the first space.
    footer_offset = file.directory.block(f"list_rows/{first}").offset
    return replace(made, data=data, footer_offset=footer_offset, checksum=xxhash.xxh3_64_hexdigest(data))


def _live(items: Sequence[SegmentItem]) -> list[SegmentItem]:
    """Returns the last item of each id, as they came, without tombstones."""
    last = {item.id: row for row, item in enumerate(items)}
    return [item for row, item in enumerate(items) if last[item.id] == row and not item.is_tombstone]


def _strings(values: Sequence[bytes]) -> Strings:
    return Strings.of(b"".join(values), offsets_of(np.array([len(value) for value in values], np.int64)))


class _FlatSpace:
    """What is written of a space that nothing was learned of: `builder.layout.SpaceParts`.

    One list has all vectors, and is none where there are none.
    """

    def __init__(self, spec: SpaceSpec, items: Sequence[SegmentItem]) -> None:
        self._spec = spec
        self._items = items
        has_vector = np.array([self.is_stored and spec.name in item.vectors for item in items], bool)
        self._rows: Int64Array = np.flatnonzero(has_vector)
        self._row_lists = has_vector.astype(np.int32) - 1
        self._centroids = np.empty((0, spec.dimension), np.float32)

    @property
    def name(self) -> str:
        """Of the space."""
        return self._spec.name

    @property
    def is_stored(self) -> bool:
        """Whether it has lists of its own."""
        return self._spec.source is None

    def write_blocks(self, writer: ShardWriter) -> ShardSpace:
        """Writes the one list and its vectors."""
        spec = self._spec
        described = ShardSpace(
            name=spec.name,
            dimension=spec.dimension,
            metric=spec.metric,
            index=IndexType.FLAT,
            lists=min(len(self._rows), 1),
            code_bytes=0,
            source=spec.source,
            group_rows=GROUP_ROWS if self.is_stored else 0,
        )
        if len(self._rows):
            vectors = prepare(np.stack([self._items[row].vectors[spec.name] for row in self._rows]), spec.metric)
            writer.add_list(described, _list_of(self._rows))
            writer.add_exact(described, vectors)
            self._centroids = prepare(vectors.mean(axis=0, keepdims=True), spec.metric)
        return described

    def row_lists(self) -> npt.NDArray[np.int32]:
        """Returns (rows,) 0, the one list, or -1 without a vector."""
        return self._row_lists

    def centroids(self) -> Float32Array:
        """Returns (lists, d): the mean of the vectors."""
        return self._centroids

    def write_tail(self, writer: ShardWriter) -> None:
        """Writes nothing: there are no codes."""


def _list_of(rows: Int64Array) -> ListBlock:
    nothing = np.empty(0, np.uint8)
    head = ListHead(rows=rows.astype(np.uint32), packed=nothing)
    return ListBlock(head=head, scales=np.empty(0, np.float32), refine=nothing.view(np.int8))
