"""Stage 1: which items live. Of several versions of one id, the last row of the latest segment wins; a deletion, too.

An item that has expired is as good as deleted: it does not live, and hides those before it.

Memory: 24 bytes an ingested row. Cost: one suffix read and one ranged read a segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from builder.context import BuildContext
from builder.expiry import expired_until
from builder.ranged import RangedFile
from shardlake.catalog.base import Ranges
from shardlake.catalog.log import mark
from shardlake.errors import Conflict, ErrorKind
from shardlake.format.container import Container, expect
from shardlake.format.erasures import digests_of
from shardlake.format.segment import SEGMENT_KIND, Segment, SegmentVectors, check_strings, decode_segment, vectors_of
from shardlake.limits import MAX_BLOCK_BYTES
from shardlake.store.base import ObjectStore
from shardlake.types import BoolArray, Int64Array

NAME = "survey"
PART_BYTES = MAX_BLOCK_BYTES // 2  # of segments: their items fill one artefact, which is read whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a build works on.

    Attributes:
        version: that it will commit; stable over restarts, so that a lost reply can be settled.
        parent: the version it must find current, None for the first.
        through: the log is held up to this position. skipped: but for what was set aside.
        parts: groups of segment numbers, each of about `part_rows` live rows.
        encoders: {space: digest of the encoder that made its vectors}, where one did.
    """

    version: str
    parent: str | None
    segments: tuple[tuple[str, str], ...]
    live: tuple[BoolArray, ...]
    parts: tuple[tuple[int, ...], ...]
    encoders: dict[str, str]
    through: int = 0
    skipped: Ranges = ()

    @property
    def rows(self) -> int:
        """How many items live."""
        return sum(int(live.sum()) for live in self.live)


def survey(context: BuildContext) -> Survey:
    """Returns the survey of this build, made at its first run."""
    stored = context.load(NAME)
    if stored is None:
        stored = _make(context)
    return _decode(stored)


def standing(context: BuildContext) -> Survey:
    """Returns the survey that this build has made.

    Raises:
        Unavailable: when it does not stand, since another run has finished and removed it.
    """
    return _decode(context.standing(NAME))


def _make(context: BuildContext) -> Container:
    pointer = context.catalog.pointer(context.uid)
    skipped = pointer.skipped if pointer else ()
    if all(row.is_mark for row in context.catalog.segments(context.uid)):
        raise Conflict("nothing was ingested yet: add items, then build", kind=ErrorKind.NOTHING_TO_BUILD)
    through = _cut(context, pointer.version if pointer else "")
    log = [row for row in context.catalog.segments(context.uid) if row.sequence <= through and not row.is_mark]
    segments = [row for row in log if not any(first <= row.sequence <= last for first, last in skipped)]
    read = [read_ids(context.store, row.key) for row in segments]
    newest = newest_of([ids.digests for ids in read])
    until_us = expired_until(datetime.fromisoformat(context.clock()))
    live = [rows & ~ids.deleted & ~ids.expired(until_us) for rows, ids in zip(newest, read, strict=True)]
    # After a rollback the pointer is not at the newest.
    number = 1 + max((int(made.version.split("-")[0]) for made in context.catalog.versions(context.uid)), default=0)
    meta = {
        "version": f"{number:06d}-{blake2b(context.build_id.encode(), digest_size=4).hexdigest()}",
        "parent": pointer.version if pointer else None,
        "segments": [[row.segment_id, row.key] for row in segments],
        "encoders": _one_encoder_a_space([ids.encoders for ids, rows in zip(read, live, strict=True) if rows.any()]),
        "through": through,
        "skipped": skipped,
        "rows": [len(rows) for rows in live],
        "parts": parts_of([int(rows.sum()) for rows in live], [row.bytes for row in segments], context.part_rows),
    }
    # A bit a row, in one block: whoever does a step of the build reads all of it.
    return context.save(NAME, {"live": np.packbits(np.concatenate(live))}, meta)


def _decode(stored: Container) -> Survey:
    meta = stored.meta
    return Survey(
        version=meta["version"],
        parent=meta["parent"],
        segments=tuple((segment_id, key) for segment_id, key in meta["segments"]),
        live=_live(stored),
        parts=tuple(tuple(part) for part in meta["parts"]),
        encoders=meta["encoders"],
        through=meta.get("through", 0),  # not of a build that an older release began
        skipped=tuple((first, last) for first, last in meta.get("skipped", ())),
    )


def _live(stored: Container) -> tuple[BoolArray, ...]:
    """Returns the live rows of each segment."""
    if "rows" not in stored.meta:  # of a build that an older release began
        return tuple(stored.array(f"live/{i}").view(bool) for i in range(len(stored.meta["segments"])))
    ends = np.cumsum(stored.meta["rows"])
    return tuple(np.split(np.unpackbits(stored.array("live"), count=int(ends[-1])).view(bool), ends[:-1]))


def _one_encoder_a_space(found: Sequence[dict[str, str]]) -> dict[str, str]:
    """Returns the encoder of each space. Raises Conflict (encoder-changed) where live items come from two models."""
    encoders: dict[str, str] = {}
    for stated in found:
        for space, digest in stated.items():
            if encoders.setdefault(space, digest) != digest:
                raise Conflict(
                    f"items of the space {space} were encoded by two models: take those of the old one in again",
                    kind=ErrorKind.ENCODER_CHANGED,
                    space=space,
                )
    return encoders


def _cut(context: BuildContext, parent: str) -> int:
    """Cuts the log and returns where: what compaction makes of it later lies wholly before or behind.

    A build that is killed here and run again finds its own cut; one that lost to another and begins anew makes another.
    """
    row = mark(f"{context.build_id}-{parent}", context.clock())
    while True:
        head = context.catalog.log_head(context.uid)
        try:
            return context.catalog.append(context.uid, row, head=head).sequence
        except Conflict as conflict:  # a segment was added at this moment
            if conflict.kind is not ErrorKind.COMMIT_CONFLICT:
                raise


class Ids(NamedTuple):
    """Of a segment: (rows, 2) uint64, 128 bits of each id, of which no two meet by chance; (rows,) which are deletions;
    the encoders of the spaces; and (rows,) int64 when each expires, in microseconds, None where nothing does."""

    digests: npt.NDArray[np.uint64]
    deleted: BoolArray
    encoders: dict[str, str]
    expires: Int64Array | None = None

    def expired(self, until_us: int) -> BoolArray:
        """Returns (rows,) bool: which are items that have expired by a moment."""
        return np.zeros(len(self.deleted), bool) if self.expires is None else self.expires <= until_us


def read_ids(store: ObjectStore, key: str) -> Ids:
    """Returns the ids of a segment. Raises FormatError. Cost: one suffix read and one ranged read."""
    file = RangedFile(store, key, SEGMENT_KIND)
    optional = ["expires"] if "expires" in file.directory.blocks else []
    ends, ids, payload_ends, *expires = file.arrays("id_offsets", "id", "payload_offsets", *optional)
    check_strings("id", ends, ids)
    expect("payload_offsets", payload_ends, np.uint64, (len(ends),))
    cuts, text = ends.tolist(), ids.tobytes()
    return Ids(
        digests=digests_of(text[a:b] for a, b in pairwise(cuts)),
        deleted=payload_ends[1:] == payload_ends[:-1],
        encoders=dict(file.meta.get("encoders", {})),
        expires=expect("expires", expires[0], np.int64, (len(ends) - 1,)) if expires else None,
    )


def newest_of(digests: Sequence[npt.NDArray[np.uint64]]) -> list[BoolArray]:
    """Returns, of each segment, which rows are the last of their id in all of them."""
    everything = np.concatenate(digests)
    # Stable, so that among equal ids the one that came last stays last.
    order = np.lexsort((everything[:, 1], everything[:, 0]))
    ranked = everything[order]
    last = np.append((ranked[1:] != ranked[:-1]).any(axis=1), True)[: len(order)]
    live = np.zeros(len(everything), bool)
    live[order[last]] = True
    return np.split(live, np.cumsum([len(part) for part in digests])[:-1])


def parts_of(rows: Sequence[int], sizes: Sequence[int], part_rows: int) -> list[list[int]]:
    """Groups consecutive segments into parts of at most `part_rows` rows and PART_BYTES; a large segment stands alone.

    Args:
        rows: live ones of each segment.
        sizes: of each segment, in bytes.
        part_rows: of a part, at most.
    """
    parts: list[list[int]] = [[]]
    total_rows, total_bytes = 0, 0
    for number, (count, size) in enumerate(zip(rows, sizes, strict=True)):
        if parts[-1] and (total_rows + count > part_rows or total_bytes + size > PART_BYTES):
            parts.append([])
            total_rows, total_bytes = 0, 0
        parts[-1].append(number)
        total_rows, total_bytes = total_rows + count, total_bytes + size
    return parts


def read_segments(context: BuildContext, found: Survey, numbers: Sequence[int]) -> Iterator[tuple[Segment, BoolArray]]:
    """Yields segments with their live rows, one in memory at a time."""
    for number in numbers:
        data = context.store.get(found.segments[number][1], max_bytes=MAX_BLOCK_BYTES)
        yield decode_segment(data), found.live[number]


def read_vectors(context: BuildContext, found: Survey, number: int, space: str) -> tuple[SegmentVectors, BoolArray]:
    """Returns the vectors of one space of a segment, and its live rows; nothing else of the segment is read."""
    file = RangedFile(context.store, found.segments[number][1], SEGMENT_KIND)
    live = found.live[number]
    return vectors_of(*file.arrays(f"rows/{space}", f"vectors/{space}"), space=space, rows=len(live)), live
