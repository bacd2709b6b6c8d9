"""One search request through the router: parse, pin a version, embed, plan, fan out, merge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.router import answer, shadow
from functions.router.answer import Costs
from functions.router.embed import Embedded, Vectors, embed
from functions.router.examples import example_vectors, lookups
from functions.router.expiry import as_of
from functions.router.fanout import Gathered, Told, Wanted, fan_out
from functions.router.hits import joined, missing_hits, more_groups
from functions.router.plan import Plan, plan
from functions.router.request import Asked, parse_search
from functions.router.snapshots import Snapshots
from functions.router.terms import Terms
from functions.router.timing import Timer, deadline_of
from functions.router.versions import Version, Versions
from functions.router.warming import Warming
from shardlake import limits
from shardlake.catalog.base import Catalog
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.encode import DESCRIBE, EncoderInfo, decode_description
from shardlake.contracts.media import inbox_of
from shardlake.contracts.shard import LeafSearch
from shardlake.deadline import Clock, Deadline
from shardlake.errors import ErrorKind, NotFound, ShardlakeError
from shardlake.observability import Line
from shardlake.rpc.base import Invoker
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema

Outcome = dict[str, Any] | ShardlakeError
Further = Callable[[Asked, Plan, Mapping[int, Mapping[str, Any]]], Mapping[int, LeafSearch]]
"""What is to be asked once more, given what shards have answered: by shard."""

MORE_GROUPS_ROUNDS = 3  # in which a scan looks for further groups; each finds at least one where there is any


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """The service behind search. One a process.

    Attributes:
        clock: seconds from any moment, for deadlines. now: seconds since 1970, for `now()` and for what has expired.
        warming: without it shards that answered cold stay as they are.
    """

    settings: Settings
    catalog: Catalog
    store: ObjectStore
    invoker: Invoker
    clock: Clock
    versions: Versions
    now: Clock = time.time
    warming: Warming | None = None
    draw: Callable[[], float] = lambda: 1.0  # in [0, 1): which answers are checked (`shadow`); by default none
    _encoders: dict[str, EncoderInfo] = field(default_factory=dict)
    _terms: list[Terms] = field(default_factory=list)
    _snapshots: list[Snapshots] = field(default_factory=list)

    @property
    def snapshots(self) -> Snapshots:
        """What reads collections and their snapshots, and keeps what it has read."""
        if not self._snapshots:
            self._snapshots.append(Snapshots(self.catalog, self.clock))
        return self._snapshots[0]

    def search(
        self,
        collection: str,
        bodies: Sequence[dict[str, Any]],
        line: Line,
        limit: Deadline,
        *,
        pinned: str | None = None,
    ) -> list[Outcome]:
        """Answers searches of one collection with one fan-out; the outcome of each, in order.

        Args:
            collection: its name, or name@snapshot.
            bodies: of the searches; they share the shortest of their timeouts.
            line: takes what is to be logged.
            limit: the latest time at which the function itself must answer.
            pinned: the name of the snapshot to be searched, instead of the current one.

        Raises:
            NotFound: collection-not-found. Unavailable: when catalog or store fail.
        """
        timer = Timer(self.clock)
        deadline = deadline_of(bodies, limit, self.clock)
        with timer.phase("plan"):
            found = self.snapshots.find(collection, eventual=all(map(_is_eventual, bodies)))
            row, current = found.row, found.current
            schema = schema_of_body(row.body)
            parsed = [self._parsed(body, schema, row.uid, deadline) for body in bodies]
        outcomes: dict[int, Outcome] = {n: one for n, one in enumerate(parsed) if isinstance(one, ShardlakeError)}
        asked = {number: one for number, one in enumerate(parsed) if isinstance(one, Asked)}
        for name, numbers in _by_snapshot(asked, found.name if pinned is None else pinned).items():
            part = {number: asked[number] for number in numbers}
            snapshot = None if name is None else self.snapshots.named(row.uid, name, current)
            if snapshot is None:
                outcomes |= {number: _unversioned(one, name, timer) for number, one in part.items()}
            else:
                opened = self.versions.get(row.uid, snapshot, schema, deadline, spaces=_probing(part))
                version = as_of(opened, schema, self.now())
                outcomes |= _Request(self, part, version, timer, deadline).run(line)
        ordered = [outcomes[number] for number in range(len(bodies))]
        _describe(line, ordered)
        shadow.start_some(self, collection, current, list(zip(bodies, ordered, strict=True)), line)
        return ordered

    def _parsed(
        self, body: dict[str, Any], schema: CollectionSchema, uid: str, deadline: Deadline
    ) -> Asked | ShardlakeError:
        try:
            several = sum(space.encoder is not None for space in schema.stored_spaces) > 1
            encoders = self._known_encoders(deadline) if several else {}
            inbox = inbox_of(self.settings.bucket)
            return parse_search(body, schema, encoders, inbox=inbox, uid=uid, now_s=self.now())
        except ShardlakeError as error:
            return error

    def _known_encoders(self, deadline: Deadline) -> dict[str, EncoderInfo]:
        if not self._encoders:
            answered = self.invoker.invoke(self.settings.encode_function, DESCRIBE, deadline=deadline)
            self._encoders.update(decode_description(answered))
        return self._encoders

    def terms(self) -> Terms:
        """Returns the frequencies of terms that this process keeps."""
        if not self._terms:
            self._terms.append(Terms(self.store))
        return self._terms[0]


@dataclass(frozen=True, slots=True)
class _Request:
    """The searches of one request that see one version."""

    router: Router
    asked: Mapping[int, Asked]
    version: Version
    timer: Timer
    deadline: Deadline

    def run(self, line: Line) -> dict[int, Outcome]:
        """Returns the outcome of each search, by number."""
        costs = Gathered()
        with self.timer.phase("shards"):
            examples, failed = self._examples(costs)
        going = {number: one for number, one in self.asked.items() if number not in failed}
        with self.timer.phase("encode"):
            embedded = self._embedded(going, examples)
        failed |= embedded.failed
        with self.timer.phase("plan"):
            plans = self._plans(going, embedded, failed)
        with self.timer.phase("shards"):
            told = self._told(plans, costs)
        with self.timer.phase("merge"):
            shown = self._costs(costs, embedded.calls)
            version = self.version.name
            outcomes: dict[int, Outcome] = dict(failed)
            for number, one in plans.items():
                outcomes[number] = answer.compose(self.asked[number], one, told[number], version, shown)
        line.add(version=version, invocations=costs.invocations, cold_starts=costs.cold_starts)
        if self.router.warming is not None and costs.opened:
            cold = [row for row in self.version.shards if row.shard_id in costs.opened]
            line.add(warm_ups=self.router.warming.start(cold))
        return outcomes

    def _fan_out(self, wanted: Wanted) -> Gathered:
        call = self.router.invoker, self.router.settings.shard_search_function, self.deadline
        return fan_out(wanted, self.version, call)

    def _examples(self, costs: Gathered) -> tuple[dict[int, Vectors], dict[int, ShardlakeError]]:
        wanted = lookups(self.asked, self.version)
        gathered = self._fan_out(wanted)
        costs.count(gathered)
        made = {number: example_vectors(self.asked[number], list(gathered.told(number).values())) for number in wanted}
        failed = {number: one for number, one in made.items() if isinstance(one, ShardlakeError)}
        return {number: one for number, one in made.items() if not isinstance(one, ShardlakeError)}, failed

    def _embedded(self, going: Mapping[int, Asked], examples: Mapping[int, Vectors]) -> Embedded:
        call = self.router.invoker, self.router.settings.encode_function, self.deadline
        return embed(going, examples, call, self.version.digests)

    def _plans(
        self, going: Mapping[int, Asked], embedded: Embedded, failed: dict[int, ShardlakeError]
    ) -> dict[int, Plan]:
        plans: dict[int, Plan] = {}
        for number, queries in embedded.queries.items():
            one = going[number]
            try:
                match = self.router.terms().source(one, self.version, self.deadline)
            except ShardlakeError as error:
                failed[number] = error
                continue
            plans[number] = plan(one, queries, match, self.version, self.router.versions, self.deadline)
        return plans

    def _told(self, plans: Mapping[int, Plan], costs: Gathered) -> dict[int, dict[int, Told]]:
        """Returns what the shards said, further rounds for groups included, by search and shard."""
        gathered = self._fan_out({number: one.leaves for number, one in plans.items()})
        costs.count(gathered)
        told = {number: gathered.told(number) for number in plans}
        for _ in range(MORE_GROUPS_ROUNDS):
            if not self._ask_again(more_groups, plans, told, costs):
                break
        self._ask_again(missing_hits, plans, told, costs)
        return told

    def _ask_again(
        self, further: Further, plans: Mapping[int, Plan], told: dict[int, dict[int, Told]], costs: Gathered
    ) -> bool:
        """Asks what `further` says, adds the answers to `told`, and returns whether there was anything new in them."""
        wanted: dict[int, Mapping[int, LeafSearch]] = {}
        for number, one in plans.items():
            answers = {s: body for s, body in told[number].items() if not isinstance(body, ShardlakeError)}
            if more := further(self.asked[number], one, answers):
                wanted[number] = more
        gathered = self._fan_out(wanted)
        costs.count(gathered)
        for (number, shard), body in gathered.answers.items():
            told[number][shard] = joined(told[number][shard], body)
        return any(isinstance(body, dict) and body["hits"] for body in gathered.answers.values())

    def _costs(self, gathered: Gathered, encodes: int) -> Costs:
        took_ms = self.timer.total()
        own = took_ms["total"] / 1000 * self.router.settings.memory_mb / 1024
        return Costs(
            invocations=1 + encodes + gathered.invocations,
            cold_starts=gathered.cold_starts,
            gb_seconds=own + gathered.gb_seconds,
            took_ms=took_ms,
        )


def _probing(asked: Mapping[int, Asked]) -> set[str]:
    """Returns the spaces whose lists the router will choose, as far as that is known before the manifest is read."""
    chosen = [one for one in asked.values() if one.filter is None and one.request.recall < 1]
    spaces = [one.space for search in chosen for one in search.spaces]
    return {space.name for space in spaces if not space.is_hashed}


def _by_snapshot(asked: Mapping[int, Asked], current: str | None) -> dict[str | None, list[int]]:
    """Returns which searches see which snapshot: the current one, or that of their cursor; None: there is none."""
    found: dict[str | None, list[int]] = {}
    for number, one in asked.items():
        found.setdefault(current if one.cursor is None else one.cursor.version, []).append(number)
    return found


def _is_eventual(body: Mapping[str, Any]) -> bool:
    return body.get("consistency") == "eventual"


def _unversioned(asked: Asked, name: str | None, timer: Timer) -> Outcome:
    if name is not None:
        return NotFound(
            "there is no such version, or it is gone: without a cursor and an @ the current one is searched",
            kind=ErrorKind.VERSION_NOT_FOUND,
            version=name[: limits.MAX_NAME_LENGTH],
        )
    return answer.empty(asked, Costs(invocations=1, cold_starts=0, gb_seconds=0.0, took_ms=timer.total()))


def _describe(line: Line, outcomes: Sequence[Outcome]) -> None:
    answers = [outcome for outcome in outcomes if not isinstance(outcome, ShardlakeError)]
    line.add(
        searches=len(outcomes),
        failed_searches=len(outcomes) - len(answers),
        shards_failed=sum(len(body["shards"]["failed"]) for body in answers),
        codes_scanned=sum(body["stats"]["codes_scanned"] for body in answers),
        rows_passing=sum(body["stats"]["rows_passing"] for body in answers),
        bytes_read=sum(body["stats"]["bytes_read"] for body in answers),
    )
