"""The folder store keeps a store's laws as far as builds and searches lean on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.folder_store import FolderStore
from shardlake.errors import Conflict, FormatError, InvalidInput, NotFound
from shardlake.store.base import ByteRange
from shardlake.testing import MemoryStore


def test_a_folder_answers_as_memory_does(tmp_path: Path) -> None:
    stores = [FolderStore(tmp_path), MemoryStore()]
    for store in stores:
        store.put("b/2", b"0123456789")
        store.put_if_absent("a/1", b"first")
        store.put_if_absent("a/1", b"first")

    folder, memory = stores
    for prefix in ("", "a/", "b", "none"):
        assert [(i.key, i.size_bytes) for i in folder.list(prefix)] == [
            (i.key, i.size_bytes) for i in memory.list(prefix)
        ]
    spans = [ByteRange(2, 5), ByteRange(0, 10), ByteRange(4, 4)]
    assert folder.get_ranges("b/2", spans) == memory.get_ranges("b/2", spans) == [b"234", b"0123456789", b""]
    assert folder.get_suffix("b/2", 3) == memory.get_suffix("b/2", 3) == (b"789", 10)


def test_what_a_folder_cannot_answer_is_refused_as_the_port_says(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a", b"0123456789")

    with pytest.raises(FormatError):
        store.get_ranges("a", [ByteRange(5, 11)])
    with pytest.raises(InvalidInput):
        store.get("a", max_bytes=9)
    with pytest.raises(Conflict):
        store.put_if_absent("a", b"another...")
    with pytest.raises(NotFound):
        store.get_ranges("b", [ByteRange(0, 1)])
