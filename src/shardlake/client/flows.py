"""What a client does, said without doing it: a flow is a generator that yields steps and is sent their outcomes.

Every operation is written once, as a flow. A driver (`sync.py`, `asynchronous.py`) performs the steps with its own kind
of HTTP client, so nothing that knows a path, a body, a retry or a poll is written twice. Flows own no clock and no
socket: a test drives them by hand, without waiting.

    flow = send(Exchange(method="GET", url="/v1/health", safe=True))
    next(flow)                                  # the Exchange
    flow.send(Reply(status=200, headers={}, content=b"{}"))   # ends with the decoded body
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from shardlake.client.failures import decode, refused
from shardlake.errors import ShardlakeError

if TYPE_CHECKING:
    from shardlake.types import Json  # numpy stands behind it, which a client need not load

T = TypeVar("T")

FIRST_ERROR_STATUS = 400
RETRIES = 2  # after the first attempt
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
DEFAULT_TIMEOUT_S = 35.0  # above the gateway's 30 s, so that its answer arrives before we give up

BytesSent: TypeAlias = "Callable[[int], None]"
"""Told the number of bytes that have just left; called from whichever thread sends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBody:
    """The bytes of one PUT, read while they are sent, so that a large file is never held in memory."""

    source: Path | bytes
    on_bytes: BytesSent | None = None

    def size(self) -> int:
        """Returns how many bytes there are."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One HTTP request.

    Attributes:
        url: a path below the API's base, or a whole URL (presigned), which gets no token.
        safe: repeating it changes nothing, so it may be retried.
    """

    method: str
    url: str
    json: Json = None
    file: FileBody | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    safe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, whatever its status. Header names are lowercase."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Run flows side by side, at most `limit` at a time; the outcome is their results, in order.

    The first failure ends it: flows not yet begun are left out and the failure is raised.
    """

    flows: Sequence[Flow[object]]
    limit: int
    on_done: Callable[[], None] | None = None


Step: TypeAlias = Exchange | Pause | Together
Outcome: TypeAlias = "Reply | list[object] | None"
Flow: TypeAlias = Generator[Step, Outcome, T]


def exchange(step: Exchange) -> Flow[Reply]:
    """Performs one request, once."""
    outcome = yield step
    assert isinstance(outcome, Reply)
    return outcome


def pause(seconds: float) -> Flow[None]:
    """Waits."""
    yield Pause(seconds=seconds)


def together(flows: Sequence[Flow[T]], *, limit: int, on_done: Callable[[], None] | None = None) -> Flow[list[T]]:
    """Runs flows side by side and returns their results in order."""
    outcome = yield Together(flows=cast("Sequence[Flow[object]]", flows), limit=limit, on_done=on_done)
    assert isinstance(outcome, list)
    return cast("list[T]", outcome)


def persist(step: Exchange) -> Flow[Reply]:
    """Performs a request, again when it failed in a way that may pass and repeating it is safe.

    Returns:
        A reply with a status below 400.

    Raises:
        ShardlakeError: what the last attempt met.
    """
    for attempt in range(RETRIES + 1):
        try:
            reply = yield from exchange(step)
            if reply.status < FIRST_ERROR_STATUS:
                return reply
            raise refused(reply.status, reply.headers, reply.content)
        except ShardlakeError as error:
            if attempt == RETRIES or not (step.safe and error.retryable):
                raise
        yield from pause(_backoff(attempt))
    raise AssertionError("the last attempt returns or raises")


def send(step: Exchange) -> Flow[dict[str, Json]]:
    """Performs a request of the API and returns the JSON object that it answered."""
    reply = yield from persist(step)
    return decode(reply.content, doing=f"{step.method} {step.url}")


def _backoff(attempt: int) -> float:
    # Full jitter: clients that failed together must not come back together.
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(2**attempt))  # noqa: S311  # not a secret
