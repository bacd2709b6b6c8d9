"""The encode service's other door: SageMaker's container contract, GET /ping and POST /invocations on port 8080.

    SHARDLAKE_ENCODERS=photos=openai/clip-vit-base-patch32 python -m functions.encode.server

Source: Amazon SageMaker AI developer guide, "Custom inference code with hosting services" (2026-11).
"""

from __future__ import annotations

import os
import signal
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from uuid import uuid4

import orjson

from functions.encode.doors import make_service, respond
from functions.encode.service import EncodeService
from shardlake import limits
from shardlake.contracts.common import parse_object
from shardlake.errors import ErrorKind, InvalidInput, NotFound, ShardlakeError
from shardlake.observability import Observer
from shardlake.settings import Settings

PORT: Final = 8080
IDLE_S: Final = 60  # a connection that says nothing for so long is closed


class EncodeServer(ThreadingHTTPServer):
    """Serves one EncodeService. Connections have threads of their own; models are used by one at a time."""

    daemon_threads = True

    def __init__(self, service: EncodeService, *, host: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104 - SageMaker reaches a container from outside of it
        super().__init__((host, port), _Door)
        self.service = service
        self.observer = Observer("encode")
        self.models = threading.Lock()


class _Door(BaseHTTPRequestHandler):
    server: EncodeServer
    server_version = "shardlake"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def do_GET(self) -> None:
        """Answers /ping: 200 as soon as requests can be taken."""
        if self.path == "/ping":
            self._send(200, {})
        else:
            self._refuse(NotFound("there is GET /ping and POST /invocations", kind=ErrorKind.ROUTE_NOT_FOUND))

    def do_POST(self) -> None:
        """Answers /invocations."""
        try:
            if self.path != "/invocations":
                raise NotFound("there is GET /ping and POST /invocations", kind=ErrorKind.ROUTE_NOT_FOUND)
            request = parse_object(self._body(), max_bytes=limits.MAX_SYNC_PAYLOAD_BYTES)
        except ShardlakeError as error:
            self._refuse(error)
            return
        request_id = str(uuid4())
        with self.server.models:
            status, answer = respond(self.server.service, request, observer=self.server.observer, request_id=request_id)
        self._send(status, answer)

    def _body(self) -> bytes:
        """Returns the body, read only when its length is stated and within bounds."""
        stated = self.headers.get("Content-Length", "")
        if not stated.isdecimal() or "Transfer-Encoding" in self.headers:
            raise InvalidInput("the request must state its Content-Length")
        length = int(stated)
        if length > limits.MAX_SYNC_PAYLOAD_BYTES:
            raise InvalidInput(
                f"the body is larger than {limits.MAX_SYNC_PAYLOAD_BYTES} bytes", kind=ErrorKind.PAYLOAD_TOO_LARGE
            )
        return self.rfile.read(length)

    def _refuse(self, error: ShardlakeError) -> None:
        self.close_connection = True  # the body may not have been read
        self._send(error.http_status, error.to_body())

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = orjson.dumps(body, default=str)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what the base class refuses (a method, a malformed head) in our form instead of HTML."""
        unknown_method = code == HTTPStatus.NOT_IMPLEMENTED
        kind = ErrorKind.METHOD_NOT_ALLOWED if unknown_method else ErrorKind.INVALID_REQUEST
        status = HTTPStatus.METHOD_NOT_ALLOWED if unknown_method else code
        self.close_connection = True
        self._send(status, InvalidInput((message or "the request is malformed").lower(), kind=kind).to_body())

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the canonical line says it."""


def main() -> None:
    """Serves until SIGTERM, which is how SageMaker stops a container."""
    server = EncodeServer(make_service(Settings.from_env(os.environ)))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
