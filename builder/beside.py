"""Work beside other work, in as many threads as a build was given: with one, where it is asked for."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from shardlake.limits import MIB

_P = ParamSpec("_P")
_T = TypeVar("_T")

HAND_OVER_S = 0.0005
TOGETHER_BYTES = MIB  # of a file, given to the worker at a time
WAITING_BYTES = 32 * MIB  # of a file, given but not written yet


class _Here(Executor):
    """Does what it is given at once, so that nothing is held beside what the caller holds."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        done: Future[_T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@contextmanager
def handing_over(threads: int) -> Iterator[None]:
    """Within the block a thread that runs Python gives way after half a millisecond, where there are several.

    Python's own 5 ms make one that mostly computes outside of it wait as long each time it comes back: a tenth of a
    build (1,000,000 × 256, two cores, 2026-11).
    """
    before = sys.getswitchinterval()
    if threads > 1:
        sys.setswitchinterval(HAND_OVER_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def beside(threads: int) -> Executor:
    """Returns what does one thing beside the caller, in the order given, when there are several threads.

    Use it in a `with` block: on its way out, also by an error, it waits for what it has begun.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="beside") if threads > 1 else _Here()


def ahead(worker: Executor, calls: Iterable[Callable[[], _T]]) -> Iterator[_T]:
    """Yields what the calls return, in order; beside the caller, who has one of them, the next is made."""
    if isinstance(worker, _Here):
        yield from (call() for call in calls)
        return
    pending: Future[_T] | None = None
    for call in calls:
        following = worker.submit(call)
        if pending is not None:
            yield pending.result()
        pending = following
    if pending is not None:
        yield pending.result()


@contextmanager
def written_beside(worker: Executor, path: Path) -> Iterator[FileSink]:
    """Gives a sink of a new file that the worker writes; at the end of the block all of it is there."""
    with path.open("wb") as file:
        sink = FileSink(worker, file)
        try:
            yield sink
        finally:
            sink.wait()


class FileSink:
    """Takes the bytes of a file in their order; holds at most WAITING_BYTES that wait, and what was taken last."""

    def __init__(self, worker: Executor, file: BinaryIO) -> None:
        self._worker = worker
        self._file = file
        self._taken: list[bytes] = []
        self._taken_bytes = 0
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._waiting_bytes = 0

    def write(self, data: bytes | memoryview, /) -> int:
        """Takes bytes. Raises what the writing of some before has failed with."""
        self._taken.append(bytes(data))  # what is no bytes may change before it is written
        self._taken_bytes += len(data)
        if self._taken_bytes >= TOGETHER_BYTES:
            self._give()
        while self._waiting_bytes > WAITING_BYTES:
            self._end_first()
        return len(data)

    def wait(self) -> None:
        """Returns when everything is written."""
        self._give()
        while self._waiting:
            self._end_first()

    def _give(self) -> None:
        self._waiting.append((self._worker.submit(self._file.writelines, self._taken), self._taken_bytes))
        self._waiting_bytes += self._taken_bytes
        self._taken, self._taken_bytes = [], 0

    def _end_first(self) -> None:
        written, size = self._waiting.popleft()
        self._waiting_bytes -= size
        written.result()
