"""Whether a run has time for one more step, by how long the last one took."""

from __future__ import annotations

from shardlake.deadline import Deadline

ROOM = 2  # steps as long as the last one, for which there must be time


class Pace:
    """Begins with the first step. Ask after each."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._left_ms = deadline.remaining_ms()

    def is_short(self) -> bool:
        """Returns whether the time left may not do for a step like the one that has ended."""
        left_ms = self._deadline.remaining_ms()
        took_ms, self._left_ms = self._left_ms - left_ms, left_ms
        return left_ms < ROOM * took_ms
