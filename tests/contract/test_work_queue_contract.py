"""The laws of sending work, for the queues of a cloud and for the list in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import boto3
import pytest

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput, Unavailable
from shardlake.rpc.base import WorkQueue
from shardlake.rpc.work_queue import SqsWorkQueue
from shardlake.testing import MemoryQueue
from tests.contract.test_dead_letters_contract import bodies


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Both ends of a queue."""

    queue: WorkQueue
    arrived: Callable[[], list[str]]


@pytest.fixture(params=["memory", "ministack", "moto"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    if request.param == "memory":
        memory = MemoryQueue()
        yield Way(queue=memory, arrived=lambda: memory.waiting)
        return
    client = boto3.client("sqs", endpoint_url=request.getfixturevalue(request.param))
    url = client.create_queue(QueueName=f"inbox-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    yield Way(queue=SqsWorkQueue(url, client=client), arrived=lambda: bodies(client, url))
    client.close()


def test_every_message_arrives_as_it_was(way: Way) -> None:
    messages = [f'{{"key": "zürich {number}"}}' for number in range(23)]

    way.queue.send([])
    way.queue.send(messages[:1])
    way.queue.send(messages[1:])

    assert sorted(way.arrived()) == sorted(messages)


def test_large_messages_travel_too(way: Way) -> None:
    messages = [str(number) * (limits.MAX_MESSAGE_BYTES * 2 // 5) for number in range(5)]

    way.queue.send(messages)

    assert sorted(way.arrived()) == messages


def test_of_messages_of_which_one_is_too_large_none_is_sent(way: Way) -> None:
    with pytest.raises(InvalidInput) as caught:
        way.queue.send(["a", "ü" * (limits.MAX_MESSAGE_BYTES // 2 + 1)])

    assert caught.value.kind is ErrorKind.PAYLOAD_TOO_LARGE
    assert way.arrived() == []


def test_a_queue_that_is_not_there_is_no_fault_of_a_file(ministack: str) -> None:
    client = boto3.client("sqs", endpoint_url=ministack)

    with pytest.raises(Unavailable) as caught:
        SqsWorkQueue(f"{ministack}/000000000000/none", client=client).send(["a"])

    assert caught.value.kind is ErrorKind.FUNCTION_UNAVAILABLE
