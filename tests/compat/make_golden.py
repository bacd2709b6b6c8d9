"""Writes the golden files of the present format: python -m tests.compat.make_golden.

Run it once a format version; never over files of a version that was released. A person reviews the difference.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shardlake.core.calibration import BandPoint, CurvePoint, Queries
from shardlake.format.container import FORMAT_VERSION
from shardlake.format.manifest import (
    Manifest,
    ManifestSpace,
    ManifestTerms,
    decode_manifest,
    encode_manifest,
)
from shardlake.format.routing import ListExtents, Routing, decode_routing, encode_routing
from shardlake.format.segment import SegmentItem, decode_segment, encode_segment
from shardlake.types import IndexType, Metric, SpaceSpec
from tests import tiny_shard

FOLDER = Path(__file__).parent / "golden"
SHARD_FILTERS = tuple(tiny_shard.FILTERS)


def read_shard(data: bytes, tail_offset: int) -> dict[str, Any]:
    """Returns all that searches find in a shard."""
    return {"tail_offset": tail_offset, "answers": tiny_shard.everything(data, tail_offset, SHARD_FILTERS)}


def read_segment(data: bytes) -> dict[str, Any]:
    """Returns all that is in a segment."""
    found = decode_segment(data)
    cuts = found.payload_offsets.tolist()
    payloads = [bytes(found.payload[a:b]).decode() for a, b in pairwise(cuts)]
    spaces = {name: [v.rows.tolist(), v.vectors.tolist()] for name, v in found.spaces.items()}
    return {"ids": found.ids, "payloads": payloads, "spaces": spaces}


def read_routing(data: bytes) -> dict[str, Any]:
    """Returns all that is in a routing file."""
    extents = decode_routing(data).extents
    if extents is not None:
        places = [[*extents.row(number), int(rows)] for number, rows in enumerate(extents.rows)]
        return {"centroids": decode_routing(data).centroids.tolist(), "extents": places}
    return {"centroids": decode_routing(data).centroids.tolist()}


def _told(described: ManifestSpace | CurvePoint) -> set[str]:
    """Returns the fields of a part of a manifest, without those of later releases that say nothing."""
    silent = {"bands": (), "queries": "items"}
    return {name for name in described.__slots__ if name not in silent or getattr(described, name) != silent[name]}


def read_manifest(data: bytes) -> dict[str, Any]:
    """Returns all that is in a manifest."""
    manifest = decode_manifest(data)
    spaces = [
        {
            **{name: getattr(space, name) for name in _told(space) - {"curve"}},
            "curve": [{name: getattr(point, name) for name in _told(point)} for point in space.curve],
        }
        for space in manifest.spaces
    ]
    found = {name: getattr(manifest, name) for name in Manifest.__slots__ if name != "spaces"} | {"spaces": spaces}
    if found["terms"] is None:  # which earlier releases did not know of
        del found["terms"]
    plain: dict[str, Any] = orjson.loads(orjson.dumps(found))
    return plain


def main() -> None:
    """Writes a file of each kind, and beside it what reading it gives."""
    FOLDER.mkdir(exist_ok=True)
    shard, tail_offset = tiny_shard.write()
    segment = encode_segment(
        [
            SegmentItem(id="a", payload=b'{"id":"a","attributes":{"x":1}}', vectors={"v": np.array([1, 2, 3], "f4")}),
            SegmentItem(id="käse", payload='{"id":"käse","attributes":{}}'.encode(), vectors={}),
        ],
        [SpaceSpec(name="v", dimension=3)],
    )
    point = CurvePoint(k=10, nprobe=4, candidates_per_hit=8, recall=0.97, recall_low=0.96)
    band = BandPoint(
        k=10,
        selectivity=0.09,
        lists=8,
        candidates_per_hit=8,
        recall=0.98,
        recall_low=0.96,
        worst="anti",
        queries=Queries.TEXT,
        missed=0.01,
        softness=0.05,
    )
    space = ManifestSpace(
        name="v",
        dimension=3,
        metric=Metric.COSINE,
        index=IndexType.IVF_PQ,
        lists=2,
        rows=2,
        routing_key="data/u/versions/000001-00/v.router",
        curve=(point,),
        bands=(band,),
    )
    manifest = Manifest(
        collection="films",
        uid="u",
        version="000001-00",
        parent=None,
        build_id="b",
        created_at="2026-11-23T00:00:00Z",
        body='{"spaces":{"v":{"dimension":3}}}',
        rows=2,
        segments=("s",),
        shards=("data/u/versions/000001-00/00000.shard",),
        spaces=(space,),
        terms=ManifestTerms(key="data/u/versions/000001-00/texts.terms", bytes=900, tail_offset=500),
    )
    extents = ListExtents.of_shards(
        [(np.array([[0, 9, 2**64 - 1], [64, 7, 5]], np.uint64), np.array([3, 1], np.uint32))]
    )
    centroids = np.array([[1, 0, 0], [0, 0.5, 0.25]], np.float32)
    routing = encode_routing(Routing(centroids=centroids, extents=extents))
    _write("shard", shard, read_shard(shard, tail_offset))
    _write("segment", segment, read_segment(segment))
    _write("router", routing, read_routing(routing))
    _write("manifest.json", encode_manifest(manifest), read_manifest(encode_manifest(manifest)))


def _write(kind: str, data: bytes, expected: dict[str, Any]) -> None:
    (FOLDER / f"v{FORMAT_VERSION}.{kind}").write_bytes(data)
    text = orjson.dumps(expected, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (FOLDER / f"v{FORMAT_VERSION}.{kind}.expected.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
