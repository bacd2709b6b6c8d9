"""The leaf: opens shards, keeps them within a bound of bytes, and answers searches of them. Failures are data."""

from __future__ import annotations

from dataclasses import replace

from functions.shard_search.cache import ShardCache, told_lists
from shardlake.contracts.shard import (
    Held,
    LeafAnswer,
    LeafReply,
    LeafRequest,
    LeafSearch,
    LeafStats,
    ShardRef,
    WarmUp,
)
from shardlake.deadline import Clock, Deadline
from shardlake.engine.shard import OpenShard
from shardlake.errors import ErrorKind, FormatError, InvalidInput, ShardlakeError


class ShardSearch:
    """The service behind shard_search. One a process; not safe for two requests at once, and Lambda never sends two."""

    def __init__(self, cache: ShardCache, *, clock: Clock, memory_mb: int = 0) -> None:
        self._cache = cache
        self._memory_gb = memory_mb / 1024
        self._clock = clock
        self._cold = True

    def search(self, request: LeafRequest) -> LeafReply:
        """Answers every search of a request; one that fails carries its error and leaves the others alone.

        Raises:
            ShardlakeError: whatever a warm-up fails with; nobody waits for it.
        """
        began_s = self._clock()
        deadline = Deadline.after(request.timeout_ms, clock=self._clock)
        was_held = self._cache.holds(request.shard.key)
        answers = self._answers(request, deadline)
        held = None if request.warm is None else self._warm_up(request.shard, request.warm)
        self._cache.settle()
        cold, self._cold = self._cold, False
        took_s = self._clock() - began_s
        gb_seconds = round(took_s * self._memory_gb, 9)
        return LeafReply(
            answers=answers,
            cold_start=cold,
            opened=not was_held and self._cache.holds(request.shard.key),
            held=held,
            took_ms=took_s * 1000,
            gb_seconds=gb_seconds,
        )

    def _warm_up(self, ref: ShardRef, warm: WarmUp) -> Held:
        deadline = Deadline.after(warm.budget_ms, clock=self._clock)
        try:
            return self._cache.warm_up(ref, deadline, warm.budget_bytes)
        except FormatError:
            self._cache.forget(ref.key)
            raise

    def _open(self, request: LeafRequest, deadline: Deadline, stats: LeafStats) -> OpenShard:
        told = () if self._cache.holds(request.shard.key) else told_lists(request.searches)
        return self._cache.open(request.shard, deadline, stats, told)

    def _answers(self, request: LeafRequest, deadline: Deadline) -> tuple[LeafAnswer, ...]:
        if len(request.searches) < 2:
            return tuple([self._answer(request, search, deadline) for search in request.searches])
        shared = LeafStats()
        together = self._together(request, deadline, shared)
        answers = tuple(
            together.get(number) or self._answer(request, search, deadline)
            for number, search in enumerate(request.searches)
        )
        for answer in [answer for answer in answers if answer.error is None][:1]:
            _add(answer.stats, shared)
        return answers

    def _together(self, request: LeafRequest, deadline: Deadline, stats: LeafStats) -> dict[int, LeafAnswer]:
        try:
            deadline.check("search the shard")
            together = self._open(request, deadline, stats).search_together(request.searches, stats, deadline)
        except ShardlakeError as error:
            # One of them is wrong, or a read failed: each is then searched by itself and says what is wrong with it.
            self._let_go(request.shard.key, error)
            return {}
        self._trim_after(stats)
        return together

    def _answer(self, request: LeafRequest, search: LeafSearch, deadline: Deadline) -> LeafAnswer:
        stats = LeafStats()
        try:
            deadline.check("search the shard")
            answer = self._open(request, deadline, stats).search(search, deadline, stats)
        except ShardlakeError as error:
            self._let_go(request.shard.key, error)
            return LeafAnswer(error=error)
        self._trim_after(stats)  # after each: a batch may read more than fits
        return answer

    def _let_go(self, key: str, error: ShardlakeError) -> None:
        if isinstance(error, FormatError):
            self._cache.forget(key)
        else:
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
