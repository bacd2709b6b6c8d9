"""The laws of the invoke port, for every adapter."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from shardlake.deadline import Deadline
from shardlake.errors import DeadlineExceeded, ErrorKind, InvalidInput, Overloaded, ShardlakeError, Unavailable
from shardlake.limits import MAX_ASYNC_PAYLOAD_BYTES, MAX_SYNC_PAYLOAD_BYTES
from shardlake.rpc.base import Invoker
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.testing import InProcessInvoker, ManualClock
from tests.contract import well_behaved_or_not

CALLEE = "callee"


@pytest.fixture(scope="module")
def lambda_callee(ministack: str) -> str:
    """The endpoint of a cloud where the callee is deployed."""
    deploy(ministack, CALLEE)
    return ministack


def deploy(endpoint: str, name: str) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(well_behaved_or_not.__file__, "callee.py")
    client = boto3.client("lambda", endpoint_url=endpoint)
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="callee.handler",
        Role="arn:aws:iam::000000000000:role/callee",
        Code={"ZipFile": package.getvalue()},
        Timeout=30,
    )
    client.close()


@pytest.fixture(params=["memory", "ministack"])
def invoker(request: pytest.FixtureRequest) -> Iterator[Invoker]:
    """An invoker for which `callee` stands."""
    if request.param == "memory":
        yield InProcessInvoker({CALLEE: lambda event: dumped(well_behaved_or_not.handler(json.loads(event), None))})
        return
    adapter = LambdaInvoker(endpoint_url=request.getfixturevalue("lambda_callee"))
    yield adapter
    adapter.close()


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def within(timeout_ms: float) -> Deadline:
    return Deadline.after(timeout_ms, clock=time.monotonic)


def kinds(answers: list[bytes | ShardlakeError]) -> list[str]:
    return [answer.kind if isinstance(answer, ShardlakeError) else "ok" for answer in answers]


def test_a_call_returns_the_answer(invoker: Invoker) -> None:
    answer = invoker.invoke(CALLEE, dumped({"say": "ünï"}), deadline=within(20_000))

    assert json.loads(answer) == {"echo": "ünï"}


def test_answers_come_in_the_order_of_the_payloads(invoker: Invoker) -> None:
    payloads = [dumped({"say": number, "sleep_s": 0.2 if number == 0 else 0}) for number in range(6)]

    answers = invoker.invoke_many(CALLEE, payloads, deadline=within(20_000))

    assert [json.loads(answer)["echo"] for answer in answers if isinstance(answer, bytes)] == list(range(6))


def test_calling_nobody_answers_nothing(invoker: Invoker) -> None:
    assert invoker.invoke_many(CALLEE, [], deadline=within(1_000)) == []


def test_calls_run_beside_each_other(invoker: Invoker) -> None:
    nap = [dumped({"sleep_s": 0.5})] * 4
    invoker.invoke_many(CALLEE, nap, deadline=within(20_000))  # warm

    began = time.monotonic()
    answers = invoker.invoke_many(CALLEE, nap, deadline=within(20_000))

    assert kinds(answers) == ["ok"] * 4
    assert time.monotonic() - began < 1.5, "one after the other takes 2 s"


def test_a_callee_that_raises_is_unavailable(invoker: Invoker) -> None:
    with pytest.raises(Unavailable) as caught:
        invoker.invoke(CALLEE, dumped({"raise": "the user's text"}), deadline=within(20_000))
    assert caught.value.kind is ErrorKind.FUNCTION_UNAVAILABLE
    assert caught.value.context["function"] == CALLEE
    assert "the user's text" not in json.dumps(caught.value.to_body())


def test_an_absent_callee_is_unavailable(invoker: Invoker) -> None:
    with pytest.raises(Unavailable) as caught:
        invoker.invoke("nobody", b"{}", deadline=within(20_000))
    assert caught.value.kind is ErrorKind.FUNCTION_UNAVAILABLE


def test_an_answer_larger_than_a_call_carries_is_unavailable(invoker: Invoker) -> None:
    payload = dumped({"answer_bytes": MAX_SYNC_PAYLOAD_BYTES + 1})

    assert kinds(invoker.invoke_many(CALLEE, [payload], deadline=within(20_000))) == ["function-unavailable"]


def test_failures_are_data_beside_the_answers(invoker: Invoker) -> None:
    payloads = [dumped({"say": 1}), dumped({"raise": "no"}), b'"' + b"x" * MAX_SYNC_PAYLOAD_BYTES + b'"', dumped({})]

    answers = invoker.invoke_many(CALLEE, payloads, deadline=within(20_000))

    assert kinds(answers) == ["ok", "function-unavailable", "payload-too-large", "ok"]


def test_a_straggler_does_not_hold_up_the_answer(invoker: Invoker) -> None:
    invoker.invoke_many(CALLEE, [b"{}"] * 3, deadline=within(20_000))  # warm

    began = time.monotonic()
    answers = invoker.invoke_many(
        CALLEE, [dumped({"say": 1}), dumped({"sleep_s": 4}), dumped({"say": 3})], deadline=within(1_000)
    )

    assert time.monotonic() - began < 1.5
    assert kinds(answers) == ["ok", "deadline-exceeded", "ok"]
    assert isinstance(answers[1], DeadlineExceeded)


def test_nobody_is_called_when_no_time_is_left(invoker: Invoker, tmp_path: Path) -> None:
    clock = ManualClock()
    deadline = Deadline.after(10, clock=clock)
    clock.advance(1)
    payload = dumped({"touch": str(tmp_path / "called")})

    with pytest.raises(DeadlineExceeded):
        invoker.invoke(CALLEE, payload, deadline=deadline)
    assert kinds(invoker.invoke_many(CALLEE, [payload], deadline=deadline)) == ["deadline-exceeded"]
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("size_bytes", [MAX_SYNC_PAYLOAD_BYTES + 1])
def test_a_payload_over_the_limit_is_not_sent(invoker: Invoker, size_bytes: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        invoker.invoke("nobody", b"x" * size_bytes, deadline=within(20_000))
    assert caught.value.kind is ErrorKind.PAYLOAD_TOO_LARGE

    with pytest.raises(InvalidInput):
        invoker.start("nobody", b"x" * (MAX_ASYNC_PAYLOAD_BYTES + 1))


def test_a_started_function_runs_later(invoker: Invoker, tmp_path: Path) -> None:
    invoker.start(CALLEE, dumped({"touch": str(tmp_path / "ran")}))

    if isinstance(invoker, InProcessInvoker):
        assert not (tmp_path / "ran").exists()
        assert invoker.run_started() == 1
    give_up_at = time.monotonic() + 10
    while not (tmp_path / "ran").exists():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_starting_an_absent_function_is_unavailable(invoker: Invoker) -> None:
    with pytest.raises(Unavailable):
        invoker.start("nobody", b"{}")


def test_a_throttled_function_is_overloaded(ministack: str) -> None:
    name = f"throttled-{uuid.uuid4().hex[:8]}"
    deploy(ministack, name)
    client = boto3.client("lambda", endpoint_url=ministack)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    client.close()
    invoker = LambdaInvoker(endpoint_url=ministack)

    with pytest.raises(Overloaded) as caught:
        invoker.invoke(name, b"{}", deadline=within(20_000))
    assert caught.value.kind is ErrorKind.THROTTLED
    invoker.close()
