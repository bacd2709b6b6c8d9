"""Corpora and built collections that several benchmarks share, made once and kept under `.cache/bench`.

A built collection is kept for the source that built it: when the builder, the format or the corpus change, it is
built again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import orjson

from benchmarks import memory_build
from benchmarks.corpus import CACHE, Corpus
from benchmarks.folder_store import FolderStore
from benchmarks.memory_build import UID, Built
from shardlake.catalog.base import Pointer, SegmentRow, ShardRow

ROOT = Path(__file__).resolve().parents[1]
_SEGMENT_SOURCES = (
    "src/shardlake/format/segment.py",
    "src/shardlake/format/container.py",
    "benchmarks/corpus.py",
    "benchmarks/memory_build.py",
)
_BUILD_SOURCES = ("src/shardlake/core", "src/shardlake/engine", "src/shardlake/format", "src/shardlake/query", "builder")


def columns_of(corpus: Corpus) -> memory_build.Columns:
    """Returns the attributes that every built collection of a corpus has."""
    uniform = {f"u{number}": corpus.uniform[:, number] for number in range(corpus.uniform.shape[1])}
    return {**corpus.masks, **uniform}


def ingested(corpus: Corpus, *, cache: Path = CACHE) -> tuple[Path, list[SegmentRow]]:
    """Returns the folder of a corpus's collection and its segments; writes them where they are not there."""
    folder = cache / f"lake-{corpus.rows}x{corpus.base.shape[1]}"
    listed = folder / f"segments-{_digest(_SEGMENT_SOURCES)}.json"
    if not listed.exists():
        shutil.rmtree(folder, ignore_errors=True)
        columns = columns_of(corpus)
        schema = memory_build.schema_for(corpus.base, columns=columns)
        rows = memory_build.ingest(FolderStore(folder / "objects"), schema, corpus.base, columns)
        listed.write_bytes(orjson.dumps([asdict(row) for row in rows]))
    return folder, [SegmentRow(**row) for row in orjson.loads(listed.read_bytes())]


def built(corpus: Corpus, *, cache: Path = CACHE, again: bool = False) -> Built:
    """Returns the collection of a corpus in one shard, on a folder store; built where it is not there, or `again`."""
    folder, segments = ingested(corpus, cache=cache)
    kept = folder / f"built-{_digest(_BUILD_SOURCES)}.json"
    if again or not kept.exists():
        for old in folder.glob("built-*.json"):
            old.unlink()
        _build(folder, corpus, segments, kept)
    raw = orjson.loads(kept.read_bytes())
    schema = memory_build.schema_for(corpus.base, columns=columns_of(corpus))
    pointer, shards = Pointer(**raw["pointer"]), [_shard_row(row) for row in raw["shards"]]
    catalog = memory_build.catalog_of(schema, segments)
    catalog.commit(UID, expected=None, pointer=pointer, shards=shards)
    store = FolderStore(folder / "objects")
    return Built(store=store, catalog=catalog, schema=schema, pointer=pointer, shards=shards)


def _build(folder: Path, corpus: Corpus, segments: list[SegmentRow], kept: Path) -> None:
    schema = memory_build.schema_for(corpus.base, columns=columns_of(corpus))
    store = FolderStore(folder / "objects")
    catalog = memory_build.catalog_of(schema, segments)
    made = memory_build.build_segments(store, catalog, schema, threads=os.cpu_count() or 1, scratch=folder)
    kept.write_bytes(orjson.dumps({"pointer": asdict(made.pointer), "shards": [asdict(row) for row in made.shards]}))


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
