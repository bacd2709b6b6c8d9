"""The items that were refused, one JSON line each, written away in parts so that no number of them fills memory."""

from __future__ import annotations

import orjson

from shardlake import limits
from shardlake.errors import ShardlakeError
from shardlake.format import locations
from shardlake.store.base import ObjectStore

PART_BYTES = 8 * limits.MIB


class RejectLog:
    """Gathers the refused items of one file; `save` writes what is still held.

    The first part is named as `locations.rejected` says; the rare further ones have a number after the etag. A
    repetition writes the same parts again.
    """

    def __init__(self, store: ObjectStore, *, collection: str, name: str, etag: str) -> None:
        self.count = 0
        self._store = store
        self._collection = collection
        self._name = name
        self._etag = etag
        self._parts = 0
        self._lines: list[bytes] = []
        self._bytes = 0

    def add(self, line: int, item_id: str | None, error: ShardlakeError) -> None:
        """Notes one refused item."""
        entry = {"line": line, "id": item_id, "kind": str(error.kind), "message": error.message}
        self._lines.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        self._bytes += len(self._lines[-1])
        self.count += 1
        if self._bytes >= PART_BYTES:
            self.save()

    def save(self) -> None:
        """Writes what is held; nothing where nothing is."""
        if not self._lines:
            return
        etag = f"{self._etag}.{self._parts}" if self._parts else self._etag
        self._store.put(locations.rejected(self._collection, self._name, etag), b"".join(self._lines))
        self._parts += 1
        self._lines.clear()
        self._bytes = 0
