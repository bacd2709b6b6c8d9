"""Threads of ours over faiss's and numpy's arithmetic: as many as faiss was given, each of which computes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import faiss

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


def shared(work: Callable[[_S], _T], pieces: Iterable[_S]) -> list[_T]:
    """Returns what `work` returns for each piece, shared among threads; within `work` faiss has one.

    On cores that others use too, faiss's own threads would wait for each other by spinning.
    """

    def alone(piece: _S) -> _T:
        with threads(1):
            return work(piece)

    with ThreadPoolExecutor(faiss.omp_get_max_threads(), thread_name_prefix="shared") as pool:
        return list(pool.map(alone, pieces))
