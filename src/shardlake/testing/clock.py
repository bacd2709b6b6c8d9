"""A clock that a test owns."""

from __future__ import annotations


class ManualClock:
    """Seconds that pass only when a test says so. Give it wherever a `Clock` is wanted.

    >>> clock = ManualClock()
    >>> clock.advance(1.5)
    >>> clock()
    1.5
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def __call__(self) -> float:
        """Returns the present second."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now_s += seconds
