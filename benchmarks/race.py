"""Systems run on the same queries in turns, in short blocks, so that the machine's moods hit all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.corpus import Vectors
from benchmarks.systems.base import System

BLOCK = 50  # queries of one system before the next one's turn: long enough that none runs in another's cold caches


@dataclass(slots=True, kw_only=True)
class Raw:
    """What one system did: milliseconds, rows found and counters of each query."""

    ms: list[float] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    counters: dict[str, list[int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns it for a result file."""
        return {"ms": [round(ms, 4) for ms in self.ms], "ids": self.ids, "counters": self.counters}


def race(
    systems: Sequence[System],
    queries: Vectors,
    mask: str | None,
    *,
    only: dict[str, int] | None = None,
    warm_up: int = 5,
) -> dict[str, Raw]:
    """Returns what each system did, by its name.

    Args:
        systems: each is asked every query.
        queries: (n, d).
        mask: of the corpus; None for no filter.
        only: {name: how many queries}, for a system too slow to be asked all.
        warm_up: queries asked before, not kept.
    """
    done = {system.name: Raw() for system in systems}
    bounds = {system.name: (only or {}).get(system.name, len(queries)) for system in systems}
    # All are made ready before any is timed: making ready may search, and must not leave a query's data in the caches.
    runs = {s.name: [s.ready(query, mask) for query in queries[: bounds[s.name]]] for s in systems}
    for system in systems:
        for run in runs[system.name][: 1 if system.name in (only or {}) else warm_up]:
            run()
    for start in range(0, len(queries), BLOCK):
        for system in systems:
            block = runs[system.name][start : start + BLOCK]
            if block:
                block[0]()  # what the system before has pushed out, or made it forget
            for run in block:
                _one(system, run, done[system.name])
    return done


def _one(system: System, run: Callable[[], Any], raw: Raw) -> None:
    system.settle()
    began = time.perf_counter()
    answer = run()
    raw.ms.append((time.perf_counter() - began) * 1e3)
    raw.ids.append(system.ids(answer))
    for name, value in system.counters(answer).items():
        raw.counters.setdefault(name, []).append(value)
