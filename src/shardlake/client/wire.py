"""From an Exchange to httpx's request and back: shared by both drivers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from shardlake import __version__
from shardlake.client.flows import Exchange, FileBody, Reply
from shardlake.errors import InvalidInput

CHUNK_BYTES = 256 * 1024
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def client_options(url: str, token: str | None) -> dict[str, Any]:
    """Returns the arguments of httpx.Client and httpx.AsyncClient. Raises InvalidInput when `url` is no base URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput("the URL of the API must begin with http:// or https://", url=url)
    headers = {"user-agent": f"shardlake/{__version__}", "accept": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    # A proxy of the environment can never reach our own machine's loopback.
    return {"headers": headers, "trust_env": parts.hostname not in _LOOPBACK, "follow_redirects": False}


def absolute(base_url: str, exchange: Exchange) -> str:
    """Returns the URL that an exchange goes to."""
    return base_url.rstrip("/") + exchange.url if exchange.url.startswith("/") else exchange.url


def arguments(exchange: Exchange, *, asynchronous: bool) -> dict[str, Any]:
    """Returns what build_request takes beside method and URL."""
    common: dict[str, Any] = {"timeout": httpx.Timeout(exchange.timeout_s, connect=min(10.0, exchange.timeout_s))}
    if exchange.file is not None:
        chunks = _chunks_later(exchange.file) if asynchronous else _chunks(exchange.file)
        # S3 refuses chunked transfer: the length must be said.
        return common | {"content": chunks, "headers": {"content-length": str(exchange.file.size())}}
    if exchange.json is None:
        return common
    return common | {"content": dumps(exchange.json), "headers": {"content-type": "application/json"}}


def prepared(request: httpx.Request, exchange: Exchange) -> httpx.Request:
    """Returns the request as it may leave: a presigned URL carries its own authority and must not get our token."""
    if exchange.file is not None:
        request.headers.pop("authorization", None)
        request.headers.pop("accept", None)
    return request


def to_reply(response: httpx.Response) -> Reply:
    """Returns what came back as our own value."""
    return Reply(status=response.status_code, headers=dict(response.headers), content=response.content)


def dumps(value: object) -> bytes:
    """Returns JSON; arrays of numbers may be numpy's."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=_plain)
    except TypeError as exc:
        raise InvalidInput(f"this cannot be said in JSON: {exc}") from exc


def _plain(value: object) -> object:
    # Arrays that orjson does not take (not contiguous, float16): as lists.
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(type(value).__name__)
    return to_list()


def _chunks(body: FileBody) -> Iterator[bytes]:
    if isinstance(body.source, bytes):
        yield from _told(body, body.source)
        return
    with body.source.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield from _told(body, chunk)


def _told(body: FileBody, chunk: bytes) -> Iterator[bytes]:
    yield chunk
    if body.on_bytes is not None:
        body.on_bytes(len(chunk))


async def _chunks_later(body: FileBody) -> AsyncIterator[bytes]:
    for chunk in _chunks(body):
        yield chunk
