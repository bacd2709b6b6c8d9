"""Corpora and built collections that several benchmarks share, made once and kept under `.cache/bench`.

A built collection is kept for the source that built it: when the builder, the format or the corpus change, it is
built again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import orjson

from benchmarks import memory_build
from benchmarks.corpus import CACHE, Corpus
from benchmarks.folder_store import FolderStore
from benchmarks.memory_build import UID, Built
from shardlake.catalog.base import BuildRow, Pointer, SegmentRow, ShardRow
from shardlake.contracts.collection import body_of_schema, schema_of_body
from shardlake.testing.memory_catalog import MemoryCatalog
from shardlake.types import CollectionSchema

ROOT = Path(__file__).resolve().parents[1]
LAKE, OBJECTS = "lake.json", "objects"

Watch = Callable[[str, float], None]
_SEGMENT_SOURCES = (
    "src/shardlake/format/segment.py",
    "src/shardlake/format/container.py",
    "benchmarks/corpus.py",
    "benchmarks/memory_build.py",
)
_BUILD_SOURCES = (
    "src/shardlake/core",
    "src/shardlake/engine",
    "src/shardlake/format",
    "src/shardlake/query",
    "builder",
)


def columns_of(corpus: Corpus, *, masks: bool = True) -> memory_build.Columns:
    """Returns the attributes that every built collection of a corpus has, with those that filters cut it by or not."""
    uniform = {f"u{number}": corpus.uniform[:, number] for number in range(corpus.uniform.shape[1])}
    return {**(corpus.masks if masks else {}), **uniform}


def ingested(corpus: Corpus, *, masks: bool = True, cache: Path = CACHE) -> Path:
    """Returns the folder of a corpus's collection, its segments written: the lake that a build reads."""
    folder = cache / f"lake-{corpus.rows}x{corpus.base.shape[1]}{'' if masks else '-plain'}"
    listed = folder / LAKE
    wanted = _digest(_SEGMENT_SOURCES)
    if not listed.exists() or orjson.loads(listed.read_bytes())["source"] != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        columns = columns_of(corpus, masks=masks)
        schema = memory_build.schema_for(corpus.base, columns=columns)
        rows = memory_build.ingest(FolderStore(folder / OBJECTS), schema, corpus.base, columns)
        lake = {"source": wanted, "schema": body_of_schema(schema), "segments": [asdict(row) for row in rows]}
        listed.write_bytes(orjson.dumps(lake))
    return folder


def built(corpus: Corpus, *, cache: Path = CACHE) -> Built:
    """Returns the collection of a corpus in one shard, on a folder store; built where it is not there."""
    folder = ingested(corpus, cache=cache)
    if not _kept(folder).exists():
        build_lake(folder)
    return opened(folder)


def build_lake(folder: Path, watch: Watch | None = None) -> None:
    """Builds the lake in a folder anew, whatever stands.

    Args:
        folder: what `ingested` returned.
        watch: told (stage, progress) as the build goes on.
    """
    for old in folder.glob("built-*.json"):
        old.unlink()
    schema, segments = _lake(folder)
    shutil.rmtree(folder / OBJECTS / "data" / UID / "versions", ignore_errors=True)
    catalog = memory_build.catalog_of(schema, segments, WatchedCatalog(watch))
    made = memory_build.build_segments(
        FolderStore(folder / OBJECTS), catalog, schema, threads=os.cpu_count() or 1, scratch=folder
    )
    state = {"pointer": asdict(made.pointer), "shards": [asdict(row) for row in made.shards]}
    _kept(folder).write_bytes(orjson.dumps(state))


def opened(folder: Path) -> Built:
    """Returns the collection built in a folder. Requires: it is."""
    raw = orjson.loads(_kept(folder).read_bytes())
    schema, segments = _lake(folder)
    pointer, shards = Pointer(**raw["pointer"]), [_shard_row(row) for row in raw["shards"]]
    catalog = memory_build.catalog_of(schema, segments)
    catalog.commit(UID, expected=None, pointer=pointer, shards=shards)
    return Built(store=FolderStore(folder / OBJECTS), catalog=catalog, schema=schema, pointer=pointer, shards=shards)


class WatchedCatalog(MemoryCatalog):
    """A catalog that passes on how far a build is."""

    def __init__(self, watch: Watch | None) -> None:
        super().__init__()
        self._watch = watch

    def put_build(self, uid: str, row: BuildRow) -> None:
        """Writes the state of a build."""
        super().put_build(uid, row)
        if self._watch is not None:
            self._watch(row.stage, row.progress)

    def report_build(self, uid: str, row: BuildRow) -> bool:
        """Writes how far a build is."""
        if self._watch is not None:
            self._watch(row.stage, row.progress)
        return super().report_build(uid, row)


def _lake(folder: Path) -> tuple[CollectionSchema, list[SegmentRow]]:
    lake = orjson.loads((folder / LAKE).read_bytes())
    return schema_of_body(lake["schema"]), [SegmentRow(**row) for row in lake["segments"]]


def _kept(folder: Path) -> Path:
    return folder / f"built-{_digest(_BUILD_SOURCES)}.json"


def _shard_row(raw: dict[str, object]) -> ShardRow:
    pairs = {
        name: {key: tuple(pair) for key, pair in raw[name].items()}  # type: ignore[attr-defined]  # JSON has no tuples
        for name in ("lists", "zone_maps")
    }
    return ShardRow(**{**raw, **pairs})  # type: ignore[arg-type]  # as asdict wrote them


def _digest(sources: tuple[str, ...]) -> str:
    found = hashlib.sha256()
    for source in sources:
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()[:12]
