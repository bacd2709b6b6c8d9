"""API Gateway in one process: an HTTP transport that turns requests into events and calls the functions' handlers.

    gateway = Gateway(api=api_handler, router=router_handler, store=MemoryStore(), on_put=ingest_the_object)
    client = Client("http://gateway.test", transport=gateway)

PUTs to the presigned addresses of a MemoryStore are served too, so that uploads go their whole way.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import httpx
import orjson

from shardlake.contracts.routing import find
from shardlake.errors import ShardlakeError
from shardlake.testing.memory_store import MemoryStore

Event = dict[str, Any]
Handler = Callable[[Event], dict[str, Any]]
"""A function's handler: an event to API Gateway's form of a response."""

OnPut = Callable[[str], None]
"""Told the key of each object that was PUT, as the bucket's notification tells the queue."""

TEXT_TYPES = ("application/json", "text/")


class Gateway(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Serves the routes of the router by `router`, and every other one by `api`."""

    def __init__(
        self, *, api: Handler, router: Handler, store: MemoryStore | None = None, on_put: OnPut | None = None
    ) -> None:
        self._api = api
        self._router = router
        self._store = store
        self._on_put = on_put

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Serves one request."""
        body = request.read()
        if request.url.scheme == "memory":
            return self._put(request.url.path.lstrip("/"), body)
        handler = self._router if goes_to_router(request.method, request.url.path) else self._api
        return response_of(handler(event_of(request, body)))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serves one request; the handlers run in the caller's loop, one at a time."""
        await request.aread()
        return self.handle_request(request)

    def _put(self, key: str, body: bytes) -> httpx.Response:
        assert self._store is not None, "presigned addresses need the store that they lead to"
        info = self._store.put(key, body)
        if self._on_put is not None:
            self._on_put(key)
        return httpx.Response(200, headers={"ETag": f'"{info.etag}"'})


def goes_to_router(method: str, path: str) -> bool:
    """Returns whether the gateway sends a request to the router; every other one goes to the api."""
    try:
        return find(method, path).route.owner == "router"
    except ShardlakeError:  # no route, or one that is not served: the api says which
        return False


def event_of(request: httpx.Request, body: bytes) -> Event:
    """Returns the event of payload format 2.0 for a request, with text as it is and anything else in base64."""
    is_text = request.headers.get("content-type", "").startswith(TEXT_TYPES)
    path = request.url.raw_path.decode().partition("?")[0]
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.url.query.decode(),
        "headers": dict(request.headers),
        "queryStringParameters": dict(request.url.params) or None,
        "requestContext": {
            "http": {"method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": "in-process",
            "stage": "$default",
        },
        "body": (body.decode() if is_text else b64encode(body).decode()) if body else None,
        "isBase64Encoded": bool(body) and not is_text,
    }


def response_of(answer: dict[str, Any]) -> httpx.Response:
    """Returns the HTTP response that the gateway makes of a function's answer."""
    body = answer.get("body") or ""
    content = b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()
    return httpx.Response(answer["statusCode"], headers=answer.get("headers") or {}, content=content)


def queue_event(*records: dict[str, Any]) -> Event:
    """Returns what SQS hands to ingest for S3 records, one message each."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "body": orjson.dumps({"Records": [record]}).decode(),
                "eventSource": "aws:sqs",
            }
            for number, record in enumerate(records)
        ]
    }


def s3_record(key: str, *, written_at: str, sequencer: str) -> dict[str, Any]:
    """Returns one record of an S3 notification; `key` as it is, not yet URL-encoded."""
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": written_at,
        "s3": {"bucket": {"name": "bucket"}, "object": {"key": quote_plus(key), "sequencer": sequencer}},
    }
