"""What DynamoDB's failures mean, and writes that are settled: tried until it is certain what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from shardlake.catalog.tables import backoff
from shardlake.errors import (
    Conflict,
    ErrorKind,
    Forbidden,
    InternalError,
    Overloaded,
    ShardlakeError,
    Unavailable,
)
from shardlake.foreign import ErrorTable, Meaning

Foreign = ClientError | BotoCoreError

_DOWN = Meaning(Unavailable, ErrorKind.CATALOG_UNAVAILABLE, "the catalog failed for the moment")
_BUSY = Meaning(Overloaded, ErrorKind.THROTTLED, "the catalog asks to slow down")
_REFUSED = Meaning(Forbidden, ErrorKind.FORBIDDEN, "the catalog refused our credentials")

ERRORS = ErrorTable(
    service="dynamodb",
    unavailable=ErrorKind.CATALOG_UNAVAILABLE,
    # Amazon DynamoDB developer guide, Error handling (2026-11).
    codes={
        **dict.fromkeys(("ProvisionedThroughputExceededException", "ThrottlingException"), _BUSY),
        **dict.fromkeys(("RequestLimitExceeded", "TransactionConflictException", "LimitExceededException"), _BUSY),
        **dict.fromkeys(("TransactionCanceledException", "TransactionInProgressException"), _BUSY),
        "ReplicatedWriteConflictException": _BUSY,
        **dict.fromkeys(("InternalServerError", "InternalFailure", "ServiceUnavailable"), _DOWN),
        **dict.fromkeys(("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"), _REFUSED),
        **dict.fromkeys(("IncompleteSignatureException", "InvalidSignatureException"), _REFUSED),
        "MissingAuthenticationTokenException": _REFUSED,
        "ResourceNotFoundException": Meaning(
            InternalError, ErrorKind.INTERNAL, "the deployment's table does not exist"
        ),
        "ConditionalCheckFailedException": Meaning(Conflict, ErrorKind.COMMIT_CONFLICT, "the row is not as expected"),
    },
    types={
        **dict.fromkeys((ConnectionError, HTTPClientError), _DOWN),
        **dict.fromkeys((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _REFUSED),
    },
)


@contextmanager
def ours() -> Iterator[None]:
    """A context in which the SDK's exceptions become ours."""
    try:
        yield
    except (ClientError, BotoCoreError) as exc:
        raise ERRORS.translate(exc) from exc


def is_refused(exc: Foreign) -> bool:
    """Returns whether a transaction failed because a condition does not hold: certainly nothing of it was done."""
    response: Mapping[str, Any] = getattr(exc, "response", None) or {}
    return "ConditionalCheckFailed" in {reason.get("Code") for reason in response.get("CancellationReasons", ())}


def settle(
    write: Callable[[], object],
    verdict: Callable[[Foreign], ShardlakeError | None],
    *,
    sleep: Callable[[float], None],
) -> None:
    """Writes, again while `verdict` says Overloaded of the failure; None is: what was to be written stands.

    Raises:
        ShardlakeError: as `verdict` says. Overloaded: when it said so each time.
    """
    for wait_s in backoff():
        try:
            write()
            return
        except (ClientError, BotoCoreError) as exc:
            found = verdict(exc)
            if found is None:
                return
            if not isinstance(found, Overloaded):
                raise found from exc
        sleep(wait_s)
    raise Overloaded(_BUSY.message, kind=_BUSY.kind, service=ERRORS.service)
