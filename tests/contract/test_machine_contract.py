"""The laws of a state machine, for Step Functions of every cloud and for the one in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from shardlake.errors import Forbidden, InternalError, Overloaded, ShardlakeError, Unavailable
from shardlake.rpc.base import Machine
from shardlake.rpc.step_functions import ERRORS, StepFunctionsMachine
from shardlake.testing import MemoryMachine

NOTHING = {"StartAt": "done", "States": {"done": {"Type": "Succeed"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A machine, and what it was started with: {name: message}."""

    machine: Machine
    started: Callable[[], Mapping[str, Any]]


@pytest.fixture(params=["memory", "ministack", "moto"])
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    if request.param == "memory":
        memory = MemoryMachine()
        yield Deployment(
            machine=memory, started=lambda: {name: json.loads(text) for name, text in memory.started.items()}
        )
        return
    client = boto3.client("stepfunctions", endpoint_url=request.getfixturevalue(request.param))
    arn = client.create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}",
        definition=json.dumps(NOTHING),
        roleArn="arn:aws:iam::123456789012:role/states",
    )["stateMachineArn"]

    def started() -> Mapping[str, Any]:
        found = client.list_executions(stateMachineArn=arn)["executions"]
        described = [client.describe_execution(executionArn=one["executionArn"]) for one in found]
        return {one["name"]: json.loads(one["input"]) for one in described}

    yield Deployment(machine=StepFunctionsMachine(arn, client=client), started=started)
    client.close()


def test_an_execution_begins_with_its_message(deployment: Deployment) -> None:
    deployment.machine.start("build-1-0a1b", b'{"collection":"films","number":0}')

    assert deployment.started() == {"build-1-0a1b": {"collection": "films", "number": 0}}


def test_what_was_started_before_is_not_started_again(deployment: Deployment) -> None:
    for message in (b'{"a":1}', b'{"a":1}', b'{"a":2}'):
        deployment.machine.start("once", message)
    deployment.machine.start("another", b'{"a":3}')

    assert deployment.started() == {"once": {"a": 1}, "another": {"a": 3}}


def test_a_machine_that_is_not_there_is_unavailable(ministack: str) -> None:
    client = boto3.client("stepfunctions", endpoint_url=ministack)
    arn = "arn:aws:states:us-east-1:000000000000:stateMachine:nowhere"

    with pytest.raises(Unavailable):
        StepFunctionsMachine(arn, client=client).start("once", b"{}")


class Failing:
    """A client that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def start_execution(self, **_request: str) -> object:
        raise self._error


def answered(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "StartExecution")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((answered(code), meaning.error) for code, meaning in ERRORS.codes.items()),
        (answered("NobodyKnows"), InternalError),
        (EndpointConnectionError(endpoint_url="x"), Unavailable),
        (NoCredentialsError(), Forbidden),
    ],
)
def test_every_failure_is_one_of_ours(error: Exception, expected: type[ShardlakeError]) -> None:
    with pytest.raises(expected):
        StepFunctionsMachine("arn", client=Failing(error)).start("once", b"{}")


def test_a_full_machine_is_tried_again_later() -> None:
    assert ERRORS.codes["ExecutionLimitExceeded"].error is Overloaded
