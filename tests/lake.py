"""A collection in memory from items to answers: segments, the build function, the leaf, the router over an invoker."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson

from builder.segments import write_segment
from functions.build.service import Builds
from functions.router import http
from functions.router.service import Router
from functions.router.versions import Versions
from functions.router.warming import Warming
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.catalog.base import BuildRow, BuildState, Catalog, CollectionRow, SegmentRow, ShardRow
from shardlake.contracts.collection import body_of_schema
from shardlake.contracts.shard import LeafAnswer, LeafStats, ShardRef
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.deadline import Clock, Deadline
from shardlake.engine.shard import OpenShard
from shardlake.format import locations
from shardlake.format.segment import SegmentItem
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore
from shardlake.store.blocks import BlockStore
from shardlake.testing import InProcessInvoker, ManualClock, MemoryCatalog, MemoryStore, add_segment
from shardlake.types import (
    AttributeSpec,
    AttributeType,
    CollectionSchema,
    IndexSpec,
    IndexType,
    Metric,
    Sharding,
    SpaceSpec,
)
from tests.leaf_searches import leaf_search
from tests.small_world import Answer, recorded

faiss.omp_set_num_threads(1)  # the suite shares its cores

NAME = "films"
UID = "u1"
SETTINGS = Settings(
    bucket="lake",
    shard_search_function="shard-search",
    encode_function="encode",
    function_name="router",
    memory_mb=1024,
)
EPOCH = "2026-11-23T12:00:00Z"
_NUMBERS = itertools.count()


def schema(
    *spaces: SpaceSpec,
    target_rows: int = 1_000_000,
    attributes: Mapping[str, AttributeType] | None = None,
    sharding: Sharding = "cluster",
    by: str | None = None,
    ttl: str | None = None,
) -> CollectionSchema:
    """Returns a schema; without spaces one of four dimensions, named v. `by` is the attribute that shards it."""
    specs = tuple(AttributeSpec(name=name, type=kind) for name, kind in sorted((attributes or {}).items()))
    return CollectionSchema(
        spaces=spaces or (space(4),),
        attributes=specs,
        target_rows=target_rows,
        sharding=sharding,
        sharding_attribute=by,
        ttl=ttl,
    )


def space(
    dimension: int,
    name: str = "v",
    *,
    metric: Metric = Metric.COSINE,
    encoder: str | None = None,
    index: IndexType | IndexSpec = IndexType.IVF_PQ,
    source: str | None = None,
) -> SpaceSpec:
    """Returns a space's declaration."""
    spec = IndexSpec(type=index) if isinstance(index, IndexType) else index
    return SpaceSpec(name=name, dimension=dimension, metric=metric, encoder=encoder, index=spec, source=source)


def item(item_id: str, vectors: Mapping[str, Iterable[float]] | None = None, **attributes: object) -> SegmentItem:
    """Returns an item as ingest would store it."""
    payload = orjson.dumps({"id": item_id, "attributes": attributes})
    arrays = {name: np.asarray(list(vector), np.float32) for name, vector in (vectors or {}).items()}
    return SegmentItem(id=item_id, payload=payload, vectors=arrays)


def items_of(vectors: np.ndarray[Any, Any], name: str = "v", first: int = 0) -> list[SegmentItem]:
    """Returns items with ids 00000000, 00000001, … and an attribute `number`."""
    return [item(f"{first + i:08d}", {name: row}, number=first + i) for i, row in enumerate(vectors)]


@dataclass(slots=True)
class Lake:
    """One collection and the functions that build and search it.

    Attributes:
        leaf_store: what the leaf reads through; a test puts faults around it.
        containers: one ShardSearch a shard, as Lambda would have. disks: what the container of a shard keeps blocks on.
        warm_up_mb: what the router lets a shard that answered cold read in the background.
        now: the time of day, for builds and for what has expired.
    """

    schema: CollectionSchema
    scratch: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    invoker: InProcessInvoker = field(default_factory=InProcessInvoker)
    clock: Clock = field(default_factory=ManualClock)
    leaf_store: ObjectStore | None = None
    containers: dict[int, ShardSearch] = field(default_factory=dict)
    cache_bytes: int = 1 << 30
    disks: dict[int, BlockStore] = field(default_factory=dict)
    warm_up_mb: int = 0
    log: io.StringIO = field(default_factory=io.StringIO)
    now: Callable[[], datetime] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _router: Router | None = None
    _segments: int = 0

    def __post_init__(self) -> None:
        self.catalog.create_collection(
            CollectionRow(name=NAME, uid=UID, body=body_of_schema(self.schema), created_at=EPOCH)
        )
        self.invoker.functions["shard-search"] = self.leaf

    # Writing ------------------------------------------------------------------------------------------

    def add(self, items: Sequence[SegmentItem]) -> str:
        """Writes one segment; returns its key."""
        self._segments += 1
        name = f"segment-{self._segments:04d}"
        row = SegmentRow(
            segment_id=name,
            order=name,
            key=locations.segment(UID, name),
            rows=len(items),
            bytes=0,
            source=f"inbox/{NAME}/{name}.jsonl",
            created_at=EPOCH,
        )
        add_segment(self.catalog, UID, write_segment(self.store, row, items, self.schema, encoders={}))
        return row.key

    def delete(self, *ids: str) -> str:
        """Writes a segment of deletions; returns its key."""
        return self.add([SegmentItem(id=each, payload=b"", vectors={}) for each in ids])

    def build(
        self,
        build_id: str = "build-1",
        *,
        part_rows: int = 100_000,
        store: ObjectStore | None = None,
        catalog: Catalog | None = None,
        threads: int = 1,
    ) -> BuildRow:
        """Runs a build through the build function's service; asked for again, it goes on where it stopped."""
        if build_id not in self.catalog._of(UID).builds:
            self.catalog.put_build(UID, queued(build_id))
        builds = Builds(
            store=store or self.store,
            catalog=catalog or self.catalog,
            part_rows=part_rows,
            threads=threads,
            clock=lambda: EPOCH if self.now is None else self.now().isoformat(),
        )
        return builds.run(NAME, build_id, scratch=self.scratch)

    def built(self, *batches: Sequence[SegmentItem], part_rows: int = 100_000) -> Lake:
        """Adds each batch as a segment and builds; the build must succeed."""
        for batch in batches:
            self.add(batch)
        row = self.build(part_rows=part_rows)
        assert row.state is BuildState.DONE, row.error
        return self

    @property
    def shards(self) -> list[ShardRow]:
        """The shard map of the current version."""
        pointer = self.catalog.pointer(UID)
        assert pointer is not None
        return self.catalog.shard_rows(UID, pointer.version)

    # Reading ------------------------------------------------------------------------------------------

    def opened(self, number: int = 0) -> OpenShard:
        """Returns a shard, opened anew."""
        row = self.shards[number]
        cache = ShardCache(self.leaf_store or self.store, max_bytes=0)
        return cache.open(ref(row), Deadline.after(1e9, clock=ManualClock()), LeafStats())

    def leaf_search(self, **search: Any) -> list[LeafAnswer]:
        """Runs one search in every shard, in process."""
        asked = leaf_search(**{"space": "v", **search})
        return [self.opened(number).search(asked) for number in range(len(self.shards))]

    def leaf(self, payload: bytes) -> bytes:
        """The shard_search function: a container a shard."""
        request = decode_request(orjson.loads(payload))
        return encode_reply(self.container(request.shards[0].shard_id).search(request))

    def container(self, shard_id: int) -> ShardSearch:
        """Returns the container that serves a shard."""
        with self._lock:
            if shard_id not in self.containers:
                cache = ShardCache(
                    self.leaf_store or self.store, max_bytes=self.cache_bytes, blocks=self.disks.get(shard_id)
                )
                self.containers[shard_id] = ShardSearch(cache, clock=self.clock, memory_mb=1024)
            return self.containers[shard_id]

    def replace_containers(self, store: ObjectStore) -> None:
        """Starts fresh containers that read through `store`."""
        self.containers.clear()
        self.leaf_store = store

    def router(self, store: ObjectStore | None = None) -> Router:
        """Returns a router that knows nothing yet."""
        reads = store or self.store
        return Router(
            settings=SETTINGS,
            catalog=self.catalog,
            store=reads,
            invoker=self.invoker,
            clock=self.clock,
            versions=Versions(self.catalog, reads),
            now=lambda: time.time() if self.now is None else self.now().timestamp(),
            warming=Warming(self.invoker, "shard-search", megabytes=self.warm_up_mb),
        )

    def post(self, path: str, body: object, *, router: Router | None = None, left_ms: float = 29_000) -> Answer:
        """Sends a search to the router as API Gateway would."""
        self._router = router or self._router or self.router()
        return self._sent("POST", path, {"body": orjson.dumps(body).decode()}, left_ms)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Asks the router for items as API Gateway would."""
        self._router = self._router or self.router()
        return self._sent("GET", path, {"body": None, "queryStringParameters": dict(query or {}) or None}, 29_000)

    def _sent(self, method: str, path: str, more: Mapping[str, Any], left_ms: float) -> Answer:
        serving = self._router
        assert serving is not None
        event = recorded("http_api_v2") | dict(more)
        event["rawPath"] = event["requestContext"]["http"]["path"] = (
            f"/v1/collections/{NAME}{'' if path.startswith('@') else '/'}{path}"
        )
        event["requestContext"]["http"]["method"] = method
        raw = http.respond(
            event,
            lambda: serving,
            observer=Observer(f"lake-{next(_NUMBERS)}", stream=self.log),
            request_id="r-1",
            deadline=Deadline.after(left_ms, clock=self.clock),
        )
        return Answer(raw["statusCode"], raw["headers"], raw["body"])

    def search(self, **body: Any) -> dict[str, Any]:
        """Searches over HTTP; the answer must be 200."""
        answer = self.post("search", body)
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def ids(self, **body: Any) -> list[str]:
        """Returns the ids that a search finds."""
        return [hit["id"] for hit in self.search(**body)["hits"]]


def queued(build_id: str) -> BuildRow:
    """Returns the row that the api writes for a new build."""
    return BuildRow(
        build_id=build_id,
        state=BuildState.QUEUED,
        progress=0.0,
        stage="queued",
        version=None,
        error=None,
        created_at=EPOCH,
        updated_at=EPOCH,
    )


def ref(row: ShardRow) -> ShardRef:
    """Returns what the router tells a leaf of a shard."""
    return ShardRef(shard_id=row.shard_id, key=row.key, bytes=row.bytes, tail_offset=row.footer_offset)


def by_shard(
    leaf: Callable[[bytes], bytes], special: Mapping[int, Callable[[bytes], bytes]]
) -> Callable[[bytes], bytes]:
    """Returns a shard_search function that is another one for some shards."""

    def dispatch(payload: bytes) -> bytes:
        shard_id = int(orjson.loads(payload)["shards"][0]["shard_id"])
        return special.get(shard_id, leaf)(payload)

    return dispatch


def unit_rows(rows: int, dimension: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Returns (rows, dimension) seeded float32 unit vectors."""
    drawn = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
