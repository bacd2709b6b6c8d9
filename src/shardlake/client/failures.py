"""Turns what went wrong on the wire into Shardlake's errors: the server's error object, a gateway's answer, no answer.

The server's kind is kept. A kind that this release does not know (the server is newer) keeps its class by status, and
the name it came with in `context["server_kind"]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from shardlake.errors import (
    Conflict,
    DeadlineExceeded,
    ErrorKind,
    Forbidden,
    InternalError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    NotImplementedYet,
    Overloaded,
    ShardlakeError,
    Unauthenticated,
    Unavailable,
    class_of,
)

if TYPE_CHECKING:
    from shardlake.types import Json

# For answers without a kind that we know.
_BY_STATUS: dict[int, type[ShardlakeError]] = {
    400: InvalidInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: InvalidInput,
    429: Overloaded,
    500: InternalError,
    501: NotImplementedYet,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}
# What an answer means that our code did not write: the gateway's, a proxy's, the object store's.
_FOREIGN_KINDS: dict[int, ErrorKind] = {
    404: ErrorKind.ROUTE_NOT_FOUND,
    405: ErrorKind.METHOD_NOT_ALLOWED,
    413: ErrorKind.PAYLOAD_TOO_LARGE,
    500: ErrorKind.INTERNAL,
    502: ErrorKind.API_UNREACHABLE,
    503: ErrorKind.API_UNREACHABLE,
}
FIRST_SERVER_ERROR = 500
_EXCERPT_CHARS = 200


def refused(status: int, headers: Mapping[str, str], content: bytes) -> ShardlakeError:
    """Returns the error that a reply with status 400 or above means."""
    fallback = InvalidInput if status < FIRST_SERVER_ERROR else InternalError
    by_status = _BY_STATUS.get(status, fallback)
    try:
        return error_in(orjson.loads(content), unknown=by_status)
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return _foreign(by_status, status, headers, content)


def error_in(body: Any, *, unknown: type[ShardlakeError] = InternalError) -> ShardlakeError:  # noqa: ANN401  # JSON
    """Returns the error in {"error": {"kind", "message", "details"}}; `unknown` is the class for a kind we do not know.

    Raises:
        KeyError, TypeError, IndexError: `body` is nothing of the kind.
    """
    name, message, details = body["error"]["kind"], body["error"]["message"], body["error"].get("details")
    if not (isinstance(name, str) and isinstance(message, str)):
        raise TypeError("kind and message are strings")
    context = details if isinstance(details, dict) else {}
    known = name in ErrorKind.__members__.values()
    error = class_of(ErrorKind(name))(message, kind=ErrorKind(name)) if known else unknown(message)
    # Set, not passed: a detail may be called `kind` or `message`, which the constructor keeps for itself.
    error.context = context if known else context | {"server_kind": name}
    return error


@contextmanager
def network_errors(url: str, *, timeout_s: float) -> Iterator[None]:
    """Foreign exceptions end here.

    Raises:
        DeadlineExceeded: the request left and no answer came within `timeout_s`.
        Unavailable: api-unreachable, for everything else that keeps a request from its answer.
        InvalidInput: the URL is none.
    """
    try:
        yield
    except (httpx.ReadTimeout, httpx.WriteTimeout) as exc:
        raise DeadlineExceeded(f"no answer within {timeout_s:g} s", url=_place(url)) from exc
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        raise InvalidInput(f"not a URL that can be asked: {exc}", url=url) from exc
    except httpx.RequestError as exc:
        raise Unavailable(
            f"cannot reach {_place(url)}; is the local cloud up? run `shardlake up`, or set SHARDLAKE_URL",
            kind=ErrorKind.API_UNREACHABLE,
            cause=str(exc) or type(exc).__name__,
        ) from exc


def decode(content: bytes, *, doing: str) -> dict[str, Json]:
    """Returns the JSON object of a successful answer. Raises InternalError when it is none."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        raise malformed(doing) from exc
    if not isinstance(value, dict):
        raise malformed(doing)
    return value


def malformed(doing: str) -> InternalError:
    """Returns the error for an answer that breaks the contract: no client can go on from it."""
    return InternalError(
        "the answer is not what the contract promises; is SHARDLAKE_URL the base of a Shardlake API?",
        kind=ErrorKind.INTERNAL,
        doing=doing,
    )


def _foreign(cls: type[ShardlakeError], status: int, headers: Mapping[str, str], content: bytes) -> ShardlakeError:
    return cls(
        f"answered {status} without a Shardlake error; is SHARDLAKE_URL the base of a Shardlake API?",
        kind=_FOREIGN_KINDS.get(status),
        status=status,
        content_type=headers.get("content-type", ""),
        body=content[:_EXCERPT_CHARS].decode(errors="replace"),
    )


def _place(url: str) -> str:
    # Never a presigned URL's query: it is a credential, and errors are logged.
    return url.partition("?")[0]
