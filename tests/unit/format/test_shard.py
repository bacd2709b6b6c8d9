"""A shard's bytes: read whole, damaged, cut, and lying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shardlake.contracts.shard import LeafStats
from shardlake.engine import coded_space, reading, row_reads
from shardlake.errors import FormatError, ShardlakeError
from shardlake.format.container import FOOTER_BYTES
from shardlake.query.rows import RowSet
from tests import tiny_shard
from tests.unit.format.lies import FEW, _changed, _paths, _removed, array_lies, lying_directories, what_breaks


@pytest.fixture(scope="module")
def file() -> tuple[bytes, int]:
    """A shard's bytes and where its tail begins."""
    return tiny_shard.write()


def test_the_same_rows_give_the_same_bytes(file: tuple[bytes, int]) -> None:
    assert tiny_shard.write() == file


def test_no_flipped_byte_of_a_shard_goes_unnoticed_where_it_is_read(file: tuple[bytes, int]) -> None:
    data, tail = file
    expected = tiny_shard.everything(data, tail, more=[tiny_shard.ranking(), tiny_shard.matching()])
    silent = []
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            if tiny_shard.everything(damaged, tail, more=[tiny_shard.ranking(), tiny_shard.matching()]) != expected:
                silent.append(at)
        except FormatError:
            pass

    assert silent == []


def _piecewise(data: bytes, tail: int) -> None:
    """Reads every group of rows alone, every head alone, and every group of full-precision vectors alone."""
    shard = tiny_shard.opened(data, tail)
    reader, everything = shard.reader(LeafStats()), np.arange(tiny_shard.ROWS)
    for name in ("coded", "flat"):
        members = shard._lists_of(name, reader)
        rows = everything[members.of_row >= 0]
        space = shard.space(name)
        assert all(part.part.groups is not None for part in space.lists.exact_rows(rows, members, reader))
        space.load_rows(rows, members, reader)
        assert not space.lists.loaded.any()
    space = shard.space("coded")
    space.lists.read_centroids(reader)
    query, numbers = np.ones(tiny_shard.CODED, np.float32), np.arange(2)
    space.scan(query, space.lists.probe(query, numbers), 3, RowSet(everything < 7), reader)
    assert space.lists.scannable.all()
    assert not space.lists.loaded.any()


def test_every_flipped_byte_of_a_list_is_an_error_where_only_parts_of_lists_are_read(
    file: tuple[bytes, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "COALESCE_GAP_BYTES", 0)
    monkeypatch.setattr(row_reads, "WHOLE_AT", 0)
    monkeypatch.setattr(coded_space, "ROUND_BYTES", -1 << 20)
    data, tail = file
    _piecewise(data, tail)
    header = tiny_shard.opened(data, tail).header
    extents = [header.list_extent("coded", number) for number in (0, 1)]
    extents += [header.exact_extent(name, number) for name, number in (("coded", 0), ("coded", 1), ("flat", 0))]
    silent = []
    for at in (at for extent in extents for at in range(extent.offset, extent.offset + extent.bytes)):
        try:
            _piecewise(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :], tail)
            silent.append(at)
        except FormatError:
            pass

    assert silent == []


def test_lists_of_a_size_that_their_groups_do_not_have_are_refused_before_anything_is_read(
    file: tuple[bytes, int],
) -> None:
    data, tail = file
    header = tiny_shard.opened(data, tail).header
    counts = header.arrays["list_rows/coded"].copy()
    counts[:] = counts[::-1]
    lied = replace(header, arrays={**header.arrays, "list_rows/coded": counts})

    for place in (lied.row_groups, lied.exact_groups, lied.list_head):
        with pytest.raises(FormatError):
            place("coded", 0)


def test_a_list_without_its_centroid_is_a_format_error_where_no_table_has_it() -> None:
    data, tail = tiny_shard.write(centroids_in_lists=False)

    with pytest.raises(FormatError):
        tiny_shard.everything(data, tail)


def test_the_match_of_this_suite_finds_the_row_with_the_phrase(file: tuple[bytes, int]) -> None:
    (found,) = tiny_shard.everything(*file, more=[tiny_shard.matching()])[-1]

    assert found[0] == tiny_shard.item(2)["id"]


def test_no_cut_of_a_shard_goes_unnoticed(file: tuple[bytes, int]) -> None:
    data, tail = file
    for length in [*range(0, len(data), 97), *range(len(data) - FOOTER_BYTES, len(data))]:
        with pytest.raises(FormatError):
            tiny_shard.everything(data[:length], min(tail, length))


def test_a_tail_offset_that_is_wrong_is_a_format_error_or_harmless(file: tuple[bytes, int]) -> None:
    data, tail = file
    expected = tiny_shard.everything(data, tail)
    broken = []
    for offset in [*range(0, len(data), 53), tail - 64, tail - 1, tail + 1, len(data)]:
        try:
            if tiny_shard.everything(data, offset) != expected:
                broken.append(offset)
        except FormatError:
            pass

    assert broken == []


def test_a_shard_with_a_lying_directory_is_a_format_error_or_a_shard(file: tuple[bytes, int]) -> None:
    data, tail = file

    files = lying_directories(data, FEW)
    # A shard that denies its space or attribute is told that the search asks for what it does not have.
    assert what_breaks(lambda lied: tiny_shard.everything(lied, tail), files, ShardlakeError) == []


def test_a_shard_with_a_lying_meta_object_is_a_format_error_or_a_shard() -> None:
    def files() -> Iterator[tuple[str, Any]]:
        truth = tiny_shard._meta()
        for path in _paths(truth):
            for lie in [*FEW, [], 1, True, "flat", "ivf_rabitq", "keyword", "text"]:
                changed = _changed(truth, path, lambda _, lie=lie: lie)
                yield f"{path} = {lie!r}", tiny_shard.write(meta=lambda _, changed=changed: changed)
            removed = _removed(truth, path)
            yield f"{path} left out", tiny_shard.write(meta=lambda _, removed=removed: removed)

    assert what_breaks(lambda file: tiny_shard.everything(*file), files(), ShardlakeError) == []


def _names() -> list[str]:
    seen: list[str] = []
    tiny_shard.write(lambda name, array: (seen.append(name), array)[1])
    return seen


@pytest.mark.parametrize("liar", _names())
def test_a_shard_with_a_lying_array_is_a_format_error_or_a_shard(liar: str) -> None:
    def files() -> Iterator[tuple[str, Any]]:
        truth: list[np.ndarray[Any, Any]] = []
        tiny_shard.write(lambda name, array: (truth.append(array) if name == liar else None, array)[1])
        for lie, lied in array_lies(truth[0]):
            yield lie, tiny_shard.write(lambda name, array, lied=lied: lied if name == liar else array)

    assert what_breaks(lambda file: tiny_shard.everything(*file, more=[tiny_shard.matching()]), files()) == []
