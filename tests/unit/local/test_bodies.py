"""The cache of object bodies in the local cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shardlake.local.bodies import BodyCache


class Disk:
    """Reads as the emulator does, and counts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reads = 0

    def write(self, key: str, body: bytes) -> None:
        draft = self.root / f"{key}.draft"
        draft.write_bytes(body)
        draft.replace(self.root / key)

    def path_of(self, _bucket: str, key: str) -> str:
        return str(self.root / key)

    def read(self, bucket: str, key: str, stored: dict[str, Any]) -> bytes:
        self.reads += 1
        return Path(self.path_of(bucket, key)).read_bytes()


def test_a_body_is_read_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    cache = BodyCache(disk.read, disk.path_of)
    disk.write("a", b"bytes")

    assert [cache("b", "a", {}) for _ in range(3)] == [b"bytes"] * 3
    assert disk.reads == 1


def test_a_replaced_body_is_read_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    cache = BodyCache(disk.read, disk.path_of)
    disk.write("a", b"old")
    cache("b", "a", {})

    disk.write("a", b"new")

    assert cache("b", "a", {}) == b"new"


def test_the_cache_keeps_to_its_bound_and_drops_what_was_not_used(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    cache = BodyCache(disk.read, disk.path_of, max_bytes=10)
    for key in ("a", "b", "c"):
        disk.write(key, key.encode() * 4)
    cache("x", "a", {})
    cache("x", "b", {})
    cache("x", "a", {})

    cache("x", "c", {})
    disk.reads = 0

    assert cache("x", "a", {}) == b"aaaa"
    assert disk.reads == 0
    assert cache("x", "b", {}) == b"bbbb"
    assert disk.reads == 1


def test_a_body_above_the_bound_is_read_each_time(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    cache = BodyCache(disk.read, disk.path_of, max_bytes=3)
    disk.write("a", b"bytes")

    assert [cache("b", "a", {}) for _ in range(2)] == [b"bytes"] * 2
    assert disk.reads == 2
