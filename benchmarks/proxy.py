"""A counting HTTP proxy in front of an S3 endpoint: what any client reads through it, by the bytes on the wire.

It runs as a process of its own, so that it takes no time from the client it counts. Each request may be held back by a
fixed latency, as an object store's would be; reads that are on their way at the same time are one round.
"""

from __future__ import annotations

import argparse
import http.client
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import orjson

_CONTROL = "/_counts"
_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


@dataclass(slots=True, kw_only=True)
class Reads:
    """What was read. A round is a stretch of time in which some read was on its way: reads in parallel are one."""

    rounds: int = 0
    requests: int = 0
    bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        """Returns the counters by name."""
        return asdict(self)


class Proxy:
    """A running proxy. `url` takes the place of the endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url

    def take(self) -> Reads:
        """Returns what went through since the last time, and begins anew."""
        with urllib.request.urlopen(self.url + _CONTROL, timeout=10) as answer:
            return Reads(**orjson.loads(answer.read()))


@contextmanager
def counting_proxy(upstream: str, *, latency_ms: float = 0.0) -> Iterator[Proxy]:
    """Yields a proxy of an endpoint; it ends with the block, or with us."""
    command = [sys.executable, "-m", "benchmarks.proxy", "--upstream", upstream, "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Proxy(process.stdout.readline().decode().strip())
        finally:
            process.stdin.close()
            process.wait(timeout=10)


class _Counts:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reads = Reads()
        self.under_way = 0

    def begin(self) -> None:
        with self.lock:
            self.reads.rounds += self.under_way == 0
            self.under_way += 1

    def end(self, size: int) -> None:
        with self.lock:
            self.under_way -= 1
            self.reads.requests += 1
            self.reads.bytes += size

    def take(self) -> bytes:
        with self.lock:
            taken, self.reads = self.reads, Reads()
        return orjson.dumps(taken.as_dict())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, latency_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.latency_s = latency_s
        self.counts = _Counts()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _upstream: http.client.HTTPConnection | None = None

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def do_GET(self) -> None:  # http.server calls it so
        if self.path == _CONTROL:
            body = self.server.counts.take()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self._pass_on()

    def _pass_on(self) -> None:
        # Counted before it is passed on: whoever has an answer finds it in the counts, and reads on in another round.
        self.server.counts.begin()
        size = 0
        try:
            time.sleep(self.server.latency_s)
            answer, data = self._asked()
            size = len(data)
        finally:
            self.server.counts.end(size)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815  # as above

    def _asked(self) -> tuple[http.client.HTTPResponse, bytes]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if self._upstream is None:
            self._upstream = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
        self._upstream.request(self.command, self.path, body or None, headers)
        answer = self._upstream.getresponse()
        return answer, answer.read()

    def log_message(self, format: str, *args: object) -> None:  # http.server names it so
        """Says nothing."""


def main() -> None:
    """Serves until stdin ends; the first line of stdout is the address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    args = parser.parse_args()
    server: socketserver.BaseServer = _Server(args.upstream, args.latency_ms / 1e3)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
