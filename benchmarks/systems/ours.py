"""Shardlake in process. The one file of the benchmarks that knows our message shapes.

`Leaf` times the shard-search service alone, asked what the router would ask of it; `Routed` times a whole search, from
the bytes of the body to the bytes of the answer, through the router and JSON both ways.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from benchmarks.corpus import Vectors
from benchmarks.memory_build import NAME, SPACE, Built
from functions.router.service import Router
from functions.router.versions import Versions
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import LeafAnswer, LeafReply, LeafRequest, LeafStats, ShardRef, WarmUp
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.deadline import Deadline
from shardlake.engine.attributes import ShardAttributes
from shardlake.errors import ShardlakeError
from shardlake.observability import Observer
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore

K = 10
_LEAF = "shard-search"
_TIMEOUT_MS = 600_000
_COUNTERS = ("lists_probed", "codes_scanned", "rows_refined", "rows_passing", "object_reads", "bytes_read")


def body(query: Vectors | None, mask: str | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Returns the body of a search for ids and scores of the K nearest."""
    asked = {} if query is None else {"query": {"vector": {SPACE: query.tolist()}}}
    passing = {} if mask is None else {"filter": {mask: True}}
    return {**asked, **passing, "k": K, "include": ["scores"], "timeout_ms": 29_000, **more}


class _Inline:
    """The invoke port without threads: a switch between threads costs more than a search."""

    def __init__(self, function: Callable[[bytes], bytes]) -> None:
        self._function = function

    def invoke(self, function: str, payload: bytes, *, deadline: Deadline) -> bytes:
        """Calls the one function there is."""
        return self._function(payload)

    def invoke_many(
        self, function: str, payloads: Sequence[bytes], *, deadline: Deadline
    ) -> list[bytes | ShardlakeError]:
        """Calls it once a payload."""
        return [self._function(payload) for payload in payloads]

    def start(self, function: str, payload: bytes) -> None:
        """Calls it, and nobody hears the answer."""
        self._function(payload)


class Service:
    """Router and leaf over stores, in one process, knowing nothing yet."""

    def __init__(
        self, built: Built, *, router_store: ObjectStore | None = None, leaf_store: ObjectStore | None = None
    ) -> None:
        self.leaf = ShardSearch(ShardCache(leaf_store or built.store, max_bytes=1 << 40), clock=time.monotonic)
        self._invoker = _Inline(self._answer)
        self._asked: LeafRequest | None = None
        self._is_dry = False
        reads = router_store or built.store
        self._router = Router(
            settings=Settings(bucket="bench", shard_search_function=_LEAF, encode_function="encode", memory_mb=1024),
            catalog=built.catalog,
            store=reads,
            invoker=self._invoker,
            clock=time.monotonic,
            versions=Versions(built.catalog, reads),
        )
        self._observer = Observer("bench", stream=io.StringIO())

    def search(self, *bodies: bytes) -> list[dict[str, Any]]:
        """Answers the bytes of bodies, as one batch. Raises what went wrong."""
        with self._observer.invocation("search", request_id="bench") as line:
            limit = Deadline.after(_TIMEOUT_MS, clock=time.monotonic)
            outcomes = self._router.search(NAME, [orjson.loads(raw) for raw in bodies], line, limit)
        answers = []
        for outcome in outcomes:
            if isinstance(outcome, ShardlakeError):
                raise outcome
            assert not outcome["partial"], outcome
            answers.append(outcome)
        orjson.dumps(answers)
        return answers

    def leaf_request(self, *bodies: bytes) -> LeafRequest:
        """Returns what the router asks of the leaf for bodies; the leaf does not hear of it. Requires: one shard."""
        self._asked, self._is_dry = None, True
        try:
            self.search(*bodies)
        finally:
            self._is_dry = False
        assert self._asked is not None, "the router asked no shard"
        return self._asked

    def warm_up(self, request: LeafRequest) -> None:
        """Reads all of the shard, as every container does behind its first answer."""
        whole = WarmUp(budget_ms=_TIMEOUT_MS, budget_bytes=1 << 40)
        held = self.leaf.search(replace(request, searches=(), timeout_ms=_TIMEOUT_MS, warm=whole)).held
        assert held is not None
        assert held.complete, held

    def forget_filters(self) -> None:
        """Makes the next filter one that this container has never met; lists and refine rows stay.

        Reaches into the opened shards: no user can ask for this, and no caller of the service needs it.
        """
        for shard in self.leaf._cache._shards.values():
            shard.attributes = ShardAttributes(shard.header)

    def _answer(self, payload: bytes) -> bytes:
        request = decode_request(orjson.loads(payload))
        self._asked = request
        if self._is_dry:
            return encode_reply(LeafReply(answers=tuple(LeafAnswer() for _ in request.searches)))
        return encode_reply(self.leaf.search(request))


class Leaf:
    """The shard-search service, its filter met before (`warm`) or never (`first`)."""

    def __init__(
        self,
        service: Service,
        name: str = "shardlake",
        more: Mapping[str, Any] | None = None,
        *,
        first: bool = False,
    ) -> None:
        self.name = f"{name}, filter new" if first else name
        self._service = service
        self._first = first
        self._more = dict(more or {})

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], LeafReply]:
        """Returns the search."""
        request = self._service.leaf_request(orjson.dumps(body(query, mask, **self._more)))
        return lambda: self._service.leaf.search(request)

    def settle(self) -> None:
        """Lets the filter be a new one, where that is what is measured."""
        if self._first:
            self._service.forget_filters()

    def ids(self, answer: LeafReply) -> list[int]:
        """Returns the rows."""
        return ids_of(answer)[0]

    def counters(self, answer: LeafReply) -> dict[str, int]:
        """Returns the leaf's own counters."""
        return {name: getattr(answer.answers[0].stats, name, 0) for name in _COUNTERS}


class Routed:
    """A whole search in process, filter met before."""

    name = "shardlake, whole path"

    def __init__(self, service: Service) -> None:
        self._service = service

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], dict[str, Any]]:
        """Returns the search."""
        raw = orjson.dumps(body(query, mask))
        return lambda: self._service.search(raw)[0]

    def settle(self) -> None:
        """Nothing to do."""

    def ids(self, answer: Mapping[str, Any]) -> list[int]:
        """Returns the rows."""
        return [int(hit["id"]) for hit in answer["hits"]]

    def counters(self, answer: Mapping[str, Any]) -> dict[str, int]:
        """Returns the answer's own counters."""
        return {name: answer["stats"][name] for name in _COUNTERS if name in answer["stats"]}


def learned(built: Built) -> tuple[Vectors, Vectors]:
    """Returns (lists, d) centroids and (m, 16, 2) codewords of the one shard. Requires: its codes have no transform."""
    (row,) = built.shards
    ref = ShardRef(shard_id=row.shard_id, key=row.key, bytes=row.bytes, tail_offset=row.footer_offset)
    cache = ShardCache(built.store, max_bytes=1 << 30)
    opened = cache.open(ref, Deadline.after(_TIMEOUT_MS, clock=time.monotonic), LeafStats())
    assert f"transform/{SPACE}" not in opened.header.arrays
    lists = opened.space(SPACE).lists
    lists.read_centroids(opened.reader(LeafStats()))
    return lists.centroids, opened.header.arrays[f"codewords/{SPACE}"]


def plan_of(request: LeafRequest) -> tuple[int, int]:
    """Returns how many lists the first search of a request probes, and how many rows it refines."""
    search: Any = request.searches[0]
    source = search.vectors[0] if isinstance(getattr(search, "vectors", None), tuple) else search
    return source.nprobe if source.lists is None else len(source.lists), source.candidates


def ids_of(reply: LeafReply) -> list[list[int]]:
    """Returns the rows that each search of a request found."""
    for answer in reply.answers:
        if answer.error is not None:
            raise answer.error
    return [[int(hit.id) for hit in answer.hits] for answer in reply.answers]
