"""Work on large files, as messages of the queue that events come by: cut on from here, or take this part in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import orjson

from functions.ingest.events import Drop, drops_of
from functions.ingest.portions import Part
from shardlake import limits
from shardlake.errors import ErrorKind, FormatError

NAME = "shardlake"  # of the field that tells our messages from those of S3
MAX_PLACE = 2**53


class Task(StrEnum):
    """What is to be done."""

    GO_ON = "go-on"
    TAKE = "take"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A piece of work on one write of a large file.

    Attributes:
        task: GO_ON: what begins at `part` is cut into parts, or taken in where it cannot be cut. TAKE: `part` is taken
            in.
        uid: of the collection. etag: of the file.
    """

    task: Task
    drop: Drop
    uid: str
    etag: str
    part: Part

    def body(self) -> str:
        """Returns the message."""
        return orjson.dumps({NAME: self.task, "uid": self.uid, "etag": self.etag, **asdict(self.drop), "part": asdict(self.part)}).decode()


def tasks_of(body: str) -> list[Drop] | Work:
    """Returns what a message asks for: writes to look at, or a piece of work.

    Raises:
        FormatError: malformed-file, when it is neither.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict) or NAME not in message:
        return drops_of(body)
    try:
        return _work(message)
    except (KeyError, TypeError, ValueError) as exc:
        raise FormatError("the message is no work of ours", kind=ErrorKind.MALFORMED_FILE) from exc


def is_work(body: str) -> bool:
    """Returns whether a message is a piece of work, well-formed or not."""
    try:
        return isinstance(tasks_of(body), Work)
    except FormatError:
        return False


def _work(message: dict[str, Any]) -> Work:
    numbers = {name: int(message["part"][name]) for name in ("number", "start", "stop", "line", "lines")}
    if not all(0 <= number <= MAX_PLACE for number in numbers.values()) or numbers["number"] > limits.MAX_FILE_PARTS:
        raise ValueError("out of bounds")
    key, written_at, sequencer, uid, etag = (
        str(message[name]) for name in ("key", "written_at", "sequencer", "uid", "etag")
    )
    drop = Drop(key=key, written_at=written_at, sequencer=sequencer)
    return Work(task=Task(message[NAME]), drop=drop, uid=uid, etag=etag, part=Part(**numbers))
