"""Every error Shardlake raises, by what the caller should do.

ShardlakeError
├── InvalidInput       400  the client is wrong, do not retry       (also ValueError)
├── Unauthenticated    401  nobody is known to be asking
├── Forbidden          403  the caller may not do this
├── NotFound           404  the name is wrong                       (also KeyError)
├── MethodNotAllowed   405  the route exists, not for this method
├── Conflict           409  another writer won: refresh             (certain: own files may be deleted)
├── Overloaded         429  slow down and try again
├── FormatError        500  bytes contradict the specification
├── InternalError      500  our bug
├── NotImplementedYet  501  the contract names it, this release does not serve it
├── Unavailable        503  a dependency failed for now: retry
├── CommitUnknown      503  the reply was lost: read back           (uncertain: nothing may be deleted)
└── DeadlineExceeded   504  the time is gone, do not retry

The `kind` of an error is public API: kinds are appended, never renamed. `docs/errors.md` has a row for each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorKind(StrEnum):
    """Stable machine codes. Append only."""

    INVALID_REQUEST = "invalid-request"
    INVALID_JSON = "invalid-json"
    INVALID_COLLECTION = "invalid-collection"
    INVALID_ITEMS = "invalid-items"
    INVALID_ITEM = "invalid-item"
    INVALID_FILTER = "invalid-filter"
    INVALID_VECTOR = "invalid-vector"
    INVALID_VECTOR_DIMENSION = "invalid-vector-dimension"
    INVALID_MEDIA = "invalid-media"
    INVALID_FILE = "invalid-file"
    MEDIA_TOO_LARGE = "media-too-large"
    PAYLOAD_TOO_LARGE = "payload-too-large"
    ANSWER_TOO_LARGE = "answer-too-large"
    K_OUT_OF_RANGE = "k-out-of-range"
    UNKNOWN_MODALITY = "unknown-modality"
    UNKNOWN_SPACE = "unknown-space"
    UNKNOWN_ENCODER = "unknown-encoder"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    FORBIDDEN_LOCATION = "forbidden-location"
    ROUTE_NOT_FOUND = "route-not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    COLLECTION_NOT_FOUND = "collection-not-found"
    BUILD_NOT_FOUND = "build-not-found"
    ITEM_NOT_FOUND = "item-not-found"
    VERSION_NOT_FOUND = "version-not-found"
    OBJECT_NOT_FOUND = "object-not-found"
    NAME_TAKEN = "name-taken"
    OBJECT_EXISTS = "object-exists"
    COMMIT_CONFLICT = "commit-conflict"
    NOTHING_TO_BUILD = "nothing-to-build"
    THROTTLED = "throttled"
    BAD_MAGIC = "bad-magic"
    UNSUPPORTED_VERSION = "unsupported-version"
    CHECKSUM_MISMATCH = "checksum-mismatch"
    MALFORMED_FILE = "malformed-file"
    INVARIANT_BROKEN = "invariant-broken"
    INTERNAL = "internal"
    NOT_IMPLEMENTED = "not-implemented"
    STORE_UNAVAILABLE = "store-unavailable"
    CATALOG_UNAVAILABLE = "catalog-unavailable"
    FUNCTION_UNAVAILABLE = "function-unavailable"
    ENCODER_UNAVAILABLE = "encoder-unavailable"
    NO_SHARD_ANSWERED = "no-shard-answered"
    API_UNREACHABLE = "api-unreachable"
    COMMIT_UNKNOWN = "commit-unknown"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    LOCAL_CLOUD = "local-cloud"
    ENCODER_CHANGED = "encoder-changed"
    INVALID_RANK = "invalid-rank"
    INVALID_CURSOR = "invalid-cursor"
    INVALID_FACET = "invalid-facet"
    FACET_TOO_LARGE = "facet-too-large"
    INVALID_MATCH = "invalid-match"
    TOO_MANY_VALUES = "too-many-values"
    ALIAS_NOT_FOUND = "alias-not-found"
    EVENT_TOO_LATE = "event-too-late"
    BUILD_FAILED = "build-failed"


class ShardlakeError(Exception):
    """The root: a stable kind, a lowercase message without a final period, and context as fields.

    Attributes:
        kind: the stable code.
        message: one sentence for a person; says what to do next where that is known.
        context: JSON-serialisable fields, shown to the caller as `details`.
    """

    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL

    def __init__(self, message: str, *, kind: ErrorKind | None = None, **context: object) -> None:
        self.kind = ErrorKind(kind) if kind is not None else self.default_kind
        self.message = message
        self.context = context
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.kind, self.context)

    def to_body(self) -> dict[str, object]:
        """Returns the contract's error object: {"error": {"kind", "message", "details"}}.

        A foreign service's own words, `cause`, name accounts, roles and buckets: they go to the log, to no caller.
        """
        details = {name: value for name, value in self.context.items() if name != "cause"}
        return {"error": {"kind": str(self.kind), "message": self.message, "details": details}}


def _rebuild(cls: type[ShardlakeError], message: str, kind: ErrorKind, context: dict[str, object]) -> ShardlakeError:
    return cls(message, kind=kind, **context)


class InvalidInput(ShardlakeError, ValueError):
    """The client is wrong; repeating the request cannot help."""

    http_status = 400
    default_kind = ErrorKind.INVALID_REQUEST


class Unauthenticated(ShardlakeError):
    """No valid token came with the request."""

    http_status = 401
    default_kind = ErrorKind.UNAUTHENTICATED


class Forbidden(ShardlakeError):
    """The caller may not do this, or the place named lies outside the deployment."""

    http_status = 403
    default_kind = ErrorKind.FORBIDDEN


class NotFound(ShardlakeError, KeyError):
    """The name is wrong."""

    http_status = 404
    default_kind = ErrorKind.OBJECT_NOT_FOUND
    __str__ = ShardlakeError.__str__


class MethodNotAllowed(ShardlakeError):
    """The route exists and does not answer this method."""

    http_status = 405
    default_kind = ErrorKind.METHOD_NOT_ALLOWED


class Conflict(ShardlakeError):
    """Another writer certainly won: refresh and decide again; own files may be deleted."""

    http_status = 409
    default_kind = ErrorKind.COMMIT_CONFLICT


class Overloaded(ShardlakeError):
    """Throttled by us or by a dependency: back off, then retry."""

    http_status = 429
    retryable = True
    default_kind = ErrorKind.THROTTLED


class FormatError(ShardlakeError):
    """Stored bytes contradict `docs/format.md`."""

    http_status = 500
    default_kind = ErrorKind.MALFORMED_FILE


class InternalError(ShardlakeError):
    """Our bug: an invariant does not hold."""

    http_status = 500
    default_kind = ErrorKind.INVARIANT_BROKEN


class NotImplementedYet(ShardlakeError):
    """The contract names this, and this release does not serve it yet."""

    http_status = 501
    default_kind = ErrorKind.NOT_IMPLEMENTED


class Unavailable(ShardlakeError):
    """A dependency failed transiently: retry."""

    http_status = 503
    retryable = True
    default_kind = ErrorKind.STORE_UNAVAILABLE


class CommitUnknown(ShardlakeError):
    """The reply to a commit was lost: read the pointer back; delete nothing."""

    http_status = 503
    retryable = True
    default_kind = ErrorKind.COMMIT_UNKNOWN


class DeadlineExceeded(ShardlakeError):
    """The time of the request is gone."""

    http_status = 504
    default_kind = ErrorKind.DEADLINE_EXCEEDED


_CLASS_OF: dict[type[ShardlakeError], tuple[ErrorKind, ...]] = {
    Unauthenticated: (ErrorKind.UNAUTHENTICATED,),
    Forbidden: (ErrorKind.FORBIDDEN, ErrorKind.FORBIDDEN_LOCATION),
    NotFound: (
        ErrorKind.ROUTE_NOT_FOUND,
        ErrorKind.COLLECTION_NOT_FOUND,
        ErrorKind.BUILD_NOT_FOUND,
        ErrorKind.ITEM_NOT_FOUND,
        ErrorKind.VERSION_NOT_FOUND,
        ErrorKind.OBJECT_NOT_FOUND,
        ErrorKind.ALIAS_NOT_FOUND,
    ),
    MethodNotAllowed: (ErrorKind.METHOD_NOT_ALLOWED,),
    Conflict: (
        ErrorKind.NAME_TAKEN,
        ErrorKind.OBJECT_EXISTS,
        ErrorKind.COMMIT_CONFLICT,
        ErrorKind.NOTHING_TO_BUILD,
        ErrorKind.ENCODER_CHANGED,
        ErrorKind.TOO_MANY_VALUES,
        ErrorKind.BUILD_FAILED,
    ),
    Overloaded: (ErrorKind.THROTTLED,),
    FormatError: (
        ErrorKind.BAD_MAGIC,
        ErrorKind.UNSUPPORTED_VERSION,
        ErrorKind.CHECKSUM_MISMATCH,
        ErrorKind.MALFORMED_FILE,
    ),
    InternalError: (ErrorKind.INVARIANT_BROKEN, ErrorKind.INTERNAL),
    NotImplementedYet: (ErrorKind.NOT_IMPLEMENTED,),
    Unavailable: (
        ErrorKind.STORE_UNAVAILABLE,
        ErrorKind.CATALOG_UNAVAILABLE,
        ErrorKind.FUNCTION_UNAVAILABLE,
        ErrorKind.ENCODER_UNAVAILABLE,
        ErrorKind.NO_SHARD_ANSWERED,
        ErrorKind.API_UNREACHABLE,
        ErrorKind.LOCAL_CLOUD,
    ),
    CommitUnknown: (ErrorKind.COMMIT_UNKNOWN,),
    DeadlineExceeded: (ErrorKind.DEADLINE_EXCEEDED,),
}


def class_of(kind: ErrorKind) -> type[ShardlakeError]:
    """Returns the class that errors of this kind belong to: what the client is wrong about is InvalidInput."""
    return next((cls for cls, kinds in _CLASS_OF.items() if kind in kinds), InvalidInput)


def from_body(body: object) -> ShardlakeError:
    """Returns the error in a function's answer {"error": {...}}, so that it can be raised again on this side.

    An unknown kind, or another shape, is an InternalError: the two sides disagree.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or error.get("kind") not in ErrorKind.__members__.values():
        return InternalError("a function answered an error that is not one of ours", kind=ErrorKind.INTERNAL)
    kind, details = ErrorKind(error["kind"]), error.get("details")
    named = {str(name): value for name, value in details.items()} if isinstance(details, dict) else {}
    named = {name: value for name, value in named.items() if name not in {"message", "kind", "self"}}
    return class_of(kind)(str(error.get("message", "")), kind=kind, **named)
