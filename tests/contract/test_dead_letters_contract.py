"""The laws of events given up, for the queues of a cloud and for the lists in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from shardlake.errors import ErrorKind, InvalidInput, Unavailable
from shardlake.rpc.base import DeadLetters
from shardlake.rpc.dead_letters import SqsDeadLetters
from shardlake.testing.memory_letters import MemoryDeadLetters


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Events given up, and both ends of their way."""

    letters: DeadLetters
    give_up: Callable[[str], object]
    arrived: Callable[[], list[str]]


@pytest.fixture(params=["memory", "ministack", "moto"])
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    if request.param == "memory":
        memory = MemoryDeadLetters()
        yield Deployment(letters=memory, give_up=memory.dead.append, arrived=lambda: memory.queue)
        return
    client = boto3.client("sqs", endpoint_url=request.getfixturevalue(request.param))
    queue, dead = queues(client)
    yield Deployment(
        letters=SqsDeadLetters(queue, client=client),
        give_up=lambda body: client.send_message(QueueUrl=dead, MessageBody=body),
        arrived=lambda: bodies(client, queue),
    )
    client.close()


def queues(client: Any) -> tuple[str, str]:
    """Returns the addresses of a queue and of the one behind it, as infra/template.yaml has them."""
    name = f"inbox-{uuid.uuid4().hex[:8]}"
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 12})
    return client.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"], dead


def bodies(client: Any, queue: str) -> list[str]:
    """Returns what lies in a queue."""
    found: list[str] = []
    while messages := client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [one["Body"] for one in messages]
    return found


def test_nothing_given_up_is_nothing_moved(deployment: Deployment) -> None:
    assert deployment.letters.count() == 0
    assert deployment.letters.redrive() == 0
    assert deployment.arrived() == []


def test_every_event_comes_back_once_as_it_was_and_leaves_the_dead(deployment: Deployment) -> None:
    events = [json.dumps({"key": f"inbox/films/zürich {number}.jsonl"}) for number in range(23)]
    for event in events:
        deployment.give_up(event)
    assert deployment.letters.count() == 23

    moved = []
    while batch := deployment.letters.redrive():
        moved.append(batch)

    assert sum(moved) == 23
    assert max(moved) <= 10
    assert sorted(deployment.arrived()) == sorted(events)
    assert deployment.letters.count() == 0


def test_a_queue_without_dead_letters_is_named(ministack: str) -> None:
    client = boto3.client("sqs", endpoint_url=ministack)
    _, dead = queues(client)

    with pytest.raises(InvalidInput, match="InboxQueueUrl") as caught:
        SqsDeadLetters(dead, client=client)
    assert caught.value.context["queue"] == dead

    with pytest.raises(InvalidInput, match="no such queue"):
        SqsDeadLetters(f"{dead}-not", client=client)


def test_what_cannot_be_sent_stays(ministack: str) -> None:
    client = boto3.client("sqs", endpoint_url=ministack)
    queue, dead = queues(client)
    letters = SqsDeadLetters(queue, client=client)
    client.send_message(QueueUrl=dead, MessageBody="{}")
    client.delete_queue(QueueUrl=queue)

    with pytest.raises((InvalidInput, Unavailable)) as caught:
        letters.redrive()
    assert caught.value.kind in {ErrorKind.INVALID_REQUEST, ErrorKind.FUNCTION_UNAVAILABLE}

    attributes = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "1"
    assert letters.count() == 1
