"""How long each phase of a request took, and until when it must be answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shardlake.deadline import Clock, Deadline
from shardlake.limits import DEFAULT_TIMEOUT_MS


class Timer:
    """Milliseconds by phase; phases of one name add up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock()
        self._took_ms = {"encode": 0.0, "plan": 0.0, "shards": 0.0, "merge": 0.0}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts what runs inside to a phase."""
        began_s = self._clock()
        try:
            yield
        finally:
            self._took_ms[name] += (self._clock() - began_s) * 1000

    def total(self) -> dict[str, float]:
        """Returns the milliseconds of each phase, and of all since the timer began."""
        return {"total": (self._clock() - self._began_s) * 1000, **self._took_ms}


def deadline_of(bodies: Sequence[Mapping[str, Any]], limit: Deadline, clock: Clock) -> Deadline:
    """Returns the earliest of what the searches state and of `limit`.

    Read before the bodies are validated: a wrong one is refused later, and until then the default holds.
    """
    stated = [body.get("timeout_ms") for body in bodies]
    valid = [value for value in stated if isinstance(value, int) and not isinstance(value, bool) and value > 0]
    asked = Deadline.after(min([*valid, DEFAULT_TIMEOUT_MS] if len(valid) < len(stated) else valid), clock=clock)
    return asked if asked.at_s < limit.at_s else limit
