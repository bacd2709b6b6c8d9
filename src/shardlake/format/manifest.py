"""The manifest of a version: what the router reads once a version and keeps. It is JSON, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shardlake.core.calibration import BandPoint, CurvePoint, Queries
from shardlake.errors import ErrorKind, FormatError
from shardlake.types import IndexType, Metric

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSpace:
    """One space of a version.

    Attributes:
        index: what the build gave it; flat where there were too few rows for codes.
        lists: over all shards; of a binary_mih space, hash buckets, of which every shard has all.
        routing_key: of its centroids; None where shards choose what to probe.
        curve: what plans were measured to find; empty where every search is exact.
        encoder_digest: of the encoder that made the vectors; None where all were brought, or it was not recorded.
        bands: what depths were measured to find under filters, by selectivity; empty where none were.
    """

    name: str
    dimension: int
    metric: Metric
    index: IndexType
    lists: int
    rows: int
    routing_key: str | None
    curve: tuple[CurvePoint, ...]
    encoder_digest: str | None = None
    bands: tuple[BandPoint, ...] = ()

    @property
    def rows_per_list(self) -> float:
        """Mean rows of a list."""
        return self.rows / max(self.lists, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestTerms:
    """Where the frequencies of a version's terms lie (`format/term_stats.py`)."""

    key: str
    bytes: int
    tail_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a version is made of. The shard map itself lies in the catalog.

    Attributes:
        terms: None where no attribute is a text, and in versions of releases without `match`.
    """

    collection: str
    uid: str
    version: str
    parent: str | None
    build_id: str
    created_at: str
    body: str
    rows: int
    segments: tuple[str, ...]
    shards: tuple[str, ...]
    spaces: tuple[ManifestSpace, ...]
    terms: ManifestTerms | None = None

    def space(self, name: str) -> ManifestSpace | None:
        """Returns a space by name, or None."""
        return next((space for space in self.spaces if space.name == name), None)


def encode_manifest(manifest: Manifest) -> bytes:
    """Returns the manifest as indented JSON; of what was measured a point a line."""
    body = {
        "format_version": MANIFEST_VERSION,
        **{name: getattr(manifest, name) for name in Manifest.__slots__ if name != "body"},
        "schema": orjson.loads(manifest.body),
        "spaces": [
            {name: getattr(space, name) for name in ManifestSpace.__slots__}
            | {"curve": _lines(space.curve), "bands": _lines(space.bands)}
            for space in manifest.spaces
        ],
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def _lines(points: Sequence[CurvePoint | BandPoint]) -> orjson.Fragment:
    # Every cold search reads them: indented field by field they would be twice as long.
    return orjson.Fragment(b"[" + b",".join(b"\n      " + orjson.dumps(point) for point in points) + b"]")


def decode_manifest(data: bytes) -> Manifest:
    """Returns the manifest in `data`. Raises FormatError."""
    try:
        raw: dict[str, Any] = orjson.loads(data)
        version = raw.pop("format_version")
        if version != MANIFEST_VERSION:
            raise FormatError(
                "this release cannot read that manifest version", kind=ErrorKind.UNSUPPORTED_VERSION, version=version
            )
        raw["body"] = orjson.dumps(raw.pop("schema")).decode()
        raw["spaces"] = tuple(_space(space) for space in raw["spaces"])
        raw["terms"] = _terms(raw.get("terms"))
        return Manifest(**{**raw, "segments": tuple(raw["segments"]), "shards": tuple(raw["shards"])})
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise FormatError("the manifest is not what the format says") from exc


def _space(raw: dict[str, Any]) -> ManifestSpace:
    curve = tuple(CurvePoint(**_measured(point)) for point in raw["curve"])
    bands = tuple(BandPoint(**_measured(point)) for point in raw.get("bands", ()))
    metric, index = Metric(raw["metric"]), IndexType(raw["index"])
    return ManifestSpace(**{**raw, "metric": metric, "index": index, "curve": curve, "bands": bands})


def _measured(point: dict[str, Any]) -> dict[str, Any]:
    # Versions of the first release measured with items alone, and did not say so.
    return {**point, "queries": Queries(point.get("queries", Queries.ITEMS))}


def _terms(raw: dict[str, Any] | None) -> ManifestTerms | None:
    if raw is None:
        return None
    terms = ManifestTerms(**raw)
    are_numbers = type(terms.bytes) is int and type(terms.tail_offset) is int
    if not are_numbers or not 0 <= terms.tail_offset < terms.bytes:
        raise FormatError("the manifest's terms contradict themselves")
    return terms
