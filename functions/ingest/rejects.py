"""The items that were refused, one JSON line each, gathered in a local file so that no number of them fills memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import orjson

from shardlake.errors import ShardlakeError
from shardlake.store.base import ObjectStore


class RejectLog:
    """Use as a context; `save` writes what was gathered, if anything was."""

    def __init__(self) -> None:
        self.count = 0
        self._folder = TemporaryDirectory(prefix="shardlake-rejects-")
        self._path = Path(self._folder.name) / "rejects.jsonl"
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RejectLog:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
        self._folder.cleanup()

    def add(self, line: int, item_id: str | None, error: ShardlakeError) -> None:
        """Notes one refused item."""
        if self._file is None:
            self._file = self._path.open("wb")
        entry = {"line": line, "id": item_id, "kind": str(error.kind), "message": error.message}
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1

    def save(self, store: ObjectStore, key: str) -> None:
        """Writes what was gathered under `key`; nothing where nothing was."""
        if self._file is not None:
            self._file.flush()
            store.upload_file(key, self._path)
