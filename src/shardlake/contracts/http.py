"""HTTP as API Gateway tells it: events to requests, responses to what the gateway wants back.

Both payload formats are read: 2.0 of HTTP APIs, and 1.0 of REST APIs, which LocalStack's free plan has instead.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shardlake import limits
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError

JSON = "application/json"
DEFAULT_STAGE = "$default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `path` has no stage before it; `query` has the parameters as text."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    deadline: Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response; `body` is sent as it is."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def read_event(event: Mapping[str, Any], *, deadline: Deadline) -> Request:
    """Returns the request in a gateway's event.

    Raises:
        InvalidInput: invalid-request, when the body is said to be base64 and is not; or when the event is none of
            API Gateway's.
    """
    context = event.get("requestContext") or {}
    if "http" in context:
        method, path = context["http"]["method"], _without_stage(event.get("rawPath", ""), context.get("stage"))
    elif "httpMethod" in event:
        method, path = event["httpMethod"], event.get("path", "")
    else:
        raise InvalidInput("the event is not one of API Gateway")
    return Request(
        method=method.upper(),
        path=path or "/",
        query=event.get("queryStringParameters") or {},
        body=_body(event),
        deadline=deadline,
    )


def json_response(status: int, body: object) -> Response:
    """Returns a JSON answer.

    Raises:
        InvalidInput: answer-too-large, when it is larger than a function may answer.
    """
    data = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    # The gateway is told the body as JSON text, which escapes these once more: what counts is what Lambda will see.
    if len(data) + data.count(b'"') + data.count(b"\\") > limits.MAX_ANSWER_BYTES:
        raise InvalidInput(
            f"the answer would be larger than {limits.MAX_ANSWER_BYTES} bytes: ask for less at a time",
            kind=ErrorKind.ANSWER_TOO_LARGE,
        )
    return Response(status=status, body=data)


def error_response(error: ShardlakeError) -> Response:
    """Returns the contract's error object under the error's own status."""
    allowed = error.context.get("allowed")
    headers = {"Allow": ", ".join(allowed)} if isinstance(allowed, list) else {}
    body = orjson.dumps(error.to_body(), default=str)
    return Response(status=error.http_status, body=body, headers=headers)


def to_gateway(response: Response) -> dict[str, Any]:
    """Returns the response as API Gateway reads it, in both payload formats."""
    return {
        "statusCode": response.status,
        "headers": {"Content-Type": response.content_type, **response.headers},
        "body": response.body.decode(),
        "isBase64Encoded": False,
    }


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(text).encode("utf-8", "surrogatepass")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("the body is not the base64 that it is said to be") from exc


def _without_stage(path: str, stage: str | None) -> str:
    if stage in {None, "", DEFAULT_STAGE}:
        return path
    rest = path.removeprefix(f"/{stage}")
    return rest if rest != path and rest[:1] in {"", "/"} else path
