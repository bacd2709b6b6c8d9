"""Events that ingest gave up, on Amazon SQS: put back into the inbox's queue, to be taken in again.

SQS has a task of its own for that (StartMessageMoveTask); local clouds do not, and it says nothing of its progress but
a number. Here a message is sent before it is deleted: a crash in between makes it come twice, which ingest forgives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from shardlake.errors import ErrorKind, Forbidden, InvalidInput, Overloaded, Unavailable
from shardlake.foreign import ErrorTable, Meaning

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH_MESSAGES: Final = 10  # of one receive, send or delete (SQS quotas, 2026-11)
WAIT_S: Final = 1  # a receive that waits asks every server of the queue; one that does not may see an empty one
HIDDEN_S: Final = 60  # how long a message that could not be sent on stays out of sight

COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")

_DOWN = Meaning(Unavailable, ErrorKind.FUNCTION_UNAVAILABLE, "the queue failed for the moment")
_BUSY = Meaning(Overloaded, ErrorKind.THROTTLED, "the queue asks to slow down")
_REFUSED = Meaning(Forbidden, ErrorKind.FORBIDDEN, "the queue refused our credentials")
_NONE = Meaning(InvalidInput, ErrorKind.INVALID_REQUEST, "there is no such queue: is it the stack's InboxQueueUrl?")

ERRORS = ErrorTable(
    service="sqs",
    unavailable=ErrorKind.FUNCTION_UNAVAILABLE,
    # Amazon SQS API reference, Common Errors (2026-11). QueueDoesNotExist has two spellings: of JSON and of query.
    codes={
        **dict.fromkeys(("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"), _NONE),
        **dict.fromkeys(("RequestThrottled", "ThrottlingException", "OverLimit"), _BUSY),
        **dict.fromkeys(("AccessDenied", "AccessDeniedException", "InvalidSecurity", "ExpiredToken"), _REFUSED),
        **dict.fromkeys(("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"), _REFUSED),
    },
    types={
        **dict.fromkeys((ConnectionError, HTTPClientError), _DOWN),
        **dict.fromkeys((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _REFUSED),
    },
)


class SqsDeadLetters:
    """The dead-letter queue behind an inbox's queue.

    Args:
        queue_url: of the inbox's queue, whose policy names the dead-letter queue.

    Raises:
        InvalidInput: where there is no such queue, or none behind it.
    """

    def __init__(self, queue_url: str, *, client: SQSClient | None = None) -> None:
        self._client: SQSClient = client or boto3.client("sqs")
        self._queue = queue_url
        with ours():
            self._dead = self._dead_letters_of(queue_url)

    def count(self) -> int:
        """Returns about how many there are, those that are out of sight included; SQS does not know exactly."""
        with ours():
            answer = self._client.get_queue_attributes(QueueUrl=self._dead, AttributeNames=list(COUNTS))
        return sum(int(answer["Attributes"][name]) for name in COUNTS)

    def redrive(self) -> int:
        """Moves up to ten back into the inbox's queue and returns how many; 0 when none is left.

        Raises:
            Unavailable: when none of those that were there could be sent; all are still dead letters.
        """
        with ours():
            answer = self._client.receive_message(
                QueueUrl=self._dead,
                MaxNumberOfMessages=BATCH_MESSAGES,
                WaitTimeSeconds=WAIT_S,
                VisibilityTimeout=HIDDEN_S,
            )
            messages = answer.get("Messages", [])
            return self._move(messages) if messages else 0

    def _move(self, messages: list[MessageTypeDef]) -> int:
        entries = [{"Id": str(number), "MessageBody": one["Body"]} for number, one in enumerate(messages)]
        sent = self._client.send_message_batch(QueueUrl=self._queue, Entries=entries)  # type: ignore[arg-type]
        moved = [messages[int(one["Id"])] for one in sent.get("Successful", [])]
        if not moved:
            reasons = sorted({one.get("Message", one["Code"]) for one in sent.get("Failed", [])})
            raise Unavailable("no event could be sent", kind=ErrorKind.FUNCTION_UNAVAILABLE, reasons=reasons)
        gone = [{"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]} for number, one in enumerate(moved)]
        self._client.delete_message_batch(QueueUrl=self._dead, Entries=gone)  # type: ignore[arg-type]
        return len(moved)

    def _dead_letters_of(self, queue_url: str) -> str:
        answer = self._client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
        policy = answer.get("Attributes", {}).get("RedrivePolicy")
        if policy is None:
            raise InvalidInput("the queue has no dead-letter queue: is it the stack's InboxQueueUrl?", queue=queue_url)
        name = str(json.loads(policy)["deadLetterTargetArn"]).rpartition(":")[2]
        return self._client.get_queue_url(QueueName=name)["QueueUrl"]


@contextmanager
def ours() -> Iterator[None]:
    """A context in which the SDK's exceptions become ours."""
    try:
        yield
    except (ClientError, BotoCoreError) as exc:
        raise ERRORS.translate(exc) from exc
