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
from shardlake.engine.nearest import Found
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
        together = self._together(request, deadline) if len(request.searches) > 1 else {}
        answers = tuple(
            self._answer(request, search, deadline, together.get(number))
            for number, search in enumerate(request.searches)
        )
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

    def _together(self, request: LeafRequest, deadline: Deadline) -> dict[int, tuple[Found, LeafStats]]:
        opening = LeafStats()
        try:
            opened = self._open(request, deadline, opening)
            together = opened.scan_together(request.searches, deadline)
        except ShardlakeError:
            # One of them is wrong, or a read failed: each is then searched by itself and says what is wrong with it.
            self._cache.forget(request.shard.key)
            return {}
        for _, stats in list(together.values())[:1]:
            _add(stats, opening)
        return together

    def _answer(
        self, request: LeafRequest, search: LeafSearch, deadline: Deadline, scanned: tuple[Found, LeafStats] | None
    ) -> LeafAnswer:
        opening, ref = LeafStats(), request.shard
        try:
            deadline.check("search the shard")
            opened = self._open(request, deadline, opening)
            answer = opened.search(search, deadline, scanned)
        except FormatError as error:
            self._cache.forget(ref.key)
            return LeafAnswer(error=error)
        except ShardlakeError as error:
            self._cache.trim()
            return LeafAnswer(error=error)
        _add(answer.stats, opening)
        if answer.stats.bytes_read or answer.stats.cache_bytes:  # after each: a batch may read more than fits
            self._cache.trim()
        return answer


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
