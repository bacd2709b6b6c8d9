"""The Lambda adapter on lines that break: connections closed meanwhile, garbage, nobody there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shardlake.deadline import Deadline
from shardlake.errors import Forbidden, Overloaded, ShardlakeError, Unavailable
from shardlake.rpc.lambda_ import LambdaInvoker

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire:
    """A server that answers each connection with the next of its scripts, one entry a request; None hangs up."""

    def __init__(self, *connections: list[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for script in self._connections:
            connection, _ = self._listener.accept()
            with connection:
                for answer in script:
                    self.requests.append(_request(connection))
                    if answer is None:
                        break
                    connection.sendall(answer)

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


def _request(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"{}"):
        received += connection.recv(65_536)
    return received


@contextmanager
def wired(*connections: list[bytes | None]) -> Iterator[tuple[Wire, LambdaInvoker]]:
    wire = Wire(*connections)
    invoker = LambdaInvoker(endpoint_url=wire.url, max_parallel=1, trace_id=lambda: "Root=1-abc")
    yield wire, invoker
    invoker.close()
    wire.close()


def call(invoker: LambdaInvoker, timeout_ms: float = 5_000) -> bytes:
    return invoker.invoke("f", b"{}", deadline=Deadline.after(timeout_ms, clock=time.monotonic))


def test_a_call_is_signed_and_hands_the_trace_on() -> None:
    with wired([OK]) as (wire, invoker):
        assert call(invoker) == b"ok"
    head = wire.requests[0].decode().lower()
    assert head.startswith("post /2015-03-31/functions/f/invocations http/1.1\r\n")
    assert "authorization: aws4-hmac-sha256 credential=test/" in head
    assert "x-amzn-trace-id: root=1-abc\r\n" in head


def test_a_kept_connection_that_was_closed_costs_a_second_request_and_no_error() -> None:
    with wired([OK, None], [OK]) as (wire, invoker):
        assert call(invoker) == b"ok"
        assert call(invoker) == b"ok"
    assert len(wire.requests) == 3


def test_a_line_that_breaks_twice_is_unavailable() -> None:
    with wired([None], [None]) as (_, invoker), pytest.raises(Unavailable):
        call(invoker)


def test_an_answer_that_is_no_http_is_unavailable() -> None:
    with wired([b"garbage\r\n\r\n"], [b"garbage\r\n\r\n"]) as (_, invoker), pytest.raises(Unavailable):
        call(invoker)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (b"429 Too Many", b"TooManyRequestsException", Overloaded),
        (b"429 Too Many", b"", Overloaded),
        (b"403 Forbidden", b"AccessDeniedException:http://internal", Forbidden),
        (b"500 Oh", b"ServiceException", Unavailable),
        (b"502 Oh", b"", Unavailable),
    ],
)
def test_a_refusal_is_read_from_its_header(status: bytes, code: bytes, error: type[ShardlakeError]) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nx-amzn-ErrorType: " + code + b"\r\nContent-Length: 0\r\n\r\n"
    with wired([answer]) as (_, invoker), pytest.raises(error):
        call(invoker)


def test_nobody_listening_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    invoker = LambdaInvoker(endpoint_url=f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        call(invoker)
    invoker.close()
