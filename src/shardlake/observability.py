"""What a function says of itself: one canonical line an invocation, which carries its metrics and timings.

The line is one JSON object on stdout. Its `_aws` part is CloudWatch's embedded metric format, so that one line is both
the log and the metrics, and neither costs a call. Never in it: vectors, media, text or filters of a user.

    observer = Observer("router")                                   # once a process, in handler.py
    with observer.invocation("search", request_id=request_id) as line:
        with line.phase("plan"):
            ...
        line.add(version=pointer.version, bytes_read=123)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import orjson
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from shardlake.deadline import Clock
from shardlake.errors import ErrorKind, ShardlakeError

NAMESPACE = "Shardlake"
MAX_FIELD_CHARS = 256  # of one text in the line: names and ids fit, content does not belong there

Field: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric: its name in CloudWatch, its unit, and how values of several invocations are put together."""

    name: str
    unit: MetricUnit
    merge: str


METRICS: dict[str, MetricSpec] = {
    "total_ms": MetricSpec("TotalMs", MetricUnit.Milliseconds, "worst and percentiles"),
    "failed": MetricSpec("Failed", MetricUnit.Count, "sum"),
    "cold_starts": MetricSpec("ColdStarts", MetricUnit.Count, "sum"),
    "invocations": MetricSpec("Invocations", MetricUnit.Count, "sum"),
    "object_reads": MetricSpec("ObjectReads", MetricUnit.Count, "sum"),
    "bytes_read": MetricSpec("BytesRead", MetricUnit.Bytes, "sum"),
    "codes_scanned": MetricSpec("CodesScanned", MetricUnit.Count, "sum"),
    "shards_failed": MetricSpec("ShardsFailed", MetricUnit.Count, "sum"),
    "items_accepted": MetricSpec("ItemsAccepted", MetricUnit.Count, "sum"),
    "items_rejected": MetricSpec("ItemsRejected", MetricUnit.Count, "sum"),
    "laws_broken": MetricSpec("LawsBroken", MetricUnit.Count, "sum, must be 0"),
    "recall_measured": MetricSpec("RecallMeasured", MetricUnit.NoUnit, "mean; by collection and band, in [0, 1]"),
    "recall_promised": MetricSpec("RecallPromised", MetricUnit.NoUnit, "mean; beside RecallMeasured, in [0, 1]"),
}
"""Fields of the line that are metrics too. Public names: append, never rename."""


class Line:
    """The facts of one invocation, gathered on the way and written once at its end."""

    def __init__(self, *, clock: Clock, tracer: Tracer | None) -> None:
        self.fields: dict[str, Field] = {}
        self.dimensions: dict[str, str] = {}
        self.took_ms: dict[str, float] = {}
        self.outcome = "ok"
        self._clock = clock
        self._tracer = tracer

    def add(self, **fields: Field) -> None:
        """Adds facts; a later value of the same name stands. A long text is cut."""
        for name, value in fields.items():
            self.fields[name] = value[:MAX_FIELD_CHARS] if isinstance(value, str) else value

    def by(self, **dimensions: str) -> None:
        """Tells the metrics of this line apart by more than the service: each value is a metric of its own."""
        self.dimensions |= dimensions

    def fail(self, error: ShardlakeError) -> None:
        """Makes the error's kind the outcome, for a handler that answers with an error instead of raising one."""
        self.outcome = str(error.kind)
        self.add(error_message=error.message)
        if "cause" in error.context:  # what a foreign service said; the answer does not repeat it
            self.add(error_cause=str(error.context["cause"]))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a phase; phases of one name add up. With tracing on it is a subsegment as well."""
        segment: AbstractContextManager[Any] = nullcontext()
        if self._tracer is not None:
            segment = self._tracer.provider.in_subsegment(f"## {name}")
        began = self._clock()
        try:
            with segment:
                yield
        finally:
            self.took_ms[name] = self.took_ms.get(name, 0.0) + _ms_since(began, self._clock)


class Observer:
    """The logger, metrics and tracer of one function.

    Args:
        service: the function's name in logs and the dimension of its metrics.
        trace: X-Ray subsegments for phases. Off by default: its SDK costs a cold start 0.2 s.
        clock: a monotonic clock in seconds.
        stream: where lines go; stdout when absent.
    """

    def __init__(
        self, service: str, *, trace: bool = False, clock: Clock = time.perf_counter, stream: IO[str] | None = None
    ) -> None:
        self.service = service
        # The level is said here, so that a LOG_LEVEL that came with the environment cannot silence the line.
        self.logger = Logger(
            service=service,
            level="INFO",
            stream=stream,
            json_serializer=_json,
            serialize_stacktrace=False,
            location=None,
            utc=True,
        )
        self._tracer = Tracer(service=service) if trace else None
        self._clock = clock
        self._cold = True

    @contextmanager
    def invocation(self, name: str, *, request_id: str) -> Iterator[Line]:
        """Yields the line of one invocation and writes it, whatever happens inside; exceptions pass through."""
        line = Line(clock=self._clock, tracer=self._tracer)
        line.add(operation=name, request_id=request_id, cold_start=self._cold)
        self._cold = False
        began = self._clock()
        bug: BaseException | None = None
        try:
            yield line
        except ShardlakeError as error:
            line.fail(error)
            raise
        except BaseException as error:
            line.outcome = str(ErrorKind.INTERNAL)
            bug = error
            raise
        finally:
            line.add(total_ms=_ms_since(began, self._clock))
            self._write(line, bug)

    def _write(self, line: Line, bug: BaseException | None) -> None:
        failed = line.outcome != "ok"
        fields: dict[str, Any] = {**line.fields, "outcome": line.outcome, "took_ms": line.took_ms}
        fields |= self._metrics({**line.fields, "failed": int(failed)}, line.dimensions)
        if bug is not None:  # the one case where the stack belongs in the line
            self.logger.error("invocation", exc_info=bug, extra=fields)
        elif failed:
            self.logger.warning("invocation", extra=fields)
        else:
            self.logger.info("invocation", extra=fields)

    def _metrics(self, fields: dict[str, Field], dimensions: dict[str, str]) -> dict[str, Any]:
        provider = AmazonCloudWatchEMFProvider(
            namespace=NAMESPACE, service=self.service, metric_set={}, dimension_set=dict(dimensions)
        )
        for name, spec in METRICS.items():
            value = fields.get(name)
            if isinstance(value, int | float):
                provider.add_metric(name=spec.name, unit=spec.unit, value=value)
        return dict(provider.serialize_metric_set())


def _ms_since(began_s: float, clock: Clock) -> float:
    return round((clock() - began_s) * 1000, 3)


def _json(line: dict[str, Any]) -> str:
    return orjson.dumps(line, default=str).decode()
