"""The inbox's queue on Amazon SQS, as ingest sends work to it.

Message by message: few are sent, and a local cloud asks for a right to send batches that AWS does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import boto3

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput, Unavailable
from shardlake.rpc.dead_letters import ours

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
        """Sends messages. Cost: one call each."""
        sizes = [len(body.encode()) for body in bodies]
        if max(sizes, default=0) > limits.MAX_MESSAGE_BYTES:
            raise InvalidInput("the message is too large", kind=ErrorKind.PAYLOAD_TOO_LARGE, size_bytes=max(sizes))
        for body in bodies:
            try:
                self._send(body)
            except InvalidInput as error:  # a deployment's fault: it must cost nobody a file
                raise Unavailable("there is no such queue", kind=ErrorKind.FUNCTION_UNAVAILABLE) from error

    def _send(self, body: str) -> None:
        with ours():
            self._client = self._client or boto3.client("sqs")
            self._client.send_message(QueueUrl=self._queue, MessageBody=body)
