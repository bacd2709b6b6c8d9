"""The leaf: opens shards, keeps them within a bound of bytes, and answers searches of them. Failures are data."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from functions.shard_search.best import best_of_all
from functions.shard_search.cache import ShardCache, told_lists
from shardlake.contracts.shard import (
    Expiry,
    Held,
    LeafAnswer,
    LeafReply,
    LeafRequest,
    LeafSearch,
    LeafStats,
    Overwrites,
    ShardRef,
    WarmUp,
)
from shardlake.deadline import Clock, Deadline
from shardlake.engine.hidden import LiveRows
from shardlake.engine.shard import OpenShard
from shardlake.errors import ErrorKind, FormatError, InvalidInput, ShardlakeError


class _Asked(NamedTuple):
    """What is asked of one of the shards of a request."""

    ref: ShardRef
    searches: tuple[LeafSearch, ...]
    overwrites: tuple[Overwrites, ...]
    expiry: Expiry | None
    deadline: Deadline


class ShardSearch:
    """The service behind shard_search. One a process; not safe for two requests at once, and Lambda never sends two."""

    def __init__(self, cache: ShardCache, *, clock: Clock, memory_mb: int = 0) -> None:
        self._cache = cache
        self._memory_gb = memory_mb / 1024
        self._clock = clock
        self._cold = True

    def search(self, request: LeafRequest) -> LeafReply:
        """Answers every search of every shard; one that fails carries its error and leaves the others alone.

        Raises:
            ShardlakeError: whatever a warm-up fails with; nobody waits for it.
        """
        began_s = self._clock()
        deadline = Deadline.after(request.timeout_ms, clock=self._clock)
        closed = [ref for ref in request.shards if not self._cache.holds(ref.key)]
        answers = self._of_shards(request, deadline)
        held = None if request.warm is None else self._warm_up(request.shards[0], request.warm)
        self._cache.settle()
        cold, self._cold = self._cold, False
        took_s = self._clock() - began_s
        gb_seconds = round(took_s * self._memory_gb, 9)
        return LeafReply(
            answers=answers,
            cold_start=cold,
            opened=tuple([ref.shard_id for ref in closed if self._cache.holds(ref.key)]),
            held=held,
            took_ms=took_s * 1000,
            gb_seconds=gb_seconds,
        )

    def _of_shards(self, request: LeafRequest, deadline: Deadline) -> tuple[LeafAnswer, ...]:
        asked = [_Asked(ref, request.searches, request.overwrites, request.expiry, deadline) for ref in request.shards]
        if len(asked) == 1:
            return self._answers(asked[0])
        best = best_of_all(request.searches, [self._answers(one) for one in asked])
        return tuple(chain.from_iterable(best))

    def _warm_up(self, ref: ShardRef, warm: WarmUp) -> Held:
        deadline = Deadline.after(warm.budget_ms, clock=self._clock)
        try:
            return self._cache.warm_up(ref, deadline, warm.budget_bytes)
        except FormatError:
            self._cache.forget(ref.key)
            raise

    def _open(self, asked: _Asked, stats: LeafStats) -> tuple[OpenShard, LiveRows | None]:
        """Returns the shard, and which of its rows are not hidden; None for all."""
        told = () if self._cache.holds(asked.ref.key) else told_lists(asked.searches)
        opened = self._cache.open(asked.ref, asked.deadline, stats, told)
        if not asked.overwrites and asked.expiry is None:
            return opened, None
        live = self._cache.live(opened, asked.ref, asked.overwrites, asked.expiry, asked.deadline, stats)
        return opened, live

    def _answers(self, asked: _Asked) -> tuple[LeafAnswer, ...]:
        if len(asked.searches) < 2:
            return tuple([self._answer(asked, search) for search in asked.searches])
        shared = LeafStats()
        together = self._together(asked, shared)
        answers = tuple(
            together.get(number) or self._answer(asked, search) for number, search in enumerate(asked.searches)
        )
        for answer in [answer for answer in answers if answer.error is None][:1]:
            _add(answer.stats, shared)
        return answers

    def _together(self, asked: _Asked, stats: LeafStats) -> dict[int, LeafAnswer]:
        try:
            asked.deadline.check("search the shard")
            opened, live = self._open(asked, stats)
            together = opened.search_together(asked.searches, stats, asked.deadline, live)
        except ShardlakeError as error:
            # One of them is wrong, or a read failed: each is then searched by itself and says what is wrong with it.
            self._let_go(asked.ref.key, error)
            return {}
        self._trim_after(stats)
        return together

    def _answer(self, asked: _Asked, search: LeafSearch) -> LeafAnswer:
        stats = LeafStats()
        try:
            asked.deadline.check("search the shard")
            opened, live = self._open(asked, stats)
            answer = opened.search(search, asked.deadline, stats, live)
        except ShardlakeError as error:
            self._let_go(asked.ref.key, error)
            return LeafAnswer(error=error)
        self._trim_after(stats)  # after each: a batch may read more than fits
        return answer

    def _let_go(self, key: str, error: ShardlakeError) -> None:
        if isinstance(error, FormatError):
            # What is broken may be another object, of ids that are overwritten: the shard is as good as before.
            self._cache.forget(str(error.context.get("key", key)))
        self._cache.trim()

    def _trim_after(self, stats: LeafStats) -> None:
        if stats.bytes_read or stats.cache_bytes:
            self._cache.trim()


def _add(stats: LeafStats, more: LeafStats) -> None:
    stats.object_reads += more.object_reads
    stats.bytes_read += more.bytes_read
    stats.cache_reads += more.cache_reads
    stats.cache_bytes += more.cache_bytes


def bounded(reply: LeafReply, size_bytes: int, max_bytes: int) -> LeafReply:
    """Returns the reply, or one of the same number of errors when it is larger than a function may answer."""
    if size_bytes <= max_bytes:
        return reply
    error = InvalidInput(
        "the hits are larger than one answer may be: ask for a smaller k, or leave attributes and vectors out",
        kind=ErrorKind.ANSWER_TOO_LARGE,
    )
    return replace(reply, answers=tuple(LeafAnswer(error=error) for _ in reply.answers))
