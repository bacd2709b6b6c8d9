"""A page of where an item lies, for the api: unlike a build, whoever asks waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from functions.build.service import Builds
from shardlake.contracts.trace import TRACE
from shardlake.errors import ErrorKind, InternalError, ShardlakeError
from shardlake.observability import Observer


def respond(
    event: Mapping[str, Any], builds: Callable[[], Builds], *, observer: Observer, request_id: str
) -> dict[str, Any]:
    """Returns the page behind the key `after` of the event, or the error object; never raises."""
    try:
        with observer.invocation("trace", request_id=request_id) as line:
            found = builds().trace(str(event["collection"]), str(event[TRACE]), event.get("after"))
            line.add(collection=event["collection"], looked_through=found.looked_through, holders=len(found.holders))
            return asdict(found)
    except ShardlakeError as error:
        return error.to_body()
    except Exception:  # noqa: BLE001 - the outermost line: our bug becomes an answer; the observer has logged it
        return InternalError("something broke on our side", kind=ErrorKind.INTERNAL).to_body()
