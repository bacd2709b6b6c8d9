"""How an adapter turns foreign exceptions into ours: one table an adapter, one rule for all.

Knows no SDK: an adapter brings the table of its service. The most specific entry wins: the service's error code, then
the exception's type (by its method resolution order), then the HTTP status, then InternalError, so that a failure which
nobody foresaw is not retried as if it were a passing one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shardlake.errors import ErrorKind, InternalError, Overloaded, ShardlakeError, Unavailable

MAX_MESSAGE_CHARS = 512  # of a foreign message that our error repeats


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a foreign failure is here: the class says what the caller should do, the kind says what happened."""

    error: type[ShardlakeError]
    kind: ErrorKind
    message: str

    def as_error(self, **context: object) -> ShardlakeError:
        """Returns the error, with `context` as its fields."""
        return self.error(self.message, kind=self.kind, **context)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable:
    """The failures of one service.

    Attributes:
        service: names the service in our errors.
        unavailable: the kind of its Unavailable, for statuses of 500 and above that `codes` does not name.
        codes: by the service's own error code.
        types: by the SDK's exception class; a class stands for its subclasses too.
    """

    service: str
    unavailable: ErrorKind
    codes: Mapping[str, Meaning]
    types: Mapping[type[BaseException], Meaning] = field(default_factory=dict)

    def translate(self, exc: BaseException, **context: object) -> ShardlakeError:
        """Returns our error for `exc`; raise it `from exc`. `context` becomes the error's fields."""
        response: Mapping[str, Any] = getattr(exc, "response", None) or {}
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        meaning = self.codes.get(code) or self._by_type(exc) or self.meaning_of(code, status)
        return meaning.as_error(service=self.service, cause=str(exc)[:MAX_MESSAGE_CHARS], **context)

    def meaning_of(self, code: str, status: int) -> Meaning:
        """Returns what an answer with this error code and HTTP status means."""
        return self.codes.get(code) or self._by_status(status)

    def _by_type(self, exc: BaseException) -> Meaning | None:
        return next((self.types[cls] for cls in type(exc).__mro__ if cls in self.types), None)

    def _by_status(self, status: int) -> Meaning:
        if status == 429:
            return Meaning(Overloaded, ErrorKind.THROTTLED, f"{self.service} asks to slow down")
        if status >= 500:
            return Meaning(Unavailable, self.unavailable, f"{self.service} failed for the moment")
        return Meaning(InternalError, ErrorKind.INTERNAL, f"{self.service} refused a request of ours")
