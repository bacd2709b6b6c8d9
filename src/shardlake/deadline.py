"""One Deadline object goes down the whole path; nobody below invents a timeout.

The clock is passed in, so that tests own time and this room never reads one by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shardlake.errors import DeadlineExceeded

Clock = Callable[[], float]
"""A monotonic clock in seconds, such as `time.monotonic`."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time by which an answer must be given."""

    at_s: float
    clock: Clock

    @classmethod
    def after(cls, timeout_ms: float, *, clock: Clock) -> Deadline:
        """Returns the deadline `timeout_ms` milliseconds from now on `clock`."""
        return cls(at_s=clock() + timeout_ms / 1000, clock=clock)

    def remaining_ms(self) -> float:
        """Returns the milliseconds left, never negative."""
        return max(0.0, (self.at_s - self.clock()) * 1000)

    def expired(self) -> bool:
        """Returns whether no time is left."""
        return self.clock() >= self.at_s

    def check(self, doing: str) -> None:
        """Raises DeadlineExceeded when no time is left for `doing`."""
        if self.expired():
            raise DeadlineExceeded(f"no time left to {doing}", doing=doing)

    def shortened(self, margin_ms: float) -> Deadline:
        """Returns a deadline `margin_ms` earlier: what a callee gets, so that its answer can still travel."""
        return Deadline(at_s=self.at_s - margin_ms / 1000, clock=self.clock)
