"""The port of events given up, in memory: two lists."""

from __future__ import annotations

BATCH_MESSAGES = 10


class MemoryDeadLetters:
    """Events in the order they came.

    Attributes:
        dead: those given up.
        hidden: those that another one is about to send. queue: those on their way.
    """

    def __init__(self) -> None:
        self.dead: list[str] = []
        self.hidden: list[str] = []
        self.queue: list[str] = []

    def count(self) -> int:
        """Returns how many there are."""
        return len(self.dead) + len(self.hidden)

    def redrive(self) -> int:
        """Moves up to ten back into the queue and returns how many."""
        moved, self.dead = self.dead[:BATCH_MESSAGES], self.dead[BATCH_MESSAGES:]
        self.queue += moved
        return len(moved)
