"""The promise of recall, checked on live queries: a few searches are repeated exactly, after they were answered.

The router starts itself with the body, the pinned snapshot and the ids it found; that invocation searches the same
version exactly and writes one line with two metrics: what was promised, and what share of the true hits was found.
The body travels from us to us; the line has no more of it than the collection's name and how much its filter passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from shardlake.catalog.base import Snapshot
from shardlake.core.calibration import BANDS, band_for
from shardlake.deadline import Deadline
from shardlake.errors import InvalidInput, ShardlakeError
from shardlake.limits import DEFAULT_RECALL, MAX_ASYNC_PAYLOAD_BYTES, MAX_TIMEOUT_MS
from shardlake.observability import Line, Observer
from shardlake.types import Depth

if TYPE_CHECKING:
    from functions.router.service import Router

EVENT = "recall_check"
OPERATION = "recall-check"
UNFILTERED = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A search that was answered.

    Attributes:
        pinned: name of the snapshot that it was answered from. rows: of its version.
        promised: the recall that it was planned for; None where `nprobe` overrode it.
        found: ids of its hits.
    """

    collection: str
    pinned: str
    rows: int
    body: dict[str, Any]
    promised: float | None
    found: tuple[str, ...]


def start_some(
    router: Router, collection: str, current: Snapshot, searches: Sequence[tuple[dict[str, Any], object]], line: Line
) -> None:
    """Starts checks of a drawn share of answered searches; a check that cannot be started costs its search nothing.

    Args:
        searches: (body, outcome) pairs.
    """
    for body, outcome in searches:
        if not _is_worth_it(body, outcome) or router.draw() >= router.settings.recall_sample_rate:
            continue
        assert isinstance(outcome, dict)
        promised = None if body.get("nprobe") is not None else float(body.get("recall", DEFAULT_RECALL))
        found = tuple(hit["id"] for hit in outcome["hits"])
        answered = Answered(
            collection=collection,
            pinned=outcome["version"],
            rows=current.pointer.rows if current.pointer else 0,
            body=body,
            promised=promised,
            found=found,
        )
        event = encode(answered)
        if len(event) > MAX_ASYNC_PAYLOAD_BYTES:  # a large picture in the query
            line.add(recall_checks_too_large=1)
            continue
        try:
            router.invoker.start(router.settings.function_name, event)
        except ShardlakeError as error:
            line.add(recall_check_failed=str(error.kind))


def _is_worth_it(body: dict[str, Any], outcome: object) -> bool:
    """Returns whether there is something to check: a whole answer to a search by likeness that was not exact anyway."""
    if not isinstance(outcome, dict) or outcome["partial"] or outcome["version"] is None or body.get("query") is None:
        return False
    # A page behind a cursor begins where the page before ended, which an exact search would have ended elsewhere; and
    # what re-orders the candidates re-orders every row of an exact search.
    is_plain = not any(body.get(name) for name in ("cursor", "rank", "group_by", "diversity"))
    return is_plain and body.get("recall", DEFAULT_RECALL) < 1


def encode(answered: Answered) -> bytes:
    """Returns the event that has a search checked."""
    return orjson.dumps({EVENT: asdict(answered)})


def is_check(event: Mapping[str, Any]) -> bool:
    """Returns whether an event of the router function is a check: the gateway's events have no such member."""
    return EVENT in event


def respond(
    event: Mapping[str, Any], router: Callable[[], Router], *, observer: Observer, request_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Runs a check and writes its line; never raises, for nobody waits and to repeat a failed check gains nothing."""
    try:
        with observer.invocation(OPERATION, request_id=request_id) as line:
            check(router(), _decode(event), line, deadline)
    except Exception as error:  # noqa: BLE001 - the outermost line; the observer has logged it
        return {"checked": False, "error": type(error).__name__}
    return {"checked": True}


def check(router: Router, answered: Answered, line: Line, deadline: Deadline) -> float:
    """Repeats a search exactly in the version it was answered from; adds the metrics and returns the recall.

    Raises:
        ShardlakeError: as the search does; NotFound when the version is no more.
    """
    body = {**answered.body, "recall": 1, "nprobe": None, "include": [], "explain": False, "require_complete": True}
    body |= {"timeout_ms": MAX_TIMEOUT_MS}
    (outcome,) = router.search(answered.collection, [body], line, deadline, pinned=answered.pinned)
    if isinstance(outcome, ShardlakeError):
        raise outcome
    true = {hit["id"] for hit in outcome["hits"]}
    measured = len(true & set(answered.found)) / len(true) if true else 1.0
    line.by(collection=answered.collection, band=_band(line, answered))
    line.add(collection=answered.collection, recall_measured=measured, recall_promised=answered.promised)
    return measured


def _band(line: Line, answered: Answered) -> str:
    if not answered.body.get("filter"):
        return UNFILTERED
    passing = line.fields.get("rows_passing")
    share = passing / max(1, answered.rows) if isinstance(passing, int | float) else 0.0
    band = band_for([Depth(0.0, 0), *(Depth(selectivity, 0) for selectivity in BANDS)], share)
    return f"{0 if band is None else band.selectivity:g}"


def _decode(event: Mapping[str, Any]) -> Answered:
    try:
        raw = event[EVENT]
        promised = None if raw["promised"] is None else float(raw["promised"])
        return Answered(
            collection=str(raw["collection"]),
            pinned=str(raw["pinned"]),
            rows=int(raw["rows"]),
            body=dict(raw["body"]),
            promised=promised,
            found=tuple(map(str, raw["found"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InvalidInput("the event is not a recall check") from exc
