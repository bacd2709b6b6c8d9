"""One search request through the router: parse, pin a version, embed, plan, fan out, merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from functions.router import answer, shadow
from functions.router.answer import Costs
from functions.router.embed import embed
from functions.router.fanout import Gathered, fan_out
from functions.router.plan import Plan, plan
from functions.router.request import Asked, parse_search
from functions.router.versions import Version, Versions
from functions.router.warming import Warming
from shardlake.catalog.base import Catalog, Pointer
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.common import is_name
from shardlake.contracts.encode import DESCRIBE, EncoderInfo, decode_description
from shardlake.contracts.media import inbox_of
from shardlake.deadline import Clock, Deadline
from shardlake.errors import ErrorKind, NotFound, ShardlakeError
from shardlake.limits import DEFAULT_TIMEOUT_MS
from shardlake.observability import Line
from shardlake.rpc.base import Invoker
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema

Outcome = dict[str, Any] | ShardlakeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """The service behind search. One a process. Without `warming` shards that answered cold stay as they are."""

    settings: Settings
    catalog: Catalog
    store: ObjectStore
    invoker: Invoker
    clock: Clock
    versions: Versions
    warming: Warming | None = None
    draw: Callable[[], float] = lambda: 1.0  # in [0, 1): which answers are checked (`shadow`); by default none
    _encoders: dict[str, EncoderInfo] = field(default_factory=dict)

    def search(
        self,
        collection: str,
        bodies: Sequence[dict[str, Any]],
        line: Line,
        limit: Deadline,
        *,
        pinned: Pointer | None = None,
    ) -> list[Outcome]:
        """Answers searches of one collection with one fan-out; the outcome of each, in order.

        Args:
            collection: its name.
            bodies: of the searches; they share the shortest of their timeouts.
            line: takes what is to be logged.
            limit: the latest time at which the function itself must answer.
            pinned: the version to search instead of the current one.

        Raises:
            NotFound: collection-not-found. Unavailable: when catalog or store fail.
        """
        timer = _Timer(self.clock)
        deadline = _deadline(bodies, limit, self.clock)
        if not is_name(collection):
            raise NotFound("there is no such collection", kind=ErrorKind.COLLECTION_NOT_FOUND)
        with timer.phase("plan"):
            row = self.catalog.get_collection(collection)
            schema = schema_of_body(row.body)
            asked = [self._parsed(body, schema, deadline) for body in bodies]
            pointer = pinned or self.catalog.pointer(row.uid)
        if pointer is None:
            costs = Costs(invocations=1, cold_starts=0, gb_seconds=0.0, took_ms=timer.total())
            return [a if isinstance(a, ShardlakeError) else answer.empty(None, costs) for a in asked]
        searched = [(a.space, a.filter) for a in asked if isinstance(a, Asked) and a.space is not None]
        probing = {space.name for space, passing in searched if passing is None and not space.is_hashed}
        version = self.versions.get(row.uid, pointer, deadline, spaces=probing)
        outcomes = self._run(asked, version, timer, deadline, line)
        shadow.start_some(self, collection, pointer, list(zip(bodies, outcomes, strict=True)), line)
        return outcomes

    def _parsed(self, body: dict[str, Any], schema: CollectionSchema, deadline: Deadline) -> Asked | ShardlakeError:
        try:
            several = sum(space.encoder is not None for space in schema.stored_spaces) > 1
            encoders = self._known_encoders(deadline) if several else {}
            return parse_search(body, schema, encoders, inbox=inbox_of(self.settings.bucket))
        except ShardlakeError as error:
            return error

    def _known_encoders(self, deadline: Deadline) -> dict[str, EncoderInfo]:
        if not self._encoders:
            answered = self.invoker.invoke(self.settings.encode_function, DESCRIBE, deadline=deadline)
            self._encoders.update(decode_description(answered))
        return self._encoders

    def _run(
        self, asked: Sequence[Asked | ShardlakeError], version: Version, timer: _Timer, deadline: Deadline, line: Line
    ) -> list[Outcome]:
        numbers = [number for number, search in enumerate(asked) if isinstance(search, Asked)]
        understood = [search for search in asked if isinstance(search, Asked)]
        digests = {space.name: space.encoder_digest for space in version.manifest.spaces}
        with timer.phase("encode"):
            vectors, encodes = embed(understood, self.invoker, self.settings.encode_function, deadline, digests)
        with timer.phase("plan"):
            plans = {
                number: plan(search, vector, version, self.versions, deadline)
                for number, search, vector in zip(numbers, understood, vectors, strict=True)
                if not isinstance(vector, ShardlakeError)
            }
        with timer.phase("shards"):
            gathered = fan_out(plans, version.shards, self.invoker, self.settings.shard_search_function, deadline)
        failed: dict[int, ShardlakeError] = {
            number: vector
            for number, vector in zip(numbers, vectors, strict=True)
            if isinstance(vector, ShardlakeError)
        }
        with timer.phase("merge"):
            costs = self._costs(gathered, encodes, timer)
            outcomes = [
                self._outcome(number, search, failed, plans, gathered, version, costs)
                for number, search in enumerate(asked)
            ]
        _describe(line, outcomes, gathered, version)
        if self.warming is not None and gathered.opened:
            cold = [row for row in version.shards if row.shard_id in gathered.opened]
            line.add(warm_ups=self.warming.start(cold))
        return outcomes

    def _outcome(  # noqa: PLR0917  # private: one caller
        self,
        number: int,
        search: Asked | ShardlakeError,
        failed: dict[int, ShardlakeError],
        plans: dict[int, Plan],
        gathered: Gathered,
        version: Version,
        costs: Costs,
    ) -> Outcome:
        if isinstance(search, ShardlakeError):
            return search
        if number in failed:
            return failed[number]
        told = {shard: gathered.answers[number, shard] for shard in plans[number].leaves}
        return answer.compose(search, plans[number], told, version.pointer.version, costs)

    def _costs(self, gathered: Gathered, encodes: int, timer: _Timer) -> Costs:
        took_ms = timer.total()
        own = took_ms["total"] / 1000 * self.settings.memory_mb / 1024
        return Costs(
            invocations=1 + encodes + gathered.invocations,
            cold_starts=gathered.cold_starts,
            gb_seconds=own + gathered.gb_seconds,
            took_ms=took_ms,
        )


class _Timer:
    """Milliseconds by phase; phases of one name add up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock()
        self._took_ms = {"encode": 0.0, "plan": 0.0, "shards": 0.0, "merge": 0.0}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began_s = self._clock()
        try:
            yield
        finally:
            self._took_ms[name] += (self._clock() - began_s) * 1000

    def total(self) -> dict[str, float]:
        return {"total": (self._clock() - self._began_s) * 1000, **self._took_ms}


def _deadline(bodies: Sequence[dict[str, Any]], limit: Deadline, clock: Clock) -> Deadline:
    # Read before the body is validated: a wrong one is refused below, and until then the default holds.
    stated = [body.get("timeout_ms") for body in bodies]
    valid = [value for value in stated if isinstance(value, int) and not isinstance(value, bool) and value > 0]
    asked = Deadline.after(min([*valid, DEFAULT_TIMEOUT_MS] if len(valid) < len(stated) else valid), clock=clock)
    return asked if asked.at_s < limit.at_s else limit


def _describe(line: Line, outcomes: Sequence[Outcome], gathered: Gathered, version: Version) -> None:
    answers = [outcome for outcome in outcomes if not isinstance(outcome, ShardlakeError)]
    line.add(
        version=version.pointer.version,
        searches=len(outcomes),
        failed_searches=len(outcomes) - len(answers),
        shards_failed=sum(len(body["shards"]["failed"]) for body in answers),
        invocations=gathered.invocations,
        cold_starts=gathered.cold_starts,
        codes_scanned=sum(body["stats"]["codes_scanned"] for body in answers),
        rows_passing=sum(told["stats"]["rows_passing"] for told in gathered.answers.values() if isinstance(told, dict)),
        bytes_read=sum(body["stats"]["bytes_read"] for body in answers),
    )
