"""Entries to segments: validate, encode, cut, write. The same for every kind of file.

Memory is bounded by one chunk of entries and one segment. Where segments are cut depends on the content alone, so that
a repetition makes the same segments under the same names, and writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from builder.segments import write_segment
from functions.ingest.encoding import encode_items
from functions.ingest.entries import Entry
from functions.ingest.events import Drop
from functions.ingest.log import NO_ORDER
from functions.ingest.patches import Numbered, Patched, patched
from functions.ingest.rejects import RejectLog
from functions.ingest.world import World
from shardlake import limits
from shardlake.catalog.base import CollectionRow, SegmentRow
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.item import ItemValidator, ParsedItem, item_id, parse_deletion
from shardlake.contracts.patch import parse_patch
from shardlake.deadline import Deadline
from shardlake.errors import ShardlakeError
from shardlake.format import locations
from shardlake.format.segment import SegmentItem

CHUNK_ITEMS = 1_000
CHUNK_BYTES = 32 * limits.MIB
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What items come from. `identity` tells one write of it from another; a repeated event has the same one.

    Attributes:
        first_segment: the number of its first segment.
        part: the number of the part of the file that it is; None of a whole one.
        seen: the position of the log that it was made of: what was written later it does not speak of.
    """

    drop: Drop
    identity: str
    first_segment: int = 0
    part: int | None = None
    seen: int | None = None


class Intake:
    """Takes the entries of one file into one collection. Call `add` for each, then `finish`.

    Attributes:
        accepted: how many items stand in segments.
    """

    def __init__(
        self, world: World, row: CollectionRow, source: Source, rejects: RejectLog, *, deadline: Deadline
    ) -> None:
        self.accepted = 0
        self._world = world
        self._row = row
        self._source = source
        self._rejects = rejects
        self._deadline = deadline
        self._schema = schema_of_body(row.body)
        self._encoders = world.encoders(self._schema, deadline)
        readers = {name: info.modalities for name, info in self._encoders.items()}
        self._validator = ItemValidator(self._schema, bucket=world.settings.bucket, readers=readers)
        self._chunk: list[tuple[int, ParsedItem]] = []
        self._chunk_bytes = 0
        self._segment: list[SegmentItem] = []
        self._segment_bytes = 0
        self._digests: dict[str, str] = {}
        self._patches: list[Numbered] = []
        self._number = source.first_segment

    def add(self, entry: Entry) -> None:
        """Takes one entry: it is refused, or will stand in a segment."""
        if entry.error is not None:
            self._rejects.add(entry.line, None, entry.error)
            return
        try:
            parsed = self._validator.parse(entry.value)
        except ShardlakeError as error:
            self._rejects.add(entry.line, item_id(entry.value), error)
            return
        self._chunk.append((entry.line, parsed))
        self._chunk_bytes += entry.size_bytes
        if len(self._chunk) >= CHUNK_ITEMS or self._chunk_bytes >= CHUNK_BYTES:
            self._encode_chunk()

    def delete(self, entry: Entry) -> None:
        """Takes one entry of a file of ids to be deleted."""
        if not self._segment:
            self._deadline.check("delete items")
        if entry.error is not None:
            self._rejects.add(entry.line, None, entry.error)
            return
        try:
            gone = parse_deletion(entry.value)
        except ShardlakeError as error:
            self._rejects.add(entry.line, item_id(entry.value), error)
            return
        self._put(SegmentItem(id=gone, payload=b"", vectors={}), {})

    def patch(self, entry: Entry) -> None:
        """Takes one entry of a file of changes."""
        if entry.error is not None:
            self._rejects.add(entry.line, None, entry.error)
            return
        try:
            self._patches.append((entry.line, parse_patch(entry.value, self._schema)))
        except ShardlakeError as error:
            self._rejects.add(entry.line, item_id(entry.value), error)
            return
        if len(self._patches) >= CHUNK_ITEMS:
            self._write_patches()

    def finish(self) -> None:
        """Writes what is still held."""
        self._encode_chunk()
        self._write_segment()
        self._write_patches()

    def _encode_chunk(self) -> None:
        self._deadline.check("take a file in")
        items = [item for _, item in self._chunk]
        done = encode_items(self._world, self._schema, self._encoders, items, self._deadline)
        if any(self._digests.get(space, digest) != digest for space, digest in done.digests.items()):
            self._write_segment()  # a segment's vectors of one space come from one model
        for index, (line, item) in enumerate(self._chunk):
            error = done.errors.get(index)
            if error is not None:
                self._rejects.add(line, item.id, error)
                continue
            self._put(SegmentItem(id=item.id, payload=item.payload(), vectors=done.vectors[index]), done.digests)
        self._chunk.clear()
        self._chunk_bytes = 0

    def _put(self, item: SegmentItem, digests: dict[str, str]) -> None:
        self._digests.update(digests)
        self._segment.append(item)
        self._segment_bytes += len(item.id) + len(item.payload)
        self._segment_bytes += FLOAT_BYTES * sum(len(vector) for vector in item.vectors.values())
        if len(self._segment) >= limits.MAX_SEGMENT_ROWS or self._segment_bytes >= limits.MAX_SEGMENT_BYTES:
            self._write_segment()

    def _write_segment(self) -> None:
        if not self._segment:
            return
        ids = frozenset(item.id.encode() for item in self._segment)
        self._world.log.add(self._row.uid, self._order(), ids, self._write, seen=self._source.seen)
        self.accepted += len(self._segment)
        self._segment.clear()
        self._segment_bytes = 0
        self._digests = {}
        self._number += 1

    def _write_patches(self) -> None:
        """Makes the changes, again where one of the items was written meanwhile, and adds them to the log."""
        while self._patches:
            self._deadline.check("change items")
            made = patched(self._world, self._row.name, self._patches, self._deadline)
            if made.items and not self._add_made(made):
                continue
            made.reject(self._rejects)
            self.accepted += len(self._patches) - len(made.refused)
            self._number += 1
            self._patches.clear()

    def _add_made(self, made: Patched) -> bool:
        identity, ids = self._identity(), frozenset(item.id.encode() for item in made.items)
        # By what it was made of: made anew it is another segment, and either may be the one that stands.
        name = _digest(identity, str(made.seen))
        row = self._segment_row(name, identity, rows=len(made.items), order=NO_ORDER)
        row = write_segment(self._world.store, row, made.items, self._schema, encoders=made.encoders)
        return self._world.log.add_made(self._row.uid, row, ids, seen=made.seen) is not None

    def _order(self) -> str:
        # An item that a filter did not see, because it was still on its way, must not give way to the deletion.
        if self._source.seen is not None:
            return NO_ORDER
        return self._source.drop.order(self._number, part=self._source.part)

    def _identity(self) -> str:
        """Returns what tells this piece of work from any other: where it comes from, and what it is."""
        where = self._row.uid, self._source.drop.key, self._source.identity, str(self._number)
        return _digest(*where, _content(self._segment))

    def _segment_row(self, segment_id: str, identity: str, *, rows: int, order: str) -> SegmentRow:
        return SegmentRow(
            segment_id=segment_id,
            identity=identity,
            order=order,
            key=locations.segment(self._row.uid, segment_id),
            rows=rows,
            bytes=0,
            source=self._source.drop.key,
            created_at=self._world.timestamp(),
        )

    def _write(self, newer: frozenset[bytes]) -> SegmentRow:
        """Writes a segment, without the items that are written newer already, which makes it another one."""
        items = [item for item in self._segment if item.id.encode() not in newer]
        identity = self._identity()
        left_out = sorted({item.id for item in self._segment} - {item.id for item in items})
        segment_id = _digest(identity, *left_out) if left_out else identity
        row = self._segment_row(segment_id, identity, rows=len(items), order=self._order())
        return write_segment(self._world.store, row, items, self._schema, encoders=self._digests)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _content(items: Sequence[SegmentItem]) -> str:
    """Returns a digest of ids and payloads.

    An item whose media are gone is refused in one run, though it was not in another: those are two segments.
    """
    total = hashlib.blake2b(digest_size=16)
    for item in items:
        for part in (item.id.encode(), item.payload):
            total.update(len(part).to_bytes(8, "little"))
            total.update(part)
    return total.hexdigest()
