"""Segments: every item comes back as it went in, and no damage is believed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.segment import SEGMENT_KIND, Segment, SegmentItem, decode_segment, encode_segment
from shardlake.types import SpaceSpec
from tests.lake import item, space
from tests.unit.format.lies import array_lies, directory_of, lying_directories, what_breaks, with_directory

SPACES = (space(3, "a"), space(2, "b"))
ITEMS = [
    item("plain", {"a": [1, 2, 3], "b": [4, 5]}, title="x"),
    item("käse 🧀", {"b": [6, 7]}),
    item("no vectors"),
    item("", {"a": [0, 0, -1]}),
    SegmentItem(id="bare", payload=b"", vectors={}),
]


TOMBSTONE = ITEMS[-1]


def _plain(segment: Segment) -> list[Any]:
    cuts = segment.payload_offsets.tolist()
    payloads = [bytes(segment.payload[a:b]) for a, b in pairwise(cuts)]
    spaces = {name: (v.rows.tolist(), v.vectors.tolist()) for name, v in segment.spaces.items()}
    return [segment.ids, payloads, spaces]


def _read(data: bytes) -> list[Any]:
    return _plain(decode_segment(data))


def test_items_come_back_as_they_went_in() -> None:
    ids, payloads, spaces = _read(encode_segment(ITEMS, SPACES))

    assert ids == [one.id for one in ITEMS]
    assert payloads == [one.payload for one in ITEMS]
    assert spaces == {"a": ([0, 3], [[1, 2, 3], [0, 0, -1]]), "b": ([0, 1], [[4, 5], [6, 7]])}


def test_a_segment_gives_the_items_it_was_made_of_and_tells_which_are_deleted() -> None:
    segment = decode_segment(encode_segment(ITEMS, SPACES, {"a": "d1"}))

    assert encode_segment(segment.items(), SPACES, segment.encoders) == encode_segment(ITEMS, SPACES, {"a": "d1"})
    assert segment.deleted.tolist() == [one is TOMBSTONE for one in ITEMS]
    assert [one.is_tombstone for one in segment.items()] == segment.deleted.tolist()
    assert segment.encoders == {"a": "d1"}
    assert decode_segment(encode_segment(ITEMS, SPACES)).encoders == {}


def test_a_segment_may_hold_tombstones_alone() -> None:
    segment = decode_segment(encode_segment([TOMBSTONE, TOMBSTONE], SPACES))

    assert (segment.ids, segment.deleted.tolist()) == ([TOMBSTONE.id] * 2, [True, True])


@pytest.mark.parametrize("space", SPACES)
def test_a_tombstone_with_a_vector_is_a_format_error(space: SpaceSpec) -> None:
    vectors = {space.name: np.ones(space.dimension, np.float32)}

    with pytest.raises(FormatError, match="deleted"):
        decode_segment(encode_segment([item("a"), replace(TOMBSTONE, vectors=vectors)], SPACES))


def test_encoders_that_are_no_digests_are_a_format_error() -> None:
    for lie in ([], "x", {"a": 1}, {"a": None}, 0):
        with pytest.raises(FormatError):
            decode_segment(_stating(encode_segment(ITEMS, SPACES), lie))


def _stating(data: bytes, encoders: object) -> bytes:
    directory = directory_of(data)
    directory["meta"]["encoders"] = encoders
    return with_directory(data, directory)


def test_a_segment_may_be_empty() -> None:
    assert _read(encode_segment([], SPACES)) == [[], [], {"a": ([], []), "b": ([], [])}]


def test_an_empty_segment_has_no_items() -> None:
    segment = decode_segment(encode_segment([], SPACES))

    assert (segment.items(), segment.deleted.tolist(), segment.rows) == ([], [], 0)


def test_the_same_items_give_the_same_bytes() -> None:
    assert encode_segment(ITEMS, SPACES) == encode_segment(list(ITEMS), SPACES)


def test_no_flipped_byte_of_a_segment_goes_unnoticed_where_it_is_read() -> None:
    data = encode_segment(ITEMS, SPACES)
    expected = _read(data)
    silent = []
    for at in range(len(data)):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            if _read(damaged) != expected:
                silent.append(at)
        except FormatError:
            pass

    assert silent == []


def test_a_segment_with_a_lying_directory_is_a_format_error() -> None:
    assert what_breaks(_read, lying_directories(encode_segment(ITEMS, SPACES))) == []


def test_a_segment_with_lying_arrays_is_a_format_error_or_a_segment() -> None:
    assert what_breaks(_read, _lying(encode_segment(ITEMS, SPACES))) == []


def _lying(data: bytes) -> Iterator[tuple[str, bytes]]:
    file = Container(data, SEGMENT_KIND)
    for liar in file.directory.blocks:
        for lie, lied in array_lies(file.array(liar)):
            sink = io.BytesIO()
            writer = ContainerWriter(sink, SEGMENT_KIND)
            for name in file.directory.blocks:
                writer.add_array(name, lied if name == liar else file.array(name))
            writer.finish(file.meta)
            yield f"{liar} {lie}", sink.getvalue()


def test_an_id_that_is_no_text_is_a_format_error() -> None:
    data = encode_segment([item("aaaa")], SPACES)
    file = Container(data, SEGMENT_KIND)
    sink = io.BytesIO()
    writer = ContainerWriter(sink, SEGMENT_KIND)
    for name in file.directory.blocks:
        writer.add_array(name, np.full(4, 0xFF, np.uint8) if name == "id" else file.array(name))
    writer.finish(file.meta)

    assert what_breaks(_read, iter([("bytes that are no UTF-8", sink.getvalue())])) == []
