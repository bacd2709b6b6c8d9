"""The leaf: opens shards, keeps them within a bound of bytes, and answers searches of them. Failures are data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from shardlake.contracts.shard import LeafAnswer, LeafReply, LeafRequest, LeafSearch, LeafStats, ShardRef
from shardlake.deadline import Clock, Deadline
from shardlake.engine.nearest import Found
from shardlake.engine.shard import OpenShard, open_shard
from shardlake.errors import ErrorKind, FormatError, InvalidInput, ShardlakeError
from shardlake.limits import MAX_DIRECTORY_BYTES
from shardlake.store.base import ByteRange, ObjectStore


class ShardCache:
    """Opened shards by key, least recently used out first. Objects never change, so nothing is ever invalidated."""

    def __init__(self, store: ObjectStore, *, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._shards: OrderedDict[str, OpenShard] = OrderedDict()

    def open(self, ref: ShardRef, deadline: Deadline, stats: LeafStats) -> OpenShard:
        """Returns the shard, opened with one ranged read when it is not held.

        Raises:
            FormatError: when its tail contradicts the format. NotFound, Unavailable: as the store says.
        """
        opened = self._shards.get(ref.key)
        if opened is None:
            opened = self._open(ref, deadline, stats)
            self._shards[ref.key] = opened
        self._shards.move_to_end(ref.key)
        return opened

    def forget(self, key: str) -> None:
        """Drops a shard: what of it was read may be broken."""
        self._shards.pop(key, None)

    def trim(self) -> None:
        """Drops shards until those held fit the bound; of the one used last only its items, whatever its size."""
        while self._shards and sum(s.resident_bytes for s in self._shards.values()) > self._max_bytes:
            if len(self._shards) == 1:
                next(iter(self._shards.values())).forget_items()
                return
            self._shards.popitem(last=False)

    def _open(self, ref: ShardRef, deadline: Deadline, stats: LeafStats) -> OpenShard:
        size = ref.bytes - ref.tail_offset
        if not 0 < size <= MAX_DIRECTORY_BYTES:
            raise FormatError("the shard map names a tail that no shard has", key=ref.key, tail_bytes=size)

        def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
            return self._store.get_ranges(ref.key, [ByteRange(a, b) for a, b in spans], deadline=deadline)

        tail = read([(ref.tail_offset, ref.bytes)], deadline)[0]
        stats.object_reads += 1
        stats.bytes_read += size
        return open_shard(tail, ref.bytes, read)


class ShardSearch:
    """The service behind shard_search. One a process; not safe for two requests at once, and Lambda never sends two."""

    def __init__(self, cache: ShardCache, *, clock: Clock, memory_mb: int = 0) -> None:
        self._cache = cache
        self._memory_gb = memory_mb / 1024
        self._clock = clock
        self._cold = True

    def search(self, request: LeafRequest) -> LeafReply:
        """Answers every search of a request; one that fails carries its error and leaves the others alone."""
        began_s = self._clock()
        deadline = Deadline.after(request.timeout_ms, clock=self._clock)
        together = self._together(request, deadline) if len(request.searches) > 1 else {}
        answers = tuple(
            self._answer(request.shard, search, deadline, together.get(number))
            for number, search in enumerate(request.searches)
        )
        cold, self._cold = self._cold, False
        took_s = self._clock() - began_s
        gb_seconds = round(took_s * self._memory_gb, 9)
        return LeafReply(answers=answers, cold_start=cold, took_ms=took_s * 1000, gb_seconds=gb_seconds)

    def _together(self, request: LeafRequest, deadline: Deadline) -> dict[int, tuple[Found, LeafStats]]:
        opening = LeafStats()
        try:
            opened = self._cache.open(request.shard, deadline, opening)
            together = opened.scan_together(request.searches, deadline)
        except ShardlakeError:
            # One of them is wrong, or a read failed: each is then searched by itself and says what is wrong with it.
            self._cache.forget(request.shard.key)
            return {}
        for _, stats in list(together.values())[:1]:
            stats.object_reads += opening.object_reads
            stats.bytes_read += opening.bytes_read
        return together

    def _answer(
        self, ref: ShardRef, search: LeafSearch, deadline: Deadline, scanned: tuple[Found, LeafStats] | None
    ) -> LeafAnswer:
        opening = LeafStats()
        try:
            deadline.check("search the shard")
            opened = self._cache.open(ref, deadline, opening)
            answer = opened.search(search, deadline, scanned)
        except FormatError as error:
            self._cache.forget(ref.key)
            return LeafAnswer(error=error)
        except ShardlakeError as error:
            self._cache.trim()
            return LeafAnswer(error=error)
        answer.stats.object_reads += opening.object_reads
        answer.stats.bytes_read += opening.bytes_read
        if answer.stats.bytes_read:  # after each search that read: all of a batch together may read more than fits
            self._cache.trim()
        return answer


def bounded(reply: LeafReply, size_bytes: int, max_bytes: int) -> LeafReply:
    """Returns the reply, or one of the same number of errors when it is larger than a function may answer."""
    if size_bytes <= max_bytes:
        return reply
    error = InvalidInput(
        "the hits are larger than one answer may be: ask for a smaller k, or leave attributes and vectors out",
        kind=ErrorKind.ANSWER_TOO_LARGE,
    )
    return replace(reply, answers=tuple(LeafAnswer(error=error) for _ in reply.answers))
