"""One line an invocation, whatever happens inside."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from shardlake.errors import ErrorKind, InvalidInput
from shardlake.observability import MAX_FIELD_CHARS, METRICS, NAMESPACE, Observer
from shardlake.testing import ManualClock


class Listener:
    """An observer, its clock and the lines that it wrote."""

    def __init__(self, service: str) -> None:
        self.clock = ManualClock()
        self._stream = io.StringIO()
        # Loggers of one service name share a stream, so each test has a service of its own.
        self.observer = Observer(service, clock=self.clock, stream=self._stream)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def listener(request: pytest.FixtureRequest) -> Listener:
    return Listener(f"service-of-{request.node.name}")


def test_an_invocation_is_one_line_with_its_facts(listener: Listener) -> None:
    with listener.observer.invocation("search", request_id="r-1") as line:
        with line.phase("plan"):
            listener.clock.advance(0.002)
        for _ in range(2):
            with line.phase("shards"):
                listener.clock.advance(0.005)
        line.add(version="000001-a", bytes_read=123)

    (written,) = listener.lines()
    assert written["message"] == "invocation"
    assert written["operation"] == "search"
    assert written["request_id"] == "r-1"
    assert written["outcome"] == "ok"
    assert written["took_ms"] == {"plan": 2.0, "shards": 10.0}
    assert written["total_ms"] == 12.0
    assert written["bytes_read"] == 123
    assert written["level"] == "INFO"


def test_the_first_invocation_of_a_process_is_the_cold_one(listener: Listener) -> None:
    for _ in range(2):
        with listener.observer.invocation("search", request_id="r"):
            pass

    assert [line["cold_start"] for line in listener.lines()] == [True, False]


def test_the_line_carries_its_metrics_in_the_embedded_form(listener: Listener) -> None:
    with listener.observer.invocation("search", request_id="r") as line:
        line.add(bytes_read=5, codes_scanned=7, version="v")

    (written,) = listener.lines()
    (directive,) = written["_aws"]["CloudWatchMetrics"]
    names = {metric["Name"] for metric in directive["Metrics"]}
    assert directive["Namespace"] == NAMESPACE
    assert directive["Dimensions"] == [["service"]]
    assert names == {"TotalMs", "Failed", "BytesRead", "CodesScanned"}
    assert all(name in written for name in names)


def test_metrics_of_one_invocation_do_not_leak_into_the_next(listener: Listener) -> None:
    with listener.observer.invocation("search", request_id="r") as line:
        line.add(bytes_read=5)
    with listener.observer.invocation("search", request_id="r"):
        pass

    assert "BytesRead" not in listener.lines()[1]


def test_an_error_of_ours_is_the_outcome_and_passes_through(listener: Listener) -> None:
    with pytest.raises(InvalidInput), listener.observer.invocation("search", request_id="r"):
        raise InvalidInput("k is too large", kind=ErrorKind.K_OUT_OF_RANGE)

    (written,) = listener.lines()
    assert written["outcome"] == "k-out-of-range"
    assert written["Failed"] == [1.0]
    assert written["level"] == "WARNING"
    assert "exception" not in written


def test_a_handler_may_answer_an_error_without_raising_it(listener: Listener) -> None:
    with listener.observer.invocation("search", request_id="r") as line:
        line.fail(InvalidInput("no"))

    assert listener.lines()[0]["outcome"] == "invalid-request"


def test_a_bug_is_logged_with_its_stack(listener: Listener) -> None:
    with pytest.raises(ZeroDivisionError), listener.observer.invocation("search", request_id="r"):
        _ = 1 / 0

    (written,) = listener.lines()
    assert written["outcome"] == "internal"
    assert written["level"] == "ERROR"
    assert "ZeroDivisionError" in written["exception"]


def test_a_long_text_is_cut(listener: Listener) -> None:
    with listener.observer.invocation("search", request_id="r") as line:
        line.add(note="x" * 10_000)

    assert len(listener.lines()[0]["note"]) == MAX_FIELD_CHARS


def test_no_log_level_of_the_environment_silences_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "CRITICAL")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "CRITICAL")
    listener = Listener("silenced-or-not")

    with listener.observer.invocation("search", request_id="r"):
        pass

    assert len(listener.lines()) == 1


def test_metric_names_are_told_apart() -> None:
    assert len({spec.name for spec in METRICS.values()}) == len(METRICS)
    assert all(spec.merge for spec in METRICS.values())


def test_neither_the_sdk_nor_tracing_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import sys, shardlake.observability as o; o.Observer('x'); print({'boto3', 'aws_xray_sdk'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert answer.stdout.strip() == "set()"
