"""Work beside other work, in as many threads as a build was given: with one, where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Here(Executor):
    """Does what it is given at once, so that nothing is held beside what the caller holds."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        done: Future[_T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


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
