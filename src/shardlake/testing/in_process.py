"""The invoke port in one process: functions are callables from bytes to bytes, run in threads under the same laws."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait

from shardlake.deadline import Deadline
from shardlake.errors import DeadlineExceeded, ErrorKind, InvalidInput, ShardlakeError, Unavailable
from shardlake.limits import MAX_ASYNC_PAYLOAD_BYTES, MAX_SYNC_PAYLOAD_BYTES

Function = Callable[[bytes], bytes]


class InProcessInvoker:
    """Calls functions by name in threads of their own, so that a slow one never holds up its caller.

    Attributes:
        functions: what stands under each name; a test may add and replace.
        calls: how often each name was called, started ones included.
    """

    def __init__(self, functions: Mapping[str, Function] | None = None) -> None:
        self.functions: dict[str, Function] = dict(functions or {})
        self.calls: Counter[str] = Counter()
        self._started: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()

    def invoke(self, function: str, payload: bytes, *, deadline: Deadline) -> bytes:
        """Calls one function and returns its answer."""
        (answer,) = self.invoke_many(function, [payload], deadline=deadline)
        if isinstance(answer, ShardlakeError):
            raise answer
        return answer

    def invoke_many(
        self, function: str, payloads: Sequence[bytes], *, deadline: Deadline
    ) -> list[bytes | ShardlakeError]:
        """Calls one function once a payload, in parallel; failures are data."""
        calls = [self._call(function, payload, deadline) for payload in payloads]
        wait([call for call in calls if isinstance(call, Future)], timeout=deadline.remaining_ms() / 1000)
        return [_outcome(call, function) for call in calls]

    def start(self, function: str, payload: bytes) -> None:
        """Keeps the call for `run_started`, so that a test decides when the background work happens."""
        _check_size(payload, MAX_ASYNC_PAYLOAD_BYTES)
        self._named(function)
        self._started.append((function, payload))

    def run_started(self) -> int:
        """Runs what was started, in order, what those runs start included. Returns how many ran.

        As with an asynchronous Lambda invocation nobody sees the answer; an exception does come out, for the test.
        """
        count = 0
        while self._started:
            function, payload = self._started.popleft()
            self._count(function)
            self._named(function)(payload)
            count += 1
        return count

    def _call(self, function: str, payload: bytes, deadline: Deadline) -> Future[bytes] | ShardlakeError:
        try:
            _check_size(payload, MAX_SYNC_PAYLOAD_BYTES)
            deadline.check(f"call {function}")
            target = self._named(function)
        except ShardlakeError as error:
            return error
        self._count(function)
        call: Future[bytes] = Future()
        threading.Thread(target=_run, args=(call, target, payload), name=f"call {function}", daemon=True).start()
        return call

    def _named(self, function: str) -> Function:
        target = self.functions.get(function)
        if target is None:
            raise Unavailable("there is no such function", kind=ErrorKind.FUNCTION_UNAVAILABLE, function=function)
        return target

    def _count(self, function: str) -> None:
        with self._lock:
            self.calls[function] += 1


def _run(call: Future[bytes], target: Function, payload: bytes) -> None:
    try:
        call.set_result(target(payload))
    except BaseException as exc:  # noqa: BLE001 - whatever a callee raises is a failed invocation to its caller
        call.set_exception(exc)


def _outcome(call: Future[bytes] | ShardlakeError, function: str) -> bytes | ShardlakeError:
    if isinstance(call, ShardlakeError):
        return call
    if not call.done():
        return DeadlineExceeded("the function did not answer in time", function=function)
    error = call.exception()
    return _answer(call.result(), function) if error is None else _failed(error, function)


def _answer(answer: bytes, function: str) -> bytes | ShardlakeError:
    if len(answer) <= MAX_SYNC_PAYLOAD_BYTES:
        return answer
    return Unavailable(
        "the function's answer is larger than an invocation carries",
        kind=ErrorKind.FUNCTION_UNAVAILABLE,
        function=function,
    )


def _failed(error: BaseException, function: str) -> ShardlakeError:
    failure = Unavailable(
        "the function raised", kind=ErrorKind.FUNCTION_UNAVAILABLE, function=function, error=type(error).__name__
    )
    failure.__cause__ = error
    return failure


def _check_size(payload: bytes, max_bytes: int) -> None:
    if len(payload) > max_bytes:
        raise InvalidInput(
            "the payload is larger than an invocation carries",
            kind=ErrorKind.PAYLOAD_TOO_LARGE,
            size_bytes=len(payload),
            max_bytes=max_bytes,
        )
