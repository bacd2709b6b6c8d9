"""Routing files: which lists are near, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest

from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.routing import ROUTING_KIND, ListExtents, Routing, decode_routing, encode_routing
from tests.unit.format.lies import array_lies, lying_directories, what_breaks


def _routing(lists: int, dimension: int = 3) -> Routing:
    rng = np.random.default_rng(lists)
    tables = [
        (rng.integers(0, 2**63, (count, 3), np.uint64), rng.integers(0, 99, count).astype(np.uint32))
        for count in (lists - lists // 2, lists // 2)
    ]
    for table, _ in tables:
        table[:, 1] %= 2**32
    return Routing(centroids=rng.random((lists, dimension), np.float32), extents=ListExtents.of_shards(tables))


@pytest.mark.parametrize("lists", [0, 1, 5])
def test_a_routing_file_says_where_each_list_lies_and_nearly_where_its_centroid_is(lists: int) -> None:
    routing = _routing(lists)
    found = decode_routing(encode_routing(routing))

    assert found.centroids.shape == (lists, 3)
    np.testing.assert_allclose(found.centroids, routing.centroids, atol=0.5 / 127)
    assert found.extents is not None
    assert routing.extents is not None
    for name in ("offsets", "bytes", "checksums", "rows"):
        assert (getattr(found.extents, name) == getattr(routing.extents, name)).all()


def test_centroids_far_from_the_origin_are_told_as_well_as_those_around_it() -> None:
    centroids = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    near, far = (decode_routing(encode_routing(Routing(centroids=centroids + shift))) for shift in (0, 1_000))

    spread = np.abs(centroids).max()
    assert np.abs(near.centroids - centroids).max() <= spread / 127
    assert np.abs(far.centroids - np.float32(1_000) - centroids).max() <= spread / 127
    assert far.extents is None


ROUTING_BLOCKS = ["centre", "codes", "scales", "lists/offsets", "lists/bytes", "lists/checksums", "lists/rows"]


@pytest.mark.parametrize("liar", ROUTING_BLOCKS)
def test_a_routing_file_that_lies_is_a_format_error_or_a_routing_file(liar: str) -> None:
    file = Container(encode_routing(_routing(2)), ROUTING_KIND)
    truth = {name: file.array(name) for name in ROUTING_BLOCKS}

    def files() -> Iterator[tuple[str, bytes]]:
        for lie, lied in array_lies(truth[liar]):
            sink = BytesIO()
            writer = ContainerWriter(sink, ROUTING_KIND)
            for name, array in truth.items():
                writer.add_array(name, lied if name == liar else array)
            writer.finish({"lists": 2})
            yield lie, sink.getvalue()

    assert what_breaks(decode_routing, files()) == []


def test_a_routing_file_with_a_lying_directory_is_a_format_error_or_a_routing_file() -> None:
    assert what_breaks(decode_routing, lying_directories(encode_routing(_routing(2)))) == []


def test_no_flipped_byte_of_a_routing_file_goes_unnoticed_where_it_is_read() -> None:
    data = encode_routing(_routing(4))
    expected = _said(decode_routing(data))
    silent = []
    for at in range(len(data)):
        try:
            found = _said(decode_routing(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]))
            silent += [at] if found != expected else []
        except FormatError:
            pass

    assert silent == []


def _said(routing: Routing) -> tuple[object, ...]:
    assert routing.extents is not None
    places = [routing.extents.row(number) for number in range(len(routing.extents.rows))]
    return routing.centroids.tolist(), places, routing.extents.rows.tolist()
