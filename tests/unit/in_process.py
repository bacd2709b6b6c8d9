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
from shardlake.client import Client
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.testing import InProcessInvoker, MemoryCatalog, MemoryStore
from shardlake.testing.gateway import Event, Gateway, queue_event, s3_record

SETTINGS = Settings(bucket="bucket", encode_function="encode", build_function="build")
URL = "http://gateway.test"


@dataclass(slots=True)
class InProcess:
    """A deployment in memory. Started builds run when the client waits: `Client(…, sleep=deployment.sleep)`."""

    scratch: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    invoker: InProcessInvoker = field(default_factory=InProcessInvoker)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.invoker.functions["build"] = self._build

    def client(self) -> Client:
        """Returns a client whose pauses are the time in which builds run."""
        return Client(URL, transport=self.gateway(), sleep=self.sleep)

    def gateway(self, router: Callable[[Event], dict[str, Any]] | None = None) -> Gateway:
        """Returns the door to the functions."""
        return Gateway(api=self._api, router=router or self._no_router, store=self.store, on_put=self._ingest)

    def sleep(self, _seconds: float) -> None:
        self.invoker.run_started()

    def _api(self, event: Event) -> dict[str, Any]:
        world = ApiWorld(
            settings=SETTINGS,
            catalog=self.catalog,
            store=self.store,
            invoker=self.invoker,
            now=self._now,
            new_id=lambda: f"{next(self.numbers):012x}".ljust(32, "0"),
        )
        return answer(event, lambda: world, observer=Observer("api"), request_id="r", deadline=_deadline())

    def _ingest(self, key: str) -> None:
        world = IngestWorld(
            settings=SETTINGS, catalog=self.catalog, store=self.store, invoker=self.invoker, now=self._now
        )
        record = s3_record(key, written_at=self._now().isoformat(), sequencer=f"{next(self.numbers):016X}")
        failed = take_batch(
            queue_event(record), lambda: world, observer=Observer("ingest"), request_id="r", deadline=_deadline()
        )
        assert failed == {"batchItemFailures": []}

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

    @staticmethod
    def _no_router(_event: Event) -> dict[str, Any]:
        raise AssertionError("this test asks nothing of the router")


def _deadline() -> Deadline:
    return Deadline.after(60_000, clock=time.monotonic)
