"""A store that counts what is read through it: sequential rounds, requests and bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from shardlake.deadline import Deadline
from shardlake.store.base import ByteRange, ObjectInfo, ObjectStore

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Reads:
    """What was read. A round is a stretch of time in which some read was on its way: reads in parallel are one."""

    rounds: int = 0
    requests: int = 0
    bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        """Returns the counters by name."""
        return asdict(self)


class CountingStore:
    """Passes every call on, and counts the reads. What it does not name, the inner store answers itself."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._under_way = 0
        self.reads = Reads()

    def take(self) -> Reads:
        """Returns what was read since the last time, and begins anew."""
        with self._lock:
            taken, self.reads = self.reads, Reads()
        return taken

    def get(self, key: str, *, max_bytes: int, deadline: Deadline | None = None) -> bytes:
        """Reads a whole object: one request."""
        return self._counted(lambda: self._inner.get(key, max_bytes=max_bytes, deadline=deadline), 1, len)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, deadline: Deadline | None = None) -> list[bytes]:
        """Reads ranges: a request each."""
        return self._counted(
            lambda: self._inner.get_ranges(key, ranges, deadline=deadline),
            len(ranges),
            lambda parts: sum(map(len, parts)),
        )

    def get_suffix(self, key: str, length: int, *, deadline: Deadline | None = None) -> tuple[bytes, int]:
        """Reads the end of an object: one request."""
        return self._counted(
            lambda: self._inner.get_suffix(key, length, deadline=deadline), 1, lambda answer: len(answer[0])
        )

    def head(self, key: str) -> ObjectInfo:
        """Asks for what is known of an object: one request."""
        return self._counted(lambda: self._inner.head(key), 1, lambda _: 0)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the inner store has
        return getattr(self._inner, name)

    def _counted(self, read: Callable[[], T], requests: int, size: Callable[[T], int]) -> T:
        with self._lock:
            self.reads.rounds += self._under_way == 0 and requests > 0
            self._under_way += 1
        try:
            answer = read()
        finally:
            with self._lock:
                self._under_way -= 1
        with self._lock:
            self.reads.requests += requests
            self.reads.bytes += size(answer)
        return answer
