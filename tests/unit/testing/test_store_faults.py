"""Faults compose, and each does the one thing that it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardlake.errors import NotFound, Unavailable
from shardlake.store.base import ByteRange
from shardlake.testing import (
    CorruptStore,
    CountingStore,
    FlakyStore,
    LostReplyStore,
    MemoryStore,
    MissingStore,
    SlowStore,
    WrappedStore,
)


@pytest.fixture
def memory() -> MemoryStore:
    store = MemoryStore()
    store.put("k", b"0123456789")
    store.put("other", b"0123456789")
    return store


def test_a_wrapped_store_is_the_store(memory: MemoryStore, tmp_path: Path) -> None:
    store = WrappedStore(memory)

    assert store.put("new", b"n") == store.head("new")
    assert store.put_if_absent("new", b"n").size_bytes == 1
    assert store.get("k", max_bytes=10) == b"0123456789"
    assert store.get_ranges("k", [ByteRange(1, 3)]) == [b"12"]
    assert store.get_suffix("k", 2) == (b"89", 10)
    assert store.open("k").read() == b"0123456789"
    store.download_file("k", tmp_path / "k")
    assert store.upload_file("up", tmp_path / "k").size_bytes == 10
    store.delete("up")
    assert [info.key for info in store.list("")] == ["k", "new", "other"]
    assert "k" in store.presign_put("k", expires_s=1)


def test_a_corrupt_byte_is_seen_by_every_reader_and_stays_where_it_is(memory: MemoryStore, tmp_path: Path) -> None:
    store = CorruptStore(memory, key="k", offset=4)
    damaged = b"0123" + bytes([ord("4") ^ 0xFF]) + b"56789"

    assert store.get("k", max_bytes=10) == damaged
    assert store.get_ranges("k", [ByteRange(0, 4), ByteRange(3, 6)]) == [b"0123", damaged[3:6]]
    assert store.get_suffix("k", 6) == (damaged[4:], 10)
    assert store.get_suffix("k", 5) == (b"56789", 10)
    assert store.open("k").read() == damaged
    store.download_file("k", tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == damaged
    assert store.get("other", max_bytes=10) == b"0123456789"


def test_a_missing_object_is_missing_for_readers_alone(memory: MemoryStore) -> None:
    store = MissingStore(memory, key="k")

    for read in (lambda: store.get("k", max_bytes=10), lambda: store.head("k"), lambda: store.open("k")):
        with pytest.raises(NotFound):
            read()
    assert [info.key for info in store.list("")] == ["other"]
    store.put("k", b"again")
    assert memory.objects["k"] == b"again"


def test_a_flaky_store_recovers(memory: MemoryStore) -> None:
    store = FlakyStore(memory, failures=2, when=lambda operation, key: operation == "get")

    assert store.head("k").size_bytes == 10
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.get("k", max_bytes=10)
    assert store.get("k", max_bytes=10) == b"0123456789"


def test_a_lost_reply_is_of_a_write_that_was_done(memory: MemoryStore) -> None:
    store = LostReplyStore(memory)

    assert store.get("k", max_bytes=10) == b"0123456789"
    with pytest.raises(Unavailable):
        store.put("k", b"new")
    assert store.get("k", max_bytes=10) == b"new"


def test_faults_compose(memory: MemoryStore) -> None:
    waits: list[int] = []
    store = CountingStore(SlowStore(FlakyStore(memory), wait=lambda: waits.append(1)))

    with pytest.raises(Unavailable):
        store.get("k", max_bytes=10)
    store.get_ranges("k", [ByteRange(0, 2), ByteRange(4, 5)])
    store.get_suffix("k", 3)

    assert len(waits) == 3
    assert store.operations == {"get": 1, "get_ranges": 1, "get_suffix": 1}
    assert (store.object_reads, store.bytes_read) == (3, 6)
