"""Manifests and routing files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from shardlake.core.calibration import BandPoint, CurvePoint, Queries
from shardlake.errors import ErrorKind, FormatError
from shardlake.format.manifest import (
    Manifest,
    ManifestSpace,
    decode_manifest,
    encode_manifest,
)
from shardlake.types import IndexType, Metric
from tests.unit.format.lies import HOSTILE, _changed, _paths, _removed, what_breaks

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


def test_what_was_measured_under_filters_and_with_texts_comes_back() -> None:
    band = BandPoint(
        k=10, selectivity=0.09, lists=6, candidates_per_hit=8, recall=0.97, recall_low=0.96, worst="anti",
        queries=Queries.TEXT,
    )  # fmt: skip
    space = replace(SPACE, curve=(POINT, replace(POINT, queries=Queries.TEXT)), bands=(band,))
    manifest = replace(MANIFEST, spaces=(space,))

    found = decode_manifest(encode_manifest(manifest))

    assert found == manifest
    assert found.spaces[0].bands[0].queries is Queries.TEXT


def test_a_manifest_of_the_first_release_was_measured_with_items_and_without_filters() -> None:
    body = orjson.loads(encode_manifest(MANIFEST))
    del body["spaces"][0]["bands"], body["spaces"][0]["curve"][0]["queries"]

    assert decode_manifest(orjson.dumps(body)) == MANIFEST


def test_a_manifest_can_be_read_by_people() -> None:
    written = encode_manifest(MANIFEST)

    assert b'\n  "version": "000002-aaaa"' in written
    measured = [*MANIFEST.spaces[0].curve, *MANIFEST.spaces[0].bands]
    assert written.count(b'\n      {"k":') == len(measured)  # a point a line


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
