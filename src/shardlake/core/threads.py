"""Threads of ours over faiss's and numpy's arithmetic: as many as faiss was given, each of which computes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import faiss
from threadpoolctl import threadpool_limits

_S = TypeVar("_S")
_T = TypeVar("_T")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Runs faiss on that many threads within the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def shared(work: Callable[[_S], _T], pieces: Iterable[_S], *, multiplies: bool = False) -> list[_T]:
    """Returns what `work` returns for each piece, shared among threads; within `work` faiss has one.

    On cores that others use too, faiss's own threads would wait for each other by spinning.

    Args:
        multiplies: matrices: so that numpy's BLAS has one thread, too. That is of the whole process: whoever else wants
            it so must not be under way.
    """
    # Counted before the limit: a BLAS may be one of OpenMP, whose threads are faiss's too.
    workers = faiss.omp_get_max_threads()

    def alone(piece: _S) -> _T:
        with threads(1):
            return work(piece)

    limited = threadpool_limits(1, user_api="blas") if multiplies else nullcontext()
    with limited, ThreadPoolExecutor(workers, thread_name_prefix="shared") as pool:
        return list(pool.map(alone, pieces))
