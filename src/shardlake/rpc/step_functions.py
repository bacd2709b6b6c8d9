"""The port of a state machine, on AWS Step Functions."""

from __future__ import annotations

from typing import Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from shardlake.errors import ErrorKind, Forbidden, InternalError, Overloaded, Unavailable
from shardlake.foreign import ErrorTable, Meaning

STARTED_BEFORE = "ExecutionAlreadyExists"  # also of one that has ended, for 90 days

_DOWN = Meaning(Unavailable, ErrorKind.FUNCTION_UNAVAILABLE, "the state machine could not be started")
_BUSY = Meaning(Overloaded, ErrorKind.THROTTLED, "the state machine has no room for another execution")
_REFUSED = Meaning(Forbidden, ErrorKind.FORBIDDEN, "the state machine refused our credentials")
_OURS = Meaning(InternalError, ErrorKind.INTERNAL, "the state machine does not take what it was started with")

ERRORS = ErrorTable(
    service="states",
    unavailable=ErrorKind.FUNCTION_UNAVAILABLE,
    # AWS Step Functions API reference, StartExecution, Errors (2026-11).
    codes={
        **dict.fromkeys(("ExecutionLimitExceeded", "ThrottlingException"), _BUSY),
        **dict.fromkeys(("StateMachineDoesNotExist", "StateMachineDeleting"), _DOWN),
        **dict.fromkeys(("KmsAccessDeniedException", "KmsInvalidStateException", "KmsThrottlingException"), _DOWN),
        **dict.fromkeys(("InvalidArn", "InvalidExecutionInput", "InvalidName", "ValidationException"), _OURS),
        **dict.fromkeys(("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"), _REFUSED),
    },
    types={
        **dict.fromkeys((ConnectionError, HTTPClientError), _DOWN),
        **dict.fromkeys((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _REFUSED),
    },
)


class StatesClient(Protocol):
    """What is used of boto3's client."""

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> object:  # noqa: N803  # boto3's names
        """Starts an execution."""


class StepFunctionsMachine:
    """One state machine.

    Args:
        arn: of the machine.
        client: instead of one of our own.
    """

    def __init__(self, arn: str, *, client: StatesClient | None = None) -> None:
        self._arn = arn
        self._client: StatesClient = client or boto3.client(
            "stepfunctions", config=Config(retries={"mode": "standard", "total_max_attempts": 3})
        )

    def start(self, name: str, message: bytes) -> None:
        """Starts an execution; where one of that name was started before, nothing happens."""
        try:
            self._client.start_execution(stateMachineArn=self._arn, name=name, input=message.decode())
        except (ClientError, BotoCoreError) as exc:
            if getattr(exc, "response", {}).get("Error", {}).get("Code") != STARTED_BEFORE:
                raise ERRORS.translate(exc) from exc
