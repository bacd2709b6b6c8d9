"""The encode service with the embedded model and a store in memory, and its HTTP door on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from encode_requests import BUCKET, PICTURE

from functions.encode.server import EncodeServer
from functions.encode.service import EncodeService
from shardlake.encoders.registry import EncoderRegistry, parse_encoders
from shardlake.testing.clock import ManualClock
from shardlake.testing.memory_store import MemoryStore


@pytest.fixture(scope="session")
def registry() -> EncoderRegistry:
    """The embedded model, loaded once for all tests."""
    return EncoderRegistry(parse_encoders("clip,absent", "/nonexistent"), threads=1)


@pytest.fixture
def store() -> MemoryStore:
    """A bucket with one picture in its inbox, and one elsewhere."""
    store = MemoryStore()
    store.put("inbox/shop/a.png", PICTURE)
    store.put("data/private.png", PICTURE)
    store.put("inbox/shop/notes.txt", b"not a picture")
    store.put("inbox/shop/huge.png", PICTURE + bytes(5 * 1024 * 1024))
    return store


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still unless a test moves it."""
    return ManualClock()


@pytest.fixture
def service(registry: EncoderRegistry, store: MemoryStore, clock: ManualClock) -> EncodeService:
    """The service behind both doors."""
    return EncodeService(registry=registry, store=store, bucket=BUCKET, clock=clock)


@pytest.fixture
def server(service: EncodeService) -> Iterator[EncodeServer]:
    """The HTTP door on a free loopback port."""
    with EncodeServer(service, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
