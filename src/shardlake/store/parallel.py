"""Blocking calls in threads, under one deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from typing import TypeVar

from shardlake.deadline import Deadline
from shardlake.errors import DeadlineExceeded

T = TypeVar("T")


def in_time(pool: Executor, calls: Sequence[Callable[[], T]], *, doing: str, deadline: Deadline | None) -> list[T]:
    """Returns what the calls return, in order.

    Raises the first failure there is, or DeadlineExceeded when time runs out first: the caller stops waiting, and a
    call that has begun ends by itself.
    """
    if deadline is not None:
        deadline.check(doing)
    elif len(calls) == 1:
        return [calls[0]()]  # nothing to run beside it and nothing to wait for: no thread
    futures = [pool.submit(call) for call in calls]
    timeout_s = None if deadline is None else deadline.remaining_ms() / 1000
    done, late = wait(futures, timeout=timeout_s, return_when=FIRST_EXCEPTION)
    for future in late:
        future.cancel()
    for future in done:
        future.result()  # a failure says more than the time that ran out beside it
    if late:
        raise DeadlineExceeded(f"no time left to {doing}", doing=doing)
    return [future.result() for future in futures]
