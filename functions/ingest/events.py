"""What the queue says: which objects were written to the inbox, and when.

A message holds an S3 notification. S3 sends a test event when a notification is set up; keys come URL-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import orjson

from shardlake.errors import ErrorKind, FormatError, InvalidInput

TEST_EVENT = "s3:TestEvent"
CREATED = "ObjectCreated:"
# S3 event message structure (AWS, 2026-11): pad the shorter sequencer on the right with zeros, compare as text.
SEQUENCER_CHARS = 32
# As infra/template.yaml says of the queue: after so many deliveries a message goes to the dead-letter queue.
MAX_DELIVERIES = 12
# What deletions and changes are told by is kept a day longer (`builder.collect.GRACE_OF_SEGMENTS`). A queue keeps a
# message no longer than this, but a dead letter that is put back into it begins anew.
MAX_AGE = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """One write to the inbox. `sequencer` tells two writes of one key apart; a repeated event has the same one."""

    key: str
    written_at: str
    sequencer: str

    @property
    def order_of_write(self) -> str:
        """What sorts writes by their time."""
        return f"{self.written_at}#{self.sequencer.ljust(SEQUENCER_CHARS, '0')}"

    def refuse_if_late(self, now: datetime) -> None:
        """Raises InvalidInput (event-too-late) where what was written since can no longer be told from what it says."""
        if now - datetime.fromisoformat(self.written_at) > MAX_AGE:
            message = f"the file was written more than {MAX_AGE.days} days ago: write it again"
            raise InvalidInput(message, kind=ErrorKind.EVENT_TOO_LATE, written_at=self.written_at)

    def order(self, segment: int, *, part: int | None = None) -> str:
        """Returns what sorts segments by the time their source was written, then by their place in it.

        Args:
            segment: the number of the segment, in its file or in its part of it.
            part: the number of the part of the file; None where it is taken in whole.
        """
        place = f"{segment:06d}" if part is None else f"{part:06d}.{segment:06d}"
        return f"{self.order_of_write}#{place}"


def drops_of(body: str) -> list[Drop]:
    """Returns the writes that a message tells of, in its order; none for a test event and for deletions.

    Raises:
        FormatError: malformed-file, when the message is not an S3 notification.
    """
    try:
        message = orjson.loads(body)
        if message.get("Event") == TEST_EVENT:
            return []
        created = [
            record for record in message["Records"] if record["eventName"].removeprefix("s3:").startswith(CREATED)
        ]
        return [_drop(record) for record in created]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as exc:
        if isinstance(exc, InvalidInput):
            raise
        raise FormatError("the message is not an S3 notification", kind=ErrorKind.MALFORMED_FILE) from exc


def _drop(record: Mapping[str, Any]) -> Drop:
    entry = record["s3"]["object"]
    moment = datetime.fromisoformat(record["eventTime"]).astimezone(UTC)
    written_at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Drop(key=unquote_plus(entry["key"]), written_at=written_at, sequencer=str(entry.get("sequencer", "")))
