"""The invoke port: call functions by name, many at once, under one deadline. And ports of the inbox's queue, what is
sent to it and events given up, and of the state machine that runs the steps of a build.

Adapters: `lambda_.py`, `work_queue.py`, `dead_letters.py`, `step_functions.py`; in process:
`shardlake.testing.in_process`, `.memory_queue`, `.memory_letters`, `.memory_machine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shardlake.deadline import Deadline
from shardlake.errors import ShardlakeError


class Invoker(Protocol):
    """Functions answer bytes.

    A callee that is absent, raised or timed out is an Unavailable (function-unavailable); one that has no time left is
    a DeadlineExceeded; a throttled one is an Overloaded; a payload over Lambda's limit is an InvalidInput
    (payload-too-large) and is not sent. A call may happen twice: functions are idempotent.
    """

    def invoke(self, function: str, payload: bytes, *, deadline: Deadline) -> bytes:
        """Calls one function and returns its answer."""

    def invoke_many(
        self, function: str, payloads: Sequence[bytes], *, deadline: Deadline
    ) -> list[bytes | ShardlakeError]:
        """Calls one function once a payload, in parallel.

        Failures are data: the answer has one entry a payload, in order, and returns by the deadline whatever the
        callees do.
        """

    def start(self, function: str, payload: bytes) -> None:
        """Starts a function and does not wait (at least once)."""


class WorkQueue(Protocol):
    """The queue that ingest takes its work from, as it sends work to it."""

    def send(self, bodies: Sequence[str]) -> None:
        """Sends messages. Each comes at least once, in any order.

        Raises:
            InvalidInput: payload-too-large, when one is larger than limits.MAX_MESSAGE_BYTES; none was sent.
            Unavailable: function-unavailable, when some may have been sent and some not.
            Overloaded, Forbidden: likewise.
        """


class DeadLetters(Protocol):
    """Events of dropped files that ingest gave up, and the queue that they came from."""

    def count(self) -> int:
        """Returns about how many there are, those that another one is about to move included."""

    def redrive(self) -> int:
        """Moves up to ten back into the queue and returns how many; 0 when none is left. One may come twice."""


class Machine(Protocol):
    """A state machine, whose executions go on by themselves."""

    def start(self, name: str, message: bytes) -> None:
        """Starts an execution; where one of that name was started before, running or ended, nothing happens.

        Args:
            name: 1 to 80 letters, digits, `-` and `_`.
            message: a JSON object, what the execution begins with.

        Raises:
            Unavailable, Overloaded: start it again. Forbidden: the credentials were refused.
        """
