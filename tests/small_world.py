"""The api, router and ingest functions in one process, on memory adapters; the encode function needs no model."""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import numpy as np
import orjson
from PIL import Image

from functions.api import service as api_service
from functions.api.world import World as ApiWorld
from functions.build import tracing
from functions.build.service import Builds
from functions.ingest import service as ingest_service
from functions.ingest.world import World as IngestWorld
from functions.router import http as router_http
from functions.router.service import Router
from functions.router.versions import Versions
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.patch import LOOKUP
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.contracts.trace import TRACE
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore
from shardlake.testing import InProcessInvoker, ManualClock, MemoryCatalog, MemoryQueue, MemoryStore
from shardlake.testing.gateway import goes_to_router

EVENTS = Path(__file__).parent / "events"
BUCKET = "lake"
_NUMBERS = itertools.count()
DIMENSIONS = {"clip": 8, "minilm": 4}
READS = {"clip": ["text", "image"], "minilm": ["text"]}
SETTINGS = Settings(
    bucket=BUCKET,
    catalog_table="catalog",
    shard_table="shards",
    encode_function="encode",
    build_function="build",
    router_function="router",
    shard_search_function="shard-search",
)
VECTORS = {"spaces": {"v": {"dimension": 4}}, "attributes": {"colour": {"type": "keyword"}, "price": {"type": "float"}}}
PICTURES = {"spaces": {"visual": {"encoder": "clip"}}, "attributes": {"colour": {"type": "keyword"}}}


def recorded(name: str) -> dict[str, Any]:
    """Returns a recorded AWS event."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway would send."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.text)

    @property
    def kind(self) -> str:
        return str(self.json["error"]["kind"])


@dataclass(slots=True)
class FakeEncode:
    """An encode function whose vectors are digests: the same medium gives the same unit vector."""

    store: MemoryStore
    batches: list[int] = field(default_factory=list)
    broken: dict[str, Any] | None = None
    digest: str = "0"

    def __call__(self, payload: bytes) -> bytes:
        message = orjson.loads(payload)
        if self.broken is not None:
            return orjson.dumps(self.broken)
        if message.get("describe"):
            return orjson.dumps({"encoders": [self._describe(name) for name in DIMENSIONS]})
        self.batches.append(len(message["inputs"]))
        rows = []
        for index, one in enumerate(message["inputs"]):
            try:
                rows.append(vector_of(self._content(one), DIMENSIONS[message["encoder"]]))
            except (OSError, KeyError, SyntaxError):
                details = {"index": index}
                error = {"kind": "invalid-media", "message": "the picture cannot be decoded", "details": details}
                return orjson.dumps({"error": error})
        matrix = np.asarray(rows, "<f4")
        model = {"encoder": message["encoder"], "name": "fake", "digest": self.digest}
        vectors = b64encode(matrix.tobytes()).decode()
        return orjson.dumps({"vectors": vectors, "count": len(rows), "dimension": matrix.shape[1], "model": model})

    def _content(self, one: dict[str, Any]) -> bytes:
        if "text" in one:
            return str(one["text"]).encode()
        image = one["image"]
        data = b64decode(image["base64"]) if "base64" in image else self.store.objects[image["s3"].split("/", 3)[3]]
        Image.open(io.BytesIO(data)).load()
        return data

    def _describe(self, name: str) -> dict[str, Any]:
        return {"name": name, "dimension": DIMENSIONS[name], "modalities": READS[name], "digest": self.digest}


def vector_of(content: bytes, dimension: int) -> np.ndarray:
    """Returns the unit vector that FakeEncode makes of a medium."""
    seed = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class SmallWorld:
    """Both functions over one memory store and catalog. `call` is HTTP, `deliver` is the queue."""

    def __init__(
        self, *, wrap: Callable[[MemoryStore], ObjectStore] = lambda store: store, remaining_ms: float = 29_000
    ) -> None:
        self.objects = MemoryStore()
        self.store = wrap(self.objects)
        self.catalog = MemoryCatalog()
        self.encode = FakeEncode(self.objects)
        self.builds: list[dict[str, Any]] = []
        self.invoker = InProcessInvoker(
            {"encode": self.encode, "build": self._build, "router": self._route, "shard-search": self._leaf}
        )
        self.log = io.StringIO()
        # Loggers of one name share their stream, so each world has a name of its own.
        self.observer = Observer(f"small-world-{next(_NUMBERS)}", stream=self.log)
        self.clock = ManualClock()
        self.remaining_ms = remaining_ms
        self._ids = itertools.count(1)
        self._time = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self._sequence = itertools.count(1)
        ports: dict[str, Any] = {
            "settings": SETTINGS,
            "catalog": self.catalog,
            "store": self.store,
            "invoker": self.invoker,
            "now": self.now,
        }
        # Whoever waits lets the queue have its turn, and time pass.
        self.api = ApiWorld(**ports, new_id=lambda: f"{next(self._ids):032x}", sleep=self.idle)
        self.while_idle: Callable[[], object] = lambda: None
        self.leaf = ShardSearch(ShardCache(self.store, max_bytes=1 << 28), clock=self.clock)
        self.queue = MemoryQueue()
        self.ingest = IngestWorld(**ports, queue=self.queue)
        self.router = Router(
            settings=SETTINGS,
            catalog=self.catalog,
            store=self.store,
            invoker=self.invoker,
            clock=self.clock,
            versions=Versions(self.catalog, self.store),
            now=lambda: self._time.timestamp(),
        )

    def now(self) -> datetime:
        self._time += timedelta(seconds=1)
        return self._time

    def wait(self, time: timedelta) -> None:
        """Passes time of day."""
        self._time += time

    def call(
        self, method: str, path: str, body: object = None, *, query: dict[str, str] | None = None, base64: bool = False
    ) -> Answer:
        """Sends one request as API Gateway would. A body of bytes or str travels as it is, anything else as JSON."""
        event = recorded("http_api_v2")
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["requestContext"]["http"]["method"] = method
        if query:
            event["queryStringParameters"] = query
            event["rawQueryString"] = urlencode(query)
        if body is not None:
            data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
            event["isBase64Encoded"] = base64
            event["body"] = b64encode(data).decode() if base64 else data.decode("utf-8", "surrogateescape")
        return self.send(event)

    def send(self, event: dict[str, Any]) -> Answer:
        """Sends a gateway event to the function that the gateway's routes name."""
        deadline = Deadline.after(self.remaining_ms, clock=self.clock)
        told: dict[str, Any] = {"observer": self.observer, "request_id": "r-1", "deadline": deadline}
        said = (event.get("requestContext") or {}).get("http") or {}
        if goes_to_router(said.get("method", ""), event.get("rawPath", "")):
            raw = router_http.respond(event, lambda: self.router, **told)
        else:
            raw = api_service.answer(event, lambda: self.api, **told)
        assert raw["isBase64Encoded"] is False
        return Answer(raw["statusCode"], raw["headers"], raw["body"])

    def create(self, name: str, schema: object) -> None:
        """Creates a collection."""
        assert self.call("PUT", f"/v1/collections/{name}", schema).status == 201

    def drop(self, key: str, body: bytes) -> dict[str, Any]:
        """Writes an object to the bucket and returns the queue's event of it."""
        self.objects.put(key, body)
        return self.event(key)

    def event(self, *keys: str) -> dict[str, Any]:
        """Returns a queue event with a message a key, each a new write of that key."""
        event = recorded("sqs")
        (template,) = event["Records"]
        event["Records"] = []
        for number, key in enumerate(keys):
            notification = recorded("s3_put")
            entry = notification["Records"][0]
            entry["eventTime"] = self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            entry["s3"]["object"]["key"] = quote_plus(key, safe="/")
            entry["s3"]["object"]["sequencer"] = f"{next(self._sequence):018X}"
            message = copy.deepcopy(template)
            message["messageId"] = f"m-{number}"
            message["body"] = json.dumps(notification)
            event["Records"].append(message)
        return event

    def deliver(self, event: dict[str, Any]) -> list[str]:
        """Has a queue event taken in, and returns the ids of the messages to be delivered again."""
        deadline = Deadline.after(self.remaining_ms, clock=self.clock)
        reply = ingest_service.take_batch(
            event, lambda: self.ingest, observer=self.observer, request_id="r-2", deadline=deadline
        )
        return [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]

    def work_off(self) -> list[str]:
        """Has all that waits in the queue taken in, what comes of it too; returns what must be delivered again."""
        again: list[str] = []
        while self.queue.waiting:
            bodies, self.queue.waiting = self.queue.waiting, []
            again += [body for body in bodies if self.deliver(self.message(body))]
        return again

    def message(self, body: str) -> dict[str, Any]:
        """Returns the queue's event of one message."""
        event = recorded("sqs")
        event["Records"][0] |= {"messageId": "m-0", "body": body}
        return event

    def lines(self) -> list[dict[str, Any]]:
        """Returns the log lines written so far."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def keys(self, prefix: str) -> list[str]:
        """Returns the keys below a prefix."""
        return sorted(key for key in self.objects.objects if key.startswith(prefix))

    def pass_time(self, span: timedelta) -> None:
        """Lets days go by."""
        self._time += span

    def idle(self, seconds: float) -> None:
        """Passes time; what is to happen meanwhile happens."""
        self.clock.advance(seconds)
        self.while_idle()

    def _route(self, payload: bytes) -> bytes:
        deadline = Deadline.after(self.remaining_ms, clock=self.clock)
        told: dict[str, Any] = {"observer": self.observer, "request_id": "r-3", "deadline": deadline}
        event = orjson.loads(payload)
        serve = router_http.lookup if LOOKUP in event else router_http.respond
        return orjson.dumps(serve(event, lambda: self.router, **told))

    def _leaf(self, payload: bytes) -> bytes:
        return encode_reply(self.leaf.search(decode_request(orjson.loads(payload))))

    def _build(self, payload: bytes) -> bytes:
        """The build function: it traces, and notes what else it is asked for."""
        event = orjson.loads(payload)
        if TRACE in event:
            builds = Builds(
                store=self.objects,
                catalog=self.catalog,
                part_rows=1_000,
                threads=1,
                clock=lambda: self.now().isoformat(),
            )
            found = tracing.respond(event, lambda: builds, observer=self.observer, request_id="r-4")
            return orjson.dumps(found)
        self.builds.append(event)
        return b"{}"


def picture(colour: str = "red", *, kind: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    """Returns a small picture's bytes."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()
