"""The proxy counts what goes through it, and passes it on unchanged."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.proxy import Reads, counting_proxy

BODY = bytes(range(256)) * 4
TOGETHER = 4


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    all_here = threading.Barrier(TOGETHER, timeout=20)

    def do_GET(self) -> None:
        first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
        if self.path.endswith("together"):
            self.all_here.wait()
        part = BODY[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(BODY)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _read(url: str, first: int, last: int, key: str = "key") -> tuple[int, bytes, str]:
    request = urllib.request.Request(f"{url}/bucket/{key}", headers={"Range": f"bytes={first}-{last}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read(), answer.headers["Content-Range"]


def test_reads_one_after_another_are_rounds_and_reads_together_are_one(upstream: str) -> None:
    with counting_proxy(upstream) as proxy:
        assert _read(proxy.url, 10, 19) == (206, BODY[10:20], "bytes 10-19/1024")
        _read(proxy.url, 0, 0)
        assert proxy.take() == Reads(rounds=2, requests=2, bytes=11)

        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(lambda i: _read(proxy.url, 0, i, "together"), range(TOGETHER)))
        assert proxy.take() == Reads(rounds=1, requests=4, bytes=10)
        assert proxy.take() == Reads()
