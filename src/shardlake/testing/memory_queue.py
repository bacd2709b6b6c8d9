"""The inbox's queue in memory: a list, from which a test takes what it wants, in the order it wants."""

from __future__ import annotations

from collections.abc import Sequence

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput


class MemoryQueue:
    """Messages in the order they came.

    Attributes:
        waiting: those that nobody has taken.
    """

    def __init__(self) -> None:
        self.waiting: list[str] = []

    def send(self, bodies: Sequence[str]) -> None:
        """Sends messages."""
        for body in bodies:
            if len(body.encode()) > limits.MAX_MESSAGE_BYTES:
                raise InvalidInput("the message is too large", kind=ErrorKind.PAYLOAD_TOO_LARGE)
        self.waiting += bodies
