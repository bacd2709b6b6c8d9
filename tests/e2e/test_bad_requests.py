"""Every endpoint against its table of wrong requests over HTTP, on the embedded cloud: same kinds, nothing stored."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from shardlake.local import CloudStatus
from tests.bad_requests import ALL, GOOD, Bad


class Api:
    """HTTP as it is: no client that mends a path on the way."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._base = parts.path.rstrip("/")
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def call(
        self, method: str, path: str, body: bytes | None = None, query: dict[str, str] | None = None
    ) -> tuple[int, str]:
        target = self._base + quote(path, safe="/%:") + (f"?{urlencode(query)}" if query else "")
        self._connection.request(method, target, body=body, headers={"Content-Type": _content_type(body or b"")})
        reply = self._connection.getresponse()
        return reply.status, reply.read().decode()

    def close(self) -> None:
        self._connection.close()


def _content_type(body: bytes) -> str:
    # A gateway that is told of text makes text of it, and mends what is no UTF-8; other bodies it passes on in base64.
    try:
        body.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "application/json"


@pytest.fixture(scope="module")
def api(cloud: CloudStatus) -> Iterator[Api]:
    made = Api(cloud.url)
    for name, schema in GOOD.items():
        status, text = made.call("PUT", f"/v1/collections/{name}", json.dumps(schema).encode())
        assert status in {200, 201}, text
    yield made
    for name in GOOD:
        made.call("DELETE", f"/v1/collections/{name}")
    made.close()


def state(api: Api) -> list[Any]:
    """Returns all that the API says it holds of the collections of this module."""
    _, listed = api.call("GET", "/v1/collections")
    names = [one["name"] for one in json.loads(listed)["collections"]]
    assert "new" not in names
    return [json.loads(api.call("GET", f"/v1/collections/{name}")[1]) for name in GOOD]


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_a_wrong_request_is_refused_by_kind(api: Api, bad: Bad) -> None:
    status, text = api.call(bad.method, bad.path, bad.data(), dict(bad.query))

    answer = json.loads(text)
    assert (status, answer["error"]["kind"]) == (bad.status, bad.kind), text[:500]
    assert set(answer["error"]) == {"kind", "message", "details"}


def test_nothing_of_all_that_was_stored(api: Api) -> None:
    for described in state(api):
        assert (described["rows"], described["version"], described["rejected"]) == (0, None, 0)
        assert described["pending"] == {"segments": 0, "items": 0}
