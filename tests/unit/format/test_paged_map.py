"""The sorted map: what was written is found, in few reads, and a broken page is never believed."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, Extent, decode_block, parse_tail
from shardlake.format.paged_map import PagedMap, write_pages

KIND = b"TEST"


class _File:
    def __init__(self, entries: dict[bytes, tuple[int, ...]], page_bytes: int) -> None:
        keys = sorted(entries)
        width = len(next(iter(entries.values()), (0,)))
        sink = io.BytesIO()
        writer = ContainerWriter(sink, KIND)
        writer.append(b"something before")
        values = np.asarray([entries[key] for key in keys], np.uint64).reshape(len(keys), width)
        index = write_pages(writer, keys, values, page_bytes=page_bytes)
        index.add_to(writer, "map")
        writer.finish({})
        self.data = bytearray(sink.getvalue())
        blocks = parse_tail(bytes(self.data), len(self.data), KIND).blocks
        self.arrays = {n: decode_block(n, b, self.data[b.offset : b.offset + b.bytes]) for n, b in blocks.items()}
        self.rounds: list[int] = []

    def read(self, extents: Sequence[Extent]) -> list[bytes]:
        self.rounds.append(len(extents))
        return [bytes(self.data[extent.offset : extent.offset + extent.bytes]) for extent in extents]

    def opened(self) -> PagedMap:
        return PagedMap(self.arrays, "map")


KEYS = st.binary(max_size=12)
ENTRIES = st.dictionaries(KEYS, st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9)), max_size=60)


@given(ENTRIES, st.lists(KEYS, max_size=10), st.integers(1, 400))
def test_every_key_is_found_with_its_numbers_and_no_other_is(
    entries: dict[bytes, tuple[int, ...]], others: list[bytes], page_bytes: int
) -> None:
    file = _File(entries, page_bytes)
    asked = [*entries, *others]

    assert file.opened().find(asked, file.read) == [entries.get(key) for key in asked]
    assert file.opened().entries == len(entries)


@given(ENTRIES, KEYS, KEYS, st.integers(1, 400))
def test_a_range_is_what_lies_between_in_order(
    entries: dict[bytes, tuple[int, ...]], low: bytes, high: bytes, page_bytes: int
) -> None:
    file = _File(entries, page_bytes)
    opened = file.opened()

    assert list(opened.between(low, high, file.read)) == [(k, entries[k]) for k in sorted(entries) if low <= k < high]
    assert list(opened.between(None, None, file.read)) == [(k, entries[k]) for k in sorted(entries)]
    assert opened.position(low, file.read) == sum(key <= low for key in entries)


def test_a_lookup_reads_one_page_once_and_all_pages_of_a_lookup_in_one_round() -> None:
    file = _File({f"{i:06d}".encode(): (i,) for i in range(10_000)}, 1024)
    opened = file.opened()

    opened.find([b"000007"], file.read)
    opened.find([b"000008", b"009999", b"005000"], file.read)
    opened.find([b"000008", b"009999"], file.read)

    assert file.rounds == [1, 2]


def test_a_flipped_byte_of_a_page_is_found() -> None:
    file = _File({b"a": (1,), b"b": (2,)}, 1024)
    extent = Extent.of(file.arrays["map/pages"][0, :3].tolist())
    for at in range(extent.bytes):
        file.data[extent.offset + at] ^= 1
        with pytest.raises(FormatError):
            file.opened().find([b"a"], file.read)
        file.data[extent.offset + at] ^= 1


@pytest.mark.parametrize("block", ["keys", "key_offsets", "pages", "shape"])
def test_an_index_that_lacks_a_block_or_lies_is_refused(block: str) -> None:
    file = _File({f"{i:03d}".encode(): (i,) for i in range(100)}, 256)
    absent = {name: array for name, array in file.arrays.items() if name != f"map/{block}"}
    with pytest.raises(FormatError):
        PagedMap(absent, "map")
    lying = file.arrays | {f"map/{block}": np.zeros_like(file.arrays[f"map/{block}"])}
    with pytest.raises(FormatError):
        PagedMap(lying, "map").find([b"000"], file.read)
