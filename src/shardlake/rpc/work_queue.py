"""The inbox's queue on Amazon SQS, as ingest sends work to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import boto3

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput, Unavailable
from shardlake.rpc.dead_letters import BATCH_MESSAGES, ours

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsWorkQueue:
    """A queue by its address.

    Args:
        queue_url: of the queue.
        client: an SQS client to use instead of one of our own, which is made when the first message is sent: most
            invocations send none.
    """

    def __init__(self, queue_url: str, *, client: SQSClient | None = None) -> None:
        self._queue = queue_url
        self._client = client

    def send(self, bodies: Sequence[str]) -> None:
        """Sends messages. Cost: one call for up to ten."""
        for batch in list(_batches(bodies)):
            try:
                self._send(batch)
            except InvalidInput as error:  # a deployment's fault: it must cost nobody a file
                raise Unavailable("there is no such queue", kind=ErrorKind.FUNCTION_UNAVAILABLE) from error

    def _send(self, batch: list[str]) -> None:
        with ours():
            self._client = self._client or boto3.client("sqs")
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            sent = self._client.send_message_batch(QueueUrl=self._queue, Entries=entries)  # type: ignore[arg-type]
        if failed := sent.get("Failed", []):
            reasons = sorted({one.get("Message", one["Code"]) for one in failed})
            raise Unavailable("a message was not sent", kind=ErrorKind.FUNCTION_UNAVAILABLE, reasons=reasons)


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        more = len(body.encode())
        if more > limits.MAX_MESSAGE_BYTES:
            raise InvalidInput("the message is too large", kind=ErrorKind.PAYLOAD_TOO_LARGE, size_bytes=more)
        if batch and (len(batch) == BATCH_MESSAGES or size + more > limits.MAX_MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += more
    if batch:
        yield batch
