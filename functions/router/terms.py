"""The frequencies of a version's terms, opened once and kept: what a match is asked of the shards with."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from functions.router.request import Asked
from functions.router.versions import Version
from shardlake import limits
from shardlake.contracts.shard import MatchSource
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.format.container import Extent
from shardlake.format.manifest import ManifestTerms
from shardlake.format.term_stats import TermStatistics, unbuilt_clauses
from shardlake.store.base import ByteRange, ObjectStore

MAX_KEPT = 16  # versions


@dataclass(slots=True)
class Terms:
    """Statistics by key, least recently used out first."""

    store: ObjectStore
    _kept: OrderedDict[str, TermStatistics] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def source(self, asked: Asked, version: Version, deadline: Deadline) -> MatchSource | None:
        """Returns the full text of a search as shards are asked it; None where there is none.

        Raises:
            InvalidInput: invalid-match, when the version knows no words.

        Cost: one ranged GET a version, one a page of the dictionary that was not read before.
        """
        if asked.match is None:
            return None
        if not asked.match:
            return MatchSource(clauses=(), weight=asked.match_weight)
        if not version.is_built:
            rows = sum(row.rows for row in version.deltas)
            return replace(unbuilt_clauses(asked.match, rows), weight=asked.match_weight)
        stored = version.manifest.terms
        if stored is None:
            raise InvalidInput(
                "this version has no words: build the collection again", kind=ErrorKind.INVALID_MATCH, place="match"
            )

        def read(extents: Sequence[Extent]) -> list[bytes]:
            ranges = [ByteRange(extent.offset, extent.offset + extent.bytes) for extent in extents]
            return self.store.get_ranges(stored.key, ranges, deadline=deadline)

        # Pages are kept inside the statistics, which two threads must not fill at once.
        with self._lock:
            opened = self._opened(stored, deadline)
            source = opened.clauses(asked.match, read, has_pending=bool(version.deltas))
        return replace(source, weight=asked.match_weight)

    def _opened(self, stored: ManifestTerms, deadline: Deadline) -> TermStatistics:
        found = self._kept.get(stored.key)
        if found is None:
            if stored.bytes - stored.tail_offset > limits.MAX_DIRECTORY_BYTES:
                raise FormatError("the directory of the terms is larger than a reader believes", key=stored.key)
            (tail,) = self.store.get_ranges(
                stored.key, [ByteRange(stored.tail_offset, stored.bytes)], deadline=deadline
            )
            found = self._kept[stored.key] = TermStatistics(tail, stored.bytes)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(stored.key)
        return found
