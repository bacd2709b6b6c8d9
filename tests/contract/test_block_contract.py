"""The block port: the folder on a disk and its fake in memory are held to the same laws."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shardlake.store import blocks
from shardlake.store.blocks import BlockStore, FolderBlocks
from shardlake.testing import MemoryBlocks

Make = Callable[[int], BlockStore]
BODY = bytes(range(250)) * 4


@pytest.fixture(params=["folder", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a block store of that many bytes."""
    if request.param == "memory":
        return lambda max_bytes: MemoryBlocks(max_bytes=max_bytes)
    return lambda max_bytes: FolderBlocks(tmp_path / "blocks", max_bytes=max_bytes)


@pytest.mark.parametrize("flushed", [False, True])
def test_a_block_comes_back_as_it_was_put_before_and_after_it_is_written_down(make: Make, *, flushed: bool) -> None:
    kept = make(1 << 20)
    kept.put("a/key", 64, BODY)
    if flushed:
        kept.flush()

    assert kept.get("a/key", 64, len(BODY)) == BODY
    assert kept.has("a/key", 64, len(BODY))
    assert kept.pending_bytes == (0 if flushed else len(BODY))


def test_a_block_is_known_by_its_object_its_offset_and_its_size(make: Make) -> None:
    kept = make(1 << 20)
    kept.put("a/key", 64, BODY)
    kept.flush()

    for key, offset, size in (("a/other", 64, len(BODY)), ("a/key", 0, len(BODY)), ("a/key", 64, len(BODY) - 1)):
        assert kept.get(key, offset, size) is None
        assert not kept.has(key, offset, size)


def test_an_empty_block_is_a_block(make: Make) -> None:
    kept = make(1 << 20)
    kept.put("k", 5, b"")
    kept.flush()

    assert kept.get("k", 5, 0) == b""


def test_what_was_got_longest_ago_goes_first_and_the_bound_holds(make: Make) -> None:
    kept = make(10_000)
    for number in range(9):
        kept.put("k", number, BODY)
        kept.flush()
    assert kept.get("k", 0, len(BODY)) == BODY
    for number in range(9, 12):
        kept.put("k", number, BODY)
        kept.flush()

    held = [number for number in range(12) if kept.get("k", number, len(BODY)) is not None]
    assert len(held) * len(BODY) <= 10_000
    assert {0, 11} <= set(held)
    assert 1 not in held


def test_a_block_larger_than_the_bound_is_not_kept_and_costs_the_others_nothing(make: Make) -> None:
    kept = make(1_500)
    kept.put("k", 0, BODY)
    kept.flush()
    kept.put("k", 9, BODY + BODY)
    kept.flush()

    assert kept.get("k", 9, 2 * len(BODY)) is None
    assert kept.get("k", 0, len(BODY)) == BODY


def test_a_store_of_no_bytes_keeps_nothing(make: Make) -> None:
    kept = make(0)
    kept.put("k", 0, BODY)
    kept.flush()

    assert kept.get("k", 0, len(BODY)) is None


# The folder alone ---------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.fixture
def written(tmp_path: Path) -> tuple[FolderBlocks, Path]:
    """A folder with one block, and its file."""
    kept = FolderBlocks(tmp_path / "f", max_bytes=1 << 20)
    kept.put("k", 0, BODY)
    kept.flush()
    (file,) = _files(tmp_path / "f")
    return kept, file


@pytest.mark.parametrize("at", [0, 7, 8, 500, -1])
def test_a_damaged_block_is_a_block_that_is_not_there_and_its_file_is_removed(
    written: tuple[FolderBlocks, Path], at: int
) -> None:
    kept, file = written
    body = bytearray(file.read_bytes())
    body[at] ^= 0xFF
    file.write_bytes(body)

    assert kept.get("k", 0, len(BODY)) is None
    assert not file.exists()


@pytest.mark.parametrize("length", [0, 5, 8, 500])
def test_a_cut_block_is_a_block_that_is_not_there(written: tuple[FolderBlocks, Path], length: int) -> None:
    kept, file = written
    file.write_bytes(file.read_bytes()[:length])

    assert kept.get("k", 0, len(BODY)) is None


def test_a_block_in_anothers_place_is_a_block_that_is_not_there(written: tuple[FolderBlocks, Path]) -> None:
    kept, file = written
    kept.put("k", 7, BODY)
    kept.flush()
    (other,) = [path for path in _files(file.parent) if path != file]
    file.replace(other)

    assert kept.get("k", 7, len(BODY)) is None


def test_what_one_process_wrote_the_next_one_finds(written: tuple[FolderBlocks, Path]) -> None:
    _, file = written

    assert FolderBlocks(file.parent, max_bytes=1 << 20).get("k", 0, len(BODY)) == BODY


def test_processes_that_share_a_folder_keep_to_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "RESCAN_BYTES", 3_000)
    sharing = [FolderBlocks(tmp_path / "f", max_bytes=10_000) for _ in range(3)]
    for number in range(60):
        sharing[number % 3].put("k", number, BODY)
        sharing[number % 3].flush()

    # Each looks again after 3,000 bytes of its own: meanwhile the others may have written as much.
    assert sum(path.stat().st_size for path in _files(tmp_path / "f")) <= 10_000 + 3 * 3_000


def test_a_disk_that_cannot_be_written_is_a_smaller_cache_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a file where the folder should be")
    kept = FolderBlocks(tmp_path / "f", max_bytes=1 << 20)
    kept.put("k", 0, BODY)
    kept.flush()

    assert kept.get("k", 0, len(BODY)) is None
    assert kept.pending_bytes == 0


def test_a_full_disk_ends_the_writing_and_leaves_no_half_of_a_block(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs a device that is always full")
    kept = FolderBlocks(tmp_path / "f", max_bytes=1 << 20)
    (tmp_path / "f").mkdir()
    kept.put("k", 0, BODY)
    name = blocks._name("k", 0, len(BODY))
    (tmp_path / "f" / f"{name}.{os.getpid()}").symlink_to(full)
    kept.flush()

    assert _files(tmp_path / "f") == []
    assert kept.get("k", 0, len(BODY)) is None
    kept.put("k", 0, BODY)
    kept.flush()
    assert kept.get("k", 0, len(BODY)) == BODY, "with room again it is kept again"
