"""Manifests and routing files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import orjson
import pytest

from shardlake.core.calibration import CurvePoint
from shardlake.errors import ErrorKind, FormatError
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.manifest import (
    ROUTING_KIND,
    ListExtents,
    Manifest,
    ManifestSpace,
    Routing,
    decode_manifest,
    decode_routing,
    encode_manifest,
    encode_routing,
)
from shardlake.types import IndexType, Metric
from tests.unit.format.lies import HOSTILE, _changed, _paths, _removed, array_lies, lying_directories, what_breaks

POINT = CurvePoint(k=10, nprobe=4, candidates_per_hit=8, recall=0.97, recall_low=0.96)
SPACE = ManifestSpace(
    name="v", dimension=3, metric=Metric.L2, index=IndexType.IVF_PQ, lists=8, rows=99, routing_key="k", curve=(POINT,)
)
MANIFEST = Manifest(
    collection="films",
    uid="u1",
    version="000002-aaaa",
    parent="000001-bbbb",
    build_id="b",
    created_at="2026-11-23T00:00:00Z",
    body='{"spaces":{"v":{"dimension":3}}}',
    rows=100,
    segments=("s1", "s2"),
    shards=("x/00000.shard",),
    spaces=(SPACE,),
)


def test_a_manifest_comes_back_as_it_went_in() -> None:
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST
    assert MANIFEST.space("v") is SPACE
    assert MANIFEST.space("w") is None


def test_a_manifest_can_be_read_by_people() -> None:
    assert b'\n  "version": "000002-aaaa"' in encode_manifest(MANIFEST)


def test_a_newer_manifest_is_not_guessed_at() -> None:
    body = {**orjson.loads(encode_manifest(MANIFEST)), "format_version": 2}

    with pytest.raises(FormatError) as caught:
        decode_manifest(orjson.dumps(body))
    assert caught.value.kind is ErrorKind.UNSUPPORTED_VERSION


def test_a_manifest_that_lies_is_a_format_error_or_a_manifest() -> None:
    def files() -> Iterator[tuple[str, bytes]]:
        truth = orjson.loads(encode_manifest(MANIFEST))
        for path in _paths(truth):
            for lie in HOSTILE:
                yield f"{path} = {lie!r}", json.dumps(_changed(truth, path, lambda _, lie=lie: lie)).encode()
            yield f"{path} left out", orjson.dumps(_removed(truth, path))
        for raw in (b"", b"[]", b"5", b"null", b"{", b'"x"', b"\xff"):
            yield repr(raw), raw

    assert what_breaks(decode_manifest, files()) == []


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
