"""The port of a state machine, in memory: what was started, under its name."""

from __future__ import annotations


class MemoryMachine:
    """Starts nothing but remembers.

    Attributes:
        started: {name: message} of each execution.
    """

    def __init__(self) -> None:
        self.started: dict[str, bytes] = {}

    def start(self, name: str, message: bytes) -> None:
        """Remembers an execution; the first of a name stays."""
        self.started.setdefault(name, message)
