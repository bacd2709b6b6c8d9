"""Work on large files, as messages of the queue that S3's events come by: cut it, or take one part of it in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from functions.ingest.events import Drop, drops_of
from functions.ingest.portions import Part
from shardlake.errors import ErrorKind, FormatError

NAME = "shardlake"  # the field that tells our messages from those of S3
WORK = "part-of-a-file"
MAX_PLACE = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A piece of work on one write of a large file.

    Attributes:
        uid: of the collection. etag: of the file.
        part: what is to be taken in; None: go on with the file from where its ledger says that it is.
    """

    drop: Drop
    uid: str
    etag: str
    part: Part | None = None

    def body(self) -> str:
        """Returns the message."""
        return orjson.dumps({NAME: WORK, **asdict(self)}).decode()


def task_of(body: str) -> list[Drop] | Work:
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


def _work(message: dict[str, Any]) -> Work:
    if message[NAME] != WORK:
        raise ValueError("of another release")
    told = {name: str(message["drop"][name]) for name in ("key", "written_at", "sequencer")}
    part = None if message["part"] is None else _part(message["part"])
    return Work(drop=Drop(**told), uid=str(message["uid"]), etag=str(message["etag"]), part=part)


def _part(message: dict[str, Any]) -> Part:
    numbers = {name: int(message[name]) for name in ("number", "start", "stop", "line", "lines")}
    if not all(0 <= number <= MAX_PLACE for number in numbers.values()):
        raise ValueError("out of bounds")
    return Part(**numbers)
