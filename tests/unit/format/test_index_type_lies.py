"""Shards of every index type whose arrays and numbers lie: a format error or a shard, and never faiss's to find out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
import xxhash

from shardlake.errors import ShardlakeError
from shardlake.format.container import _FOOTER, ALIGNMENT, FOOTER_BYTES, MAGIC
from shardlake.types import IndexSpec, IndexType, Metric, Transform
from tests.lake import Lake, item, schema, space, unit_rows
from tests.leaf_searches import leaf_search
from tests.tiny_shard import opened, plain
from tests.unit.format.lies import FEW, array_lies, directory_of, what_breaks, with_directory

ROWS, DIMENSION = 660, 5
SPACES = {
    "r": IndexSpec(type=IndexType.IVF_RABITQ, bits=2),
    "p": IndexSpec(type=IndexType.IVF_PQ, transform=Transform.PCA, dimension=3),
    "f": IndexSpec(type=IndexType.IVF_FLAT),
    "b": IndexSpec(type=IndexType.BINARY_MIH, bits=64),
    "s": IndexSpec(type=IndexType.BINARY_MIH, bits=128),
}
ARRAYS = [
    *(f"{kind}/{name}" for kind in ("lists", "list_rows", "exact") for name in "rpfb"),
    *(f"transform/{name}" for name in "rp"),
    "codewords/p",
    *(f"{kind}/{name}" for kind in ("buckets", "bucket_rows", "directions", "thresholds") for name in "bs"),
]
NUMBERS = (
    "dimension",
    "lists",
    "code_bytes",
    "code_dimension",
    "bits",
    "tables",
    "key_bits",
    "source",
    "index",
    "group_rows",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """A shard's bytes and where its tail begins."""
    spaces = [
        space(DIMENSION, name, metric=Metric.L2, index=index, source="r" if name == "s" else None)
        for name, index in SPACES.items()
    ]
    vectors = unit_rows(ROWS, DIMENSION)
    items = [item(f"{i:03d}", dict.fromkeys("rpfb", row)) for i, row in enumerate(vectors)]
    lake = Lake(schema(*spaces), tmp_path_factory.mktemp("lies")).built(items)
    (row,) = lake.shards
    return lake.store.objects[row.key], row.footer_offset


def everything(data: bytes, tail: int) -> list[Any]:
    """Returns what a search of each space finds."""
    shard = opened(data, tail)
    query = unit_rows(1, DIMENSION, 2)[0]
    asked = {"k": 5, "nprobe": 300, "candidates": 40}
    return [plain(shard.search(leaf_search(name, query, **asked))) for name in SPACES]


def with_array(data: bytes, name: str, array: np.ndarray[Any, Any]) -> bytes:
    """Returns the file with another array of that name, its checksum right."""
    _, version, kind, offset, _, _ = _FOOTER.unpack(data[-FOOTER_BYTES:])
    raw = np.ascontiguousarray(array).tobytes()
    at = offset + -offset % ALIGNMENT
    body = data[:offset] + b"\0" * (at - offset) + raw
    directory = directory_of(data)
    dtype = array.dtype.newbyteorder("<").str
    directory["blocks"][name] = [at, len(raw), f"{xxhash.xxh3_64_intdigest(raw):016x}", dtype, list(array.shape)]
    text = orjson.dumps(directory)
    footer = _FOOTER.pack(MAGIC, version, kind, len(body), len(text), xxhash.xxh3_64_intdigest(text))
    return body + text + footer


def array_of(data: bytes, name: str) -> np.ndarray[Any, Any]:
    """Returns an array of the file."""
    offset, size, _, dtype, shape = directory_of(data)["blocks"][name]
    return np.frombuffer(data[offset : offset + size], dtype).reshape(shape)


def test_the_file_is_read_whole(file: tuple[bytes, int]) -> None:
    assert [len(hits) for hits in everything(*file)] == [5] * len(SPACES)
    data, tail = file
    again = with_array(data, "thresholds/b", array_of(data, "thresholds/b"))
    assert everything(again, tail) == everything(*file), "the liar itself tells the truth where it is asked to"


@pytest.mark.parametrize("name", ARRAYS)
def test_a_lying_array_is_a_format_error_or_a_shard(file: tuple[bytes, int], name: str) -> None:
    data, tail = file

    def files() -> Iterator[tuple[str, bytes]]:
        for lie, lied in array_lies(array_of(data, name)):
            yield lie, with_array(data, name, lied)

    assert what_breaks(lambda lied: everything(lied, tail), files()) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lying_number_of_a_space_is_a_format_error_or_a_shard(file: tuple[bytes, int], number: str) -> None:
    data, tail = file

    def files() -> Iterator[tuple[str, bytes]]:
        for position, name in enumerate(SPACES):
            for lie in [*FEW, 0, 1, 2, 8, 64, 63, 4096, True, 1.0, "r", "b", "flat", *IndexType]:
                directory = directory_of(data)
                directory["meta"]["spaces"][position][number] = lie
                yield f"{name}.{number} = {lie!r}", with_directory(data, directory)

    assert what_breaks(lambda lied: everything(lied, tail), files(), ShardlakeError) == []


@pytest.mark.parametrize("name", ["rows_of_buckets", "rows_of_lists"])
def test_a_row_number_beyond_the_shard_is_a_format_error(file: tuple[bytes, int], name: str) -> None:
    data, tail = file
    table = array_of(data, "buckets/s" if name == "rows_of_buckets" else "lists/r").copy()
    number = int(np.argmax(table[:, 1]))
    offset, size = int(table[number, 0]), int(table[number, 1])
    block = bytearray(data[offset : offset + size])
    block[:4] = ROWS.to_bytes(4, "little")
    changed = data[:offset] + bytes(block) + data[offset + size :]
    table[number, 2] = xxhash.xxh3_64_intdigest(bytes(block))
    lied = with_array(changed, "buckets/s" if name == "rows_of_buckets" else "lists/r", table)

    with pytest.raises(ShardlakeError, match="names a row"):
        everything(lied, tail)
