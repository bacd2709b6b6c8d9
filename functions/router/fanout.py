"""All searches of a request, to all shards they concern, in parallel, under one deadline.

One invocation a shard, and one of all deltas, which are small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from functions.router.versions import Version, is_delta
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafRequest, LeafSearch, ShardRef
from shardlake.contracts.shard_wire import encode_request, is_answer
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, FormatError, ShardlakeError, Unavailable, from_body
from shardlake.rpc.base import Invoker

LEAF_MARGIN_MS = 40  # of the deadline: merge and the way back
MAX_DELTAS_PER_MESSAGE = 64
MIN_RETRY_MS = 50  # with less left a second try cannot answer


Told = dict[str, Any] | ShardlakeError
"""A leaf's answer object, or the error that stands for it."""

Wanted = Mapping[int, Mapping[int, LeafSearch]]
"""What is asked: {search: {shard_id: what it is told}}."""


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What came back.

    Attributes:
        answers: by (search, shard_id).
        invocations: calls made, retries included.
        cold_starts: of the containers that answered.
        opened: the shards that a container had to open first.
    """

    answers: dict[tuple[int, int], Told] = field(default_factory=dict)
    invocations: int = 0
    cold_starts: int = 0
    opened: set[int] = field(default_factory=set)
    gb_seconds: float = 0.0

    def told(self, number: int) -> dict[int, Told]:
        """Returns what the shards said to one search, by shard_id."""
        return {shard: answer for (search, shard), answer in self.answers.items() if search == number}

    def count(self, other: Gathered) -> None:
        """Adds what another round cost."""
        self.invocations += other.invocations
        self.opened |= other.opened
        self.cold_starts += other.cold_starts
        self.gb_seconds += other.gb_seconds


def fan_out(asked: Wanted, version: Version, call: tuple[Invoker, str, Deadline]) -> Gathered:
    """Asks every shard that a search names; failed shards whose failure may pass are asked again. Failures are data.

    Args:
        asked: what is asked of which shards.
        version: that has them, and deltas, of which many are asked in one invocation.
        call: who calls functions, the name of the function, and the deadline of the request.
    """
    gathered = Gathered()
    wanted = {
        row.shard_id: [number for number, leaves in asked.items() if row.shard_id in leaves] for row in version.searched
    }
    _round(gathered, {shard: numbers for shard, numbers in wanted.items() if numbers}, asked, version, call)
    again: dict[int, list[int]] = {}
    for (number, shard), answer in gathered.answers.items():
        if isinstance(answer, ShardlakeError) and answer.retryable:
            again.setdefault(shard, []).append(number)
    if again and call[2].remaining_ms() >= MIN_RETRY_MS:
        _round(gathered, again, asked, version, call)
    return gathered


@dataclass(frozen=True, slots=True)
class _Message:
    """One invocation: so many searches of a shard, or of deltas that are asked the same."""

    numbers: Sequence[int]
    searches: tuple[LeafSearch, ...]
    rows: Sequence[ShardRow]


def _round(
    gathered: Gathered,
    wanted: Mapping[int, list[int]],
    asked: Wanted,
    version: Version,
    call: tuple[Invoker, str, Deadline],
) -> None:
    invoker, function, deadline = call
    messages = _messages(wanted, asked, version)
    if not messages:
        return
    timeout_ms = deadline.shortened(LEAF_MARGIN_MS).remaining_ms()
    payloads = [
        encode_request(
            LeafRequest(
                shards=tuple(_ref(row, version) for row in message.rows),
                searches=message.searches,
                timeout_ms=timeout_ms,
                overwrites=version.overwrites,
                expiry=version.expiry_of(message.rows),
            )
        )
        for message in messages
    ]
    replies = invoker.invoke_many(function, payloads, deadline=deadline)
    gathered.invocations += len(payloads)
    for message, reply in zip(messages, replies, strict=True):
        _take(gathered, message, reply)


def _messages(wanted: Mapping[int, list[int]], asked: Wanted, version: Version) -> list[_Message]:
    messages: list[_Message] = []
    together: dict[tuple[tuple[int, int], ...], list[ShardRow]] = {}
    for row in version.searched:
        numbers = wanted.get(row.shard_id)
        if numbers is None:
            continue
        searches = tuple(asked[number][row.shard_id] for number in numbers)
        if is_delta(row):
            alike = tuple((number, id(search)) for number, search in zip(numbers, searches, strict=True))
            together.setdefault(alike, []).append(row)
        else:
            messages.append(_Message(numbers, searches, [row]))
    for rows in together.values():
        numbers = wanted[rows[0].shard_id]
        searches = tuple(asked[number][rows[0].shard_id] for number in numbers)
        groups = [rows[at : at + MAX_DELTAS_PER_MESSAGE] for at in range(0, len(rows), MAX_DELTAS_PER_MESSAGE)]
        messages.extend(_Message(numbers, searches, group) for group in groups)
    return messages


def _ref(row: ShardRow, version: Version) -> ShardRef:
    return ShardRef(
        shard_id=row.shard_id,
        key=row.key,
        bytes=row.bytes,
        tail_offset=row.footer_offset,
        sequence=version.sequence_of(row),
    )


def _take(gathered: Gathered, message: _Message, reply: bytes | ShardlakeError) -> None:
    shards, numbers = [row.shard_id for row in message.rows], message.numbers
    places = [(number, shard) for shard in shards for number in numbers]
    body = reply if isinstance(reply, ShardlakeError) else _body(reply, len(places))
    if isinstance(body, ShardlakeError):
        gathered.answers.update(dict.fromkeys(places, body))
        return
    gathered.cold_starts += bool(body.get("cold_start"))
    opened = body.get("opened")
    gathered.opened.update(shard for shard in shards if isinstance(opened, list) and shard in opened)
    cost = body.get("gb_seconds")
    gathered.gb_seconds += cost if isinstance(cost, int | float) else 0.0
    for place, answer in zip(places, body["answers"], strict=True):
        gathered.answers[place] = _told(answer)


def _told(answer: object) -> Told:
    if isinstance(answer, dict) and "error" in answer:
        return from_body(answer)
    # One leaf that answers nonsense, of another release perhaps, must not cost the answers of the others.
    return answer if is_answer(answer) else FormatError("a shard answered a search with something else than hits")


def _body(reply: bytes, count: int) -> dict[str, Any] | ShardlakeError:
    try:
        body = orjson.loads(reply)
        # A Lambda handler that returns text is quoted once more on its way.
        body = orjson.loads(body) if isinstance(body, str) else body
    except orjson.JSONDecodeError:
        return Unavailable("a shard answered no JSON", kind=ErrorKind.FUNCTION_UNAVAILABLE)
    if not isinstance(body, dict):
        return FormatError("a shard answered no JSON object")
    if "error" in body:
        return from_body(body)
    answers = body.get("answers")
    if not isinstance(answers, list) or len(answers) != count:
        return FormatError("a shard answered another number of searches than it was asked")
    return body
