from __future__ import annotations

import pytest

from shardlake.client.flows import RETRIES, Exchange, Flow, Pause, Reply, persist, send
from shardlake.errors import (
    DeadlineExceeded,
    ErrorKind,
    InternalError,
    InvalidInput,
    Overloaded,
    ShardlakeError,
    Unavailable,
)

SAFE = Exchange(method="GET", url="/v1/health", safe=True)
UNSAFE = Exchange(method="POST", url="/v1/collections/c/builds")
GOOD = Reply(status=200, content=b'{"a": 1}')
BUSY = Reply(status=429, content=b'{"error": {"kind": "throttled", "message": "slow down", "details": {}}}')


def drive(flow: Flow[object], outcomes: list[Reply | ShardlakeError]) -> tuple[object, list[float]]:
    """Plays outcomes to a flow; returns its result and the pauses it asked for. Nothing waits."""
    pauses: list[float] = []
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = flow.send(None)
                continue
            outcome = outcomes.pop(0)
            step = flow.throw(outcome) if isinstance(outcome, ShardlakeError) else flow.send(outcome)
    except StopIteration as done:
        assert not outcomes
        return done.value, pauses


def test_a_safe_request_is_repeated_until_it_is_answered() -> None:
    result, pauses = drive(send(SAFE), [BUSY, Unavailable("gone", kind=ErrorKind.API_UNREACHABLE), GOOD])

    assert result == {"a": 1}
    assert len(pauses) == 2


def test_pauses_grow_and_stay_bounded() -> None:
    _, pauses = drive(send(SAFE), [BUSY, BUSY, GOOD])

    assert 0.05 <= pauses[0] <= 0.1 <= pauses[1] <= 0.2


def test_an_unsafe_request_is_made_once() -> None:
    with pytest.raises(Overloaded):
        drive(send(UNSAFE), [BUSY])


@pytest.mark.parametrize("error", [InvalidInput("no"), DeadlineExceeded("late"), InternalError("broken")])
def test_an_error_that_will_not_pass_is_not_repeated(error: ShardlakeError) -> None:
    with pytest.raises(type(error)):
        drive(send(SAFE), [error])


def test_the_last_error_is_raised_when_attempts_are_used_up() -> None:
    with pytest.raises(Overloaded, match="slow down"):
        drive(send(SAFE), [BUSY] * (RETRIES + 1))


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b"null"])
def test_an_answer_that_is_no_json_object_is_an_error_and_not_a_result(content: bytes) -> None:
    with pytest.raises(InternalError, match="contract"):
        drive(send(SAFE), [Reply(status=200, content=content)])


def test_a_redirect_or_a_bodiless_answer_passes_through_persist() -> None:
    reply, _ = drive(persist(SAFE), [Reply(status=204)])

    assert reply == Reply(status=204)
