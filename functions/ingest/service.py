"""A batch of queue messages: each is taken in, or reported to be delivered again. One line says what became of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from functions.ingest import job, parts
from functions.ingest.events import MAX_DELIVERIES, Drop
from functions.ingest.files import Outcome
from functions.ingest.upkeep import start_due
from functions.ingest.work import Work, task_of
from functions.ingest.world import World
from shardlake.catalog.base import CollectionRow
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InternalError, ShardlakeError
from shardlake.observability import Line, Observer

PASSED_ON = "passed_on"


def take_batch(
    event: dict[str, Any],
    world: Callable[[], World],
    *,
    observer: Observer,
    request_id: str,
    deadline: Deadline,
) -> PartialItemFailureResponse:
    """Returns the messages that must be delivered again.

    A failure of one message holds up no other. A process that cannot be composed, or an event that is not one of a
    queue, fails the whole batch, so that nothing is lost.
    """
    everything = _all_of(event)
    try:
        with observer.invocation("ingest", request_id=request_id) as line:
            return _processed(event, world(), line, deadline)
    except Exception:  # noqa: BLE001 - the outermost line: the observer has logged it, the queue delivers again
        return everything


def _processed(event: dict[str, Any], world: World, line: Line, deadline: Deadline) -> PartialItemFailureResponse:
    tally = _Tally(line)
    at_first_ms = deadline.remaining_ms()

    def handle(record: SQSRecord) -> None:
        try:
            task = task_of(record.body)
            if isinstance(task, Work) and deadline.remaining_ms() < at_first_ms / 2:
                # Messages of a batch share one run's time, and a part may need all of it: it goes to another run at
                # once, where one that failed would wait until it is visible again.
                world.queue.send([record.body])
                tally.add(Outcome(state=PASSED_ON))
                return
            for outcome in _done(world, task, deadline):
                tally.add(outcome)
        except Exception as exc:
            tally.failed(exc)
            if int(record.attributes.approximate_receive_count) >= MAX_DELIVERIES:
                _give_up(world, record.body, exc)
            raise

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(records=event["Records"], handler=handle):
        processor.process()
    tally.write()
    for row in tally.changed.values():
        started = start_due(world, row)
        line.add(**{f"started_{name}": value for name, value in asdict(started).items() if value})
    return processor.response()


def _done(world: World, task: list[Drop] | Work, deadline: Deadline) -> Iterator[Outcome]:
    if isinstance(task, Work):
        yield parts.do(world, task, deadline=deadline)
    else:
        yield from (job.take_in(world, drop, deadline=deadline) for drop in task)


def _give_up(world: World, body: str, exc: Exception) -> None:
    """Says in receipts why nothing more will come of a message's files; the message itself goes to the dead letters."""
    error = exc if isinstance(exc, ShardlakeError) else InternalError("something broke on our side")
    with suppress(ShardlakeError):
        task = task_of(body)
        if isinstance(task, Work):
            parts.give_up(world, task, error)
            return
        for drop in task:
            job.give_up(world, drop, error)


class _Tally:
    """Counts outcomes for the line.

    Attributes:
        changed: the collections that items were added to, by uid.
    """

    def __init__(self, line: Line) -> None:
        self.changed: dict[str, CollectionRow] = {}
        self._line = line
        self._states: Counter[str] = Counter()
        self._accepted = 0
        self._rejected = 0

    def add(self, outcome: Outcome) -> None:
        if outcome.row is not None:
            self.changed[outcome.row.uid] = outcome.row
        self._states[str(outcome.state)] += 1
        self._accepted += outcome.accepted
        self._rejected += outcome.rejected
        if outcome.kind is not None:
            self._line.add(last_kind=str(outcome.kind))

    def failed(self, exc: Exception) -> None:
        self._states["retry"] += 1
        if isinstance(exc, ShardlakeError):
            self._line.fail(exc)
        else:
            self._line.outcome = str(ErrorKind.INTERNAL)
            self._line.add(error_message=f"{type(exc).__name__}: {exc}")

    def write(self) -> None:
        counts = {f"files_{state}": count for state, count in self._states.items()}
        self._line.add(items_accepted=self._accepted, items_rejected=self._rejected, **counts)


def _all_of(event: dict[str, Any]) -> PartialItemFailureResponse:
    records = event.get("Records") or []
    return {"batchItemFailures": [{"itemIdentifier": str(record.get("messageId", ""))} for record in records]}
