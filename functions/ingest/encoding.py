"""Media of items to vectors, through the encode function, in batches that fit one invocation.

A space that an item brings a vector for is left alone. Media of several kinds in one space are fused: the mean of their
unit vectors. A medium that cannot be encoded refuses its item and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from functions.ingest.world import World
from shardlake import limits
from shardlake.contracts.encode import EncoderInfo, decode_encode_answer, encode_message
from shardlake.contracts.item import ParsedItem, unit
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, Forbidden, InvalidInput, NotFound, ShardlakeError, Unavailable
from shardlake.types import CollectionSchema, Float32Array, Metric, SpaceSpec

MAX_INVOCATION_MS = 110_000  # under the encode function's own 120 s
PARALLEL_BATCHES = 2
TheirFault = (InvalidInput, NotFound, Forbidden)
# A role that may not read or call, or an encoder that is not deployed: no item becomes right by being refused for it.
NO_ITEMS_FAULT = frozenset({ErrorKind.UNKNOWN_ENCODER, ErrorKind.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class _Input:
    """One medium of one item of the chunk."""

    item: int
    wire: dict[str, Any]
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class Encoded:
    """What became of a chunk of items: vectors by item and space, or the error that refuses the item.

    Attributes:
        digests: {space: digest of the encoder that made vectors of it}.
    """

    vectors: list[dict[str, Float32Array]]
    errors: dict[int, ShardlakeError] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def encode_items(
    world: World,
    schema: CollectionSchema,
    encoders: dict[str, EncoderInfo],
    items: Sequence[ParsedItem],
    deadline: Deadline,
) -> Encoded:
    """Returns the vectors of each item: those it brought, and those made of its media.

    Raises:
        ShardlakeError: when the encode function fails for a reason that lies in no item.
    """
    done = Encoded(vectors=[dict(item.vectors) for item in items])
    for name, info in encoders.items():
        spaces = [space for space in schema.stored_spaces if space.encoder == name]
        inputs = _inputs(items, spaces, info)
        if not inputs:
            continue
        encoding = _Encoding(world=world, encoder=name, deadline=deadline, errors=done.errors)
        for batches in _groups(_batches(inputs)):
            encoding.run(batches)
        for item, rows in encoding.made.items():
            _fuse(item, np.asarray(rows, np.float32), spaces, done)
        if encoding.made:
            done.digests.update({space.name: encoding.digest for space in spaces})
    return done


def _inputs(items: Sequence[ParsedItem], spaces: list[SpaceSpec], info: EncoderInfo) -> list[_Input]:
    return [
        _Input(index, source.wire, len(orjson.dumps(source.wire)))
        for index, item in enumerate(items)
        if any(space.name not in item.vectors for space in spaces)
        for source in item.media
        if source.modality in info.modalities
    ]


def _batches(inputs: list[_Input]) -> list[list[_Input]]:
    batches: list[list[_Input]] = [[]]
    size = 0
    for one in inputs:
        is_full = (
            len(batches[-1]) >= limits.MAX_INPUTS_PER_ENCODE or size + one.size_bytes > limits.MAX_ENCODE_BATCH_BYTES
        )
        if batches[-1] and is_full:
            batches.append([])
            size = 0
        batches[-1].append(one)
        size += one.size_bytes
    return batches


def _groups(batches: list[list[_Input]]) -> list[list[list[_Input]]]:
    return [batches[at : at + PARALLEL_BATCHES] for at in range(0, len(batches), PARALLEL_BATCHES)]


@dataclass(slots=True, kw_only=True)
class _Encoding:
    """The encoding of a chunk by one encoder: vectors by item as they come, errors by item."""

    world: World
    encoder: str
    deadline: Deadline
    errors: dict[int, ShardlakeError]
    made: dict[int, list[Float32Array]] = field(default_factory=dict)
    digest: str = ""

    def run(self, batches: list[list[_Input]]) -> None:
        """Encodes batches in parallel. One that an input spoils is sent again without it, or in halves to find it."""
        while batches:
            again: list[list[_Input]] = []
            for batch, answer in zip(batches, self._ask(batches), strict=True):
                try:
                    vectors = self._vectors(answer, len(batch))
                except TheirFault as error:
                    again += _without_culprits(batch, error, self.errors)
                    continue
                for one, vector in zip(batch, vectors, strict=True):
                    self.made.setdefault(one.item, []).append(vector)
            batches = again

    def _vectors(self, answer: bytes | ShardlakeError, count: int) -> Float32Array:
        if isinstance(answer, ShardlakeError):
            raise answer
        decoded = decode_encode_answer(answer, count=count)
        digest = decoded.model.get("digest", "")
        if self.digest and digest != self.digest:
            # A deployment changes its model at this moment: the message is delivered again, and meets one of the two.
            raise Unavailable("two models answered for one encoder", kind=ErrorKind.ENCODER_UNAVAILABLE)
        self.digest = digest
        return decoded.vectors

    def _ask(self, batches: list[list[_Input]]) -> list[bytes | ShardlakeError]:
        limit = _invocation_deadline(self.deadline)
        left_ms = limit.remaining_ms()
        messages = [encode_message(self.encoder, [one.wire for one in batch], timeout_ms=left_ms) for batch in batches]
        return self.world.invoker.invoke_many(self.world.settings.encode_function, messages, deadline=limit)


def _without_culprits(
    batch: list[_Input], error: ShardlakeError, errors: dict[int, ShardlakeError]
) -> list[list[_Input]]:
    """Notes whose fault it was, and returns what is to be sent again: the others, or halves when nobody was named."""
    named = {at: reason for at, reason in _named(error).items() if 0 <= at < len(batch)}
    ours = next((reason for reason in (error, *named.values()) if reason.kind in NO_ITEMS_FAULT), None)
    if ours is not None:
        raise ours
    if not named:
        if len(batch) > 1:
            middle = len(batch) // 2
            return [batch[:middle], batch[middle:]]
        named = {0: error}
    for at, reason in named.items():
        errors[batch[at].item] = reason
    rest = [one for at, one in enumerate(batch) if at not in named]
    return [rest] if rest else []


def _named(error: ShardlakeError) -> dict[int, ShardlakeError]:
    """Returns the inputs that an error of the encode function names: all under `errors`, the first as `index`."""
    entries = error.context.get("errors")
    if isinstance(entries, list):
        found = {
            entry["index"]: type(error)(str(entry.get("message", "")), kind=ErrorKind(entry["kind"]))
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("index"), int) and entry.get("kind") in set(ErrorKind)
        }
        if found:
            return found
    index = error.context.get("index")
    return {index: error} if isinstance(index, int) else {}


def _fuse(item: int, rows: Float32Array, spaces: list[SpaceSpec], done: Encoded) -> None:
    if item in done.errors:
        return
    mean = rows[0] if len(rows) == 1 else rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    try:
        for space in spaces:
            vector = unit(mean, at="media") if space.metric is Metric.COSINE else mean
            done.vectors[item].setdefault(space.name, vector)
    except InvalidInput as error:
        done.errors[item] = error


def _invocation_deadline(deadline: Deadline) -> Deadline:
    deadline.check("encode media")
    return Deadline(at_s=min(deadline.at_s, deadline.clock() + MAX_INVOCATION_MS / 1000), clock=deadline.clock)
