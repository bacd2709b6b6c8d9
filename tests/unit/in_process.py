"""The functions themselves behind a client, in one process and in memory: what is dropped is taken in at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from functions.api.service import answer
from functions.api.world import World as ApiWorld
from functions.build.service import Builds
from functions.ingest.service import take_batch
from functions.ingest.world import World as IngestWorld
from functions.router.http import respond
from functions.router.service import Router
from functions.router.versions import Versions
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.client import Client
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.testing import InProcessInvoker, MemoryCatalog, MemoryQueue, MemoryStore
from shardlake.testing.gateway import Event, Gateway, queue_event, s3_record

SETTINGS = Settings(
    bucket="bucket",
    encode_function="encode",
    build_function="build",
    router_function="router",
    shard_search_function="shard-search",
)
URL = "http://gateway.test"


@dataclass(slots=True)
class InProcess:
    """A deployment in memory. Started builds run when the client waits: `Client(…, sleep=deployment.sleep)`."""

    scratch: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    invoker: InProcessInvoker = field(default_factory=InProcessInvoker)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    delivered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        leaf = ShardSearch(ShardCache(self.store, max_bytes=1 << 28), clock=time.monotonic)
        self.invoker.functions["build"] = self._build
        self.invoker.functions["router"] = self._route
        self.invoker.functions["shard-search"] = lambda payload: encode_reply(
            leaf.search(decode_request(orjson.loads(payload)))
        )

    def client(self) -> Client:
        """Returns a client whose pauses are the time in which builds run."""
        return Client(URL, transport=self.gateway(), sleep=self.sleep)

    def gateway(self, router: Callable[[Event], dict[str, Any]] | None = None) -> Gateway:
        """Returns the door to the functions."""
        return Gateway(api=self._api, router=router or self._routed, store=self.store, on_put=self._ingest)

    def sleep(self, _seconds: float) -> None:
        self.invoker.run_started()

    def _api(self, event: Event) -> dict[str, Any]:
        world = ApiWorld(
            settings=SETTINGS,
            catalog=self.catalog,
            store=self.store,
            invoker=self.invoker,
            now=self._now,
            new_id=lambda: f"{next(self.numbers):012x}".ljust(20, "0") + f"{next(self.numbers):012x}",
            sleep=lambda seconds: self._deliver(),
        )
        return answer(event, lambda: world, observer=Observer("api"), request_id="r", deadline=_deadline())

    def _deliver(self) -> None:
        """Takes in what the api has written, in the order of writing: whoever waits lets the queue have its turn."""
        for key in [key for key in self.store.objects if "/.api/" in key and key not in self.delivered]:
            self.delivered.add(key)
            self._ingest(key)

    def _ingest(self, key: str) -> None:
        queue = MemoryQueue()
        world = IngestWorld(
            settings=SETTINGS,
            catalog=self.catalog,
            store=self.store,
            invoker=self.invoker,
            queue=queue,
            now=self._now,
        )
        record = s3_record(key, written_at=self._now().isoformat(), sequencer=f"{next(self.numbers):016X}")
        failed = take_batch(
            queue_event(record), lambda: world, observer=Observer("ingest"), request_id="r", deadline=_deadline()
        )
        assert failed == {"batchItemFailures": []}
        assert queue.waiting == [], "a file as large as that comes in parts"

    def _build(self, payload: bytes) -> bytes:
        event = orjson.loads(payload)
        builds = Builds(
            store=self.store,
            catalog=self.catalog,
            part_rows=1000,
            threads=1,
            clock=lambda: self._now().isoformat(),
        )
        builds.run(event["collection"], event["build_id"], scratch=self.scratch)
        return b"{}"

    def _now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def _route(self, payload: bytes) -> bytes:
        return orjson.dumps(self._routed(orjson.loads(payload)))

    def _routed(self, event: Event) -> dict[str, Any]:
        router = Router(
            settings=SETTINGS,
            catalog=self.catalog,
            store=self.store,
            invoker=self.invoker,
            clock=time.monotonic,
            versions=Versions(self.catalog, self.store),
        )
        return respond(event, lambda: router, observer=Observer("router"), request_id="r", deadline=_deadline())


def _deadline() -> Deadline:
    return Deadline.after(60_000, clock=time.monotonic)
