"""Records of erasure (container of kind ERAS): which objects were replaced or removed, and the ids that were in them.

A record is written before what it tells of is done, and never changed: whoever reads one looks whether it was. Ids are
there as 128 bits of blake2b only, so that a record of what is gone does not itself keep what was to go.

Meta: `what`, `at`, `objects` (keys), `into`, `begins`, `floor`, `versions` ([name, through]).
Blocks: `id` u8 (n, 2), the digests in ascending order; `of` u4 (n), the number of the object that each was in. Digests
are spread evenly, so that one of a million is found by a read of some thousand: `window`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, expect

ERASURE_KIND = b"ERAS"
MAX_IDS = 1_000_000  # of one record: 20 MB
MAX_OBJECTS = 10_000  # of one record: some MB

Digests = npt.NDArray[np.uint64]
"""(n, 2): 128 bits of blake2b of the UTF-8 of each id."""


def _no_digests() -> Digests:
    return np.empty((0, 2), np.uint64)


def _no_numbers() -> npt.NDArray[np.uint32]:
    return np.empty(0, np.uint32)


class Deed(StrEnum):
    """What is done to objects."""

    REPLACED = "replaced"
    """Segments are written again without rows that nobody needs."""
    FORGOTTEN = "forgotten"
    """Versions leave the history."""
    REMOVED = "removed"
    """Objects are deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A record.

    Attributes:
        at: RFC 3339, UTC.
        objects: keys of what is replaced or removed.
        ids: that the objects had and, where they are replaced, have no more; an id may stand in several.
        of: the number of the object that each id was in.
        into: the segment that takes the place of the objects.
        begins: the first place of the log that they stood for. floor: the last that every version then held, so that a
            version which may have had an item that is missing now holds the log through a place of these. Where items
            have expired, which a version may have had to its end: behind all that any version then held.
        versions: those that leave the history, with the place of the log that each held it through.
    """

    what: Deed
    at: str
    objects: tuple[str, ...] = ()
    ids: Digests = field(default_factory=_no_digests)
    of: npt.NDArray[np.uint32] = field(default_factory=_no_numbers)
    into: str | None = None
    begins: int = 0
    floor: int = 0
    versions: tuple[tuple[str, int], ...] = ()

    def sorted_by_id(self) -> Erasure:
        """Returns the record with its ids in ascending order, as a file has them."""
        order = np.lexsort((self.ids[:, 1], self.ids[:, 0]))
        return replace(self, ids=self.ids[order], of=self.of[order])

    def had(self, digest: Digests) -> tuple[str, ...]:
        """Returns the objects that an id was in, given its digest (2,)."""
        numbers = np.unique(self.of[(self.ids == digest).all(axis=1)])
        return tuple(self.objects[number] for number in numbers.tolist())

    def without_ids(self) -> Erasure:
        """Returns the rest of it, which is small."""
        return replace(self, ids=_no_digests(), of=_no_numbers())


def digests_of(ids: Iterable[bytes | memoryview]) -> Digests:
    """Returns (n, 2): of each id, given its UTF-8, 128 bits of blake2b, of which no two meet by chance."""
    return np.frombuffer(b"".join(blake2b(each, digest_size=16).digest() for each in ids), "<u8").reshape(-1, 2)


def digest_of(item_id: str) -> Digests:
    """Returns (2,): the digest of one id."""
    return digests_of([item_id.encode()]).reshape(2)


def window(digest: Digests, rows: int) -> tuple[int, int]:
    """Returns the first and one past the last of the rows, of so many ascending digests, in which one almost surely is.

    Eight standard deviations of where it lies are on either side.
    """
    expected = int(rows * (int(digest[0]) / 2**64))
    reach = 8 * math.isqrt(rows) + 64
    return max(0, expected - reach), min(rows, expected + reach)


def encode_erasure(erasure: Erasure) -> bytes:
    """Returns the bytes of a record."""
    erasure = erasure.sorted_by_id()
    sink = BytesIO()
    writer = ContainerWriter(sink, ERASURE_KIND)
    writer.add_array("id", erasure.ids)
    writer.add_array("of", erasure.of)
    writer.finish(
        {
            "what": erasure.what,
            "at": erasure.at,
            "objects": erasure.objects,
            "into": erasure.into,
            "begins": erasure.begins,
            "floor": erasure.floor,
            "versions": erasure.versions,
        }
    )
    return sink.getvalue()


def decode_erasure(meta: dict[str, Any], ids: Digests, of: npt.NDArray[np.uint32]) -> Erasure:
    """Returns a record, with all of its ids or some rows of them. Raises FormatError when it contradicts the format."""
    ids = expect("id", ids, np.uint64, (None, 2))
    found = _told(meta, ids, expect("of", of, np.uint32, (len(ids),)))
    if of.size and int(of.max()) >= len(found.objects):
        raise FormatError("an id of a record of erasure was in none of its objects")
    return found


def _told(meta: dict[str, Any], ids: Digests, of: npt.NDArray[np.uint32]) -> Erasure:
    try:
        return Erasure(
            what=Deed(meta["what"]),
            at=str(meta["at"]),
            objects=tuple(map(str, meta["objects"])),
            ids=ids,
            of=of,
            into=None if meta["into"] is None else str(meta["into"]),
            begins=int(meta["begins"]),
            floor=int(meta["floor"]),
            versions=tuple((str(name), int(through)) for name, through in meta["versions"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise FormatError("a record of erasure does not say what the format says") from exc
