"""What a system under test is to a benchmark: one query made ready, then run; what it found read off afterwards.

Only the run is timed. Whatever a system wants prepared (a bitmap, a request object) is prepared outside of it, for all
systems alike.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.corpus import Vectors

_POOLS = ("OMP", "OPENBLAS", "RAYON")
THREADS = {f"{pool}_NUM_THREADS": "1" for pool in _POOLS} | {"LANCE_CPU_THREADS": "1", "TOKIO_WORKER_THREADS": "1"}

AT_LANCE = "shardlake, at LanceDB's recall"  # ourselves, asked for the least that finds as much as LanceDB


class System(Protocol):
    """A system that has the corpus indexed."""

    name: str

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], Any]:
        """Returns the search of (d,) `query` among the rows of a mask of the corpus (None: all), ready to run."""

    def settle(self) -> None:
        """Is called before each run, outside of its time."""

    def ids(self, answer: Any) -> list[int]:  # noqa: ANN401  # each system answers in its own form
        """Returns the row numbers in an answer, nearest first."""

    def counters(self, answer: Any) -> dict[str, int]:  # noqa: ANN401
        """Returns what the search says it cost: may be empty."""


def single_threaded() -> None:
    """Bounds every system's own pool to one thread: the process begins anew where the environment does not say so."""
    if any(os.environ.get(name) != count for name, count in THREADS.items()):
        os.execve(sys.executable, sys.orig_argv, os.environ | THREADS)
