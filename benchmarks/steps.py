"""Each step of a build in a process of its own, as on many machines: its time, peak memory, requests and bytes.

    python -m benchmarks.steps

What docs/scale.md reckons from. Vectors of 768 dimensions in parts as a build makes them; the store is a folder, so
time spent waiting for S3 is not in it. Beside the steps, what grows with the number of lists is measured at the lists
of a billion rows: nearest centroids, the dealing of lists to shards, the router's file and its scores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks import corpus, machine, memory_build, process
from benchmarks.folder_store import FolderStore
from benchmarks.memory_build import EPOCH, NAME, SPACE, UID
from builder.stages import Stage
from builder.stored import open_stored
from builder.write import shard_map
from functions.build.keeper import Keeper
from functions.build.service import Builds
from functions.build.steps import NUMBERS, Steps
from shardlake.catalog.base import BuildRow, BuildState, SegmentRow
from shardlake.catalog.rows import to_item
from shardlake.contracts.build import Step
from shardlake.contracts.collection import body_of_schema, schema_of_body
from shardlake.core import training
from shardlake.core.threads import threads
from shardlake.core.vectors import coarse_scores
from shardlake.format.routing import ListExtents, Routing, encode_routing
from shardlake.testing import CountingStore, MemoryCatalog
from shardlake.types import Metric

ROWS, DIMENSION, SHARDS = 262_144, 768, 2
LISTS, TARGET_SHARDS = 32_768, 1_000  # of a billion rows: training.list_count, and 1,000,000 rows a shard
LISTED_ROWS = 16_384  # of which the nearest of LISTS centroids are found
BUILD_ID = "steps"
THREADS = os.cpu_count() or 1


def main() -> None:
    """Measures all and saves it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--child", nargs=2, metavar=("STEP", "NUMBER"), default=None)
    parser.add_argument("--folder", type=Path, default=corpus.CACHE / "steps")
    args = parser.parse_args()
    if args.child:
        step, number = args.child
        return process.say(_lists() if step == "lists" else _step(args.folder, step, int(number)))
    lake = _ingested(args.folder, args.rows)
    steps = [_told(args.folder, step, number) for step, number in _all_steps(args.folder)]
    raw = {"rows": args.rows, "dimension": DIMENSION, "threads": THREADS, **lake, "steps": steps}
    raw["lists"] = process.run("benchmarks.steps", "--child", "lists", "0")
    machine.save("steps", "python -m benchmarks.steps", raw)
    shutil.rmtree(args.folder)
    return None


def _ingested(folder: Path, rows: int) -> dict[str, Any]:
    """Writes the segments of a collection anew; returns what they are."""
    shutil.rmtree(folder, ignore_errors=True)
    store = FolderStore(folder)
    base = corpus.vectors(rows, DIMENSION, seed=corpus.SEED)
    columns = {f"u{number}": np.random.default_rng(number).random(rows).round(6) for number in range(4)}
    schema = memory_build.schema_for(base, shards=SHARDS, columns=columns)
    segments = memory_build.ingest(store, schema, base, columns)
    lake = {"schema": body_of_schema(schema), "segments": [asdict(row) for row in segments]}
    (folder / "lake.json").write_bytes(orjson.dumps(lake))
    sizes = [store.head(row.key).size_bytes for row in segments]
    item_bytes = _item_bytes(to_item(segments[0]))
    return {"segments": len(segments), "segment_bytes": sum(sizes), "segment_item_bytes": item_bytes}


def _all_steps(folder: Path) -> Iterator[tuple[str, int]]:
    yield Stage.SURVEY, 0
    yield Stage.TRAIN, 0
    numbers = _told(folder, NUMBERS, 0)
    yield from ((Stage.ASSIGN, number) for number in range(numbers["parts"]))
    yield from ((Stage.WRITE, number) for number in range(numbers["shards"]))
    yield from ((stage, 0) for stage in (Stage.TERMS, Stage.CALIBRATE, Stage.COMMIT))


def _told(folder: Path, step: str, number: int) -> dict[str, Any]:
    found = process.run("benchmarks.steps", "--folder", str(folder), "--child", step, str(number))
    print(orjson.dumps(found).decode(), flush=True)
    return found


def _step(folder: Path, step: str, number: int) -> dict[str, Any]:
    """Runs one step and returns what it took."""
    imported = process.memory_mb("VmRSS")["VmRSS"]
    lake = orjson.loads((folder / "lake.json").read_bytes())
    schema = schema_of_body(lake["schema"])
    catalog = memory_build.catalog_of(schema, [SegmentRow(**row) for row in lake["segments"]])
    catalog.put_build(UID, _running())
    store = CountingStore(FolderStore(folder))
    builds = Builds(store=store, catalog=catalog, part_rows=10**9, threads=THREADS, clock=lambda: EPOCH)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    asked = Step(collection=NAME, build_id=BUILD_ID, step=step, number=number)
    facts = _facts(builds, catalog, scratch) if step == Stage.COMMIT else {}
    began, cpu = time.perf_counter(), time.process_time()
    outcome = Steps(builds=builds).run(asked, scratch=scratch)
    took = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    written = sum(store.operations.get(name, 0) for name in ("put", "put_if_absent", "upload_file"))
    lists = {name: len(found) for name, found in outcome.items() if isinstance(found, list)}
    return {
        "step": step,
        "number": number,
        **took,
        "imports_mb": imported,
        "peak_mb": process.memory_mb("VmHWM")["VmHWM"],
        "gets": store.object_reads,
        "heads": store.operations.get("head", 0),
        "puts": written,
        "read_bytes": store.bytes_read,
        **lists,
        **facts,
    }


def _facts(builds: Builds, catalog: MemoryCatalog, scratch: Path) -> dict[str, Any]:
    """Returns what the shards and the artefacts are, before the last step removes these."""
    found = catalog.get_collection(NAME)
    keeper = Keeper(catalog, UID, catalog.get_build(UID, BUILD_ID), builds.clock)
    context = builds.context_of(found, keeper, scratch)
    shards = shard_map(context, SHARDS)
    lists = [open_stored(builds.store, row).header.arrays[f"lists/{SPACE}"] for row in shards]
    artefacts = {info.key.rpartition("/")[2]: info.size_bytes for info in builds.store.list(context.artefact_key(""))}
    return {
        "shard_bytes": [row.bytes for row in shards],
        "shard_rows": [row.rows for row in shards],
        "tail_bytes": [row.bytes - row.footer_offset for row in shards],
        "list_bytes": sum(int(table[:, 1].sum()) for table in lists),
        "num_lists": sum(len(table) for table in lists),
        "shard_item_bytes": _item_bytes(to_item(shards[0])),
        "artefacts": artefacts,
    }


def _lists() -> dict[str, Any]:
    """Measures what depends on how many lists there are, at those of a billion rows."""
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((LISTS, DIMENSION), np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    vectors = rng.standard_normal((LISTED_ROWS, DIMENSION), np.float32)
    took: dict[str, float] = {}

    @contextmanager
    def timed(name: str, times: int = 1) -> Iterator[None]:
        began, cpu = time.perf_counter(), time.process_time()
        yield
        took[f"{name}_s"] = (time.perf_counter() - began) / times
        took[f"{name}_cpu_s"] = (time.process_time() - cpu) / times

    with threads(THREADS), timed("assign"):
        training.assign(vectors, centroids, Metric.COSINE)
    with timed("group_lists"):
        training.group_lists(centroids, np.ones(LISTS, np.int64), TARGET_SHARDS)
    nothing = np.zeros(LISTS, np.uint64)
    extents = ListExtents(
        offsets=nothing, bytes=nothing.astype(np.uint32), checksums=nothing, rows=nothing.astype(np.uint32)
    )
    routing_bytes = len(encode_routing(Routing(centroids=centroids, extents=extents)))
    with timed("coarse", times=32):
        for query in vectors[:32]:
            coarse_scores(query, centroids, Metric.COSINE)
    return {"lists": LISTS, "shards": TARGET_SHARDS, "rows": LISTED_ROWS, "routing_bytes": routing_bytes, **took}


def _running() -> BuildRow:
    return BuildRow(
        build_id=BUILD_ID,
        state=BuildState.RUNNING,
        progress=0.0,
        stage="",
        version=None,
        error=None,
        created_at=EPOCH,
        updated_at=EPOCH,
    )


def _item_bytes(item: Any) -> int:  # noqa: ANN401  # as DynamoDB counts: names and values
    return sum(len(name) + len(str(next(iter(value.values())))) for name, value in item.items())


if __name__ == "__main__":
    main()
