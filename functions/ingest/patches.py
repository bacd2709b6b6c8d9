"""Changes of attributes: items are looked up as they are, changed, and written whole, unless they have changed again.

A patch is made of what it finds, so it must not be added to a log that has got one of its items since: then it is made
anew. Several patches of one item in one file follow one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from functions.ingest.rejects import RejectLog
from functions.ingest.world import World
from shardlake.contracts.patch import LOOKUP, Patch
from shardlake.contracts.shard_wire import decode_vector
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, FormatError, NotFound, ShardlakeError, from_body
from shardlake.format.segment import SegmentItem

LOOKUP_IDS = 64  # of one question: their vectors must fit into one answer

Numbered = tuple[int, Patch]
"""A patch and its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched:
    """Items after their changes.

    Attributes:
        seen: the position of the log that they were looked up at. encoders: {space: digest}, of their vectors.
        refused: (line, id, error) of what could not be changed.
    """

    items: list[SegmentItem]
    seen: int
    encoders: dict[str, str]
    refused: list[tuple[int, str, ShardlakeError]]

    def reject(self, rejects: RejectLog) -> None:
        """Notes what could not be changed."""
        for line, name, error in self.refused:
            rejects.add(line, name, error)


def patched(world: World, collection: str, patches: Sequence[Numbered], deadline: Deadline) -> Patched:
    """Returns items as they are, with their changes made.

    Raises:
        ShardlakeError: what the router fails with; it should be tried again.
    """
    ids = list(dict.fromkeys(patch.id for _, patch in patches))
    found: dict[str, dict[str, Any]] = {}
    seen, encoders = [], dict[str, str]()
    for answer in _looked_up(world, collection, ids, deadline):
        seen.append(int(answer["position"]))
        encoders.update(answer["encoders"])
        found.update((item["id"], item) for item in answer["items"])
    refused: list[tuple[int, str, ShardlakeError]] = []
    changed: dict[str, dict[str, Any]] = {}
    for line, patch in patches:
        item = changed.get(patch.id) or found.get(patch.id)
        if item is None:
            refused.append((line, patch.id, NotFound("there is no item of that id", kind=ErrorKind.ITEM_NOT_FOUND)))
            continue
        try:
            changed[patch.id] = {**item, "attributes": patch.applied(item["attributes"])}
        except ShardlakeError as error:
            refused.append((line, patch.id, error))
    # The least of them: what was written after any of the look-ups is looked up again.
    return Patched(items=list(map(_item, changed.values())), seen=min(seen), encoders=encoders, refused=refused)


def _looked_up(world: World, collection: str, ids: Sequence[str], deadline: Deadline) -> Iterator[dict[str, Any]]:
    for start in range(0, len(ids), LOOKUP_IDS):
        question = {LOOKUP: {"collection": collection, "ids": ids[start : start + LOOKUP_IDS]}}
        reply = world.invoker.invoke(world.settings.router_function, orjson.dumps(question), deadline=deadline)
        answer = orjson.loads(reply)
        if not isinstance(answer, dict):
            raise FormatError("the router answered a look-up with something else")
        if "error" in answer:
            raise from_body(answer)
        yield answer


def _item(item: Mapping[str, Any]) -> SegmentItem:
    payload = {name: value for name, value in item.items() if name != "vectors"}
    vectors = {space: decode_vector(text) for space, text in item["vectors"].items()}
    return SegmentItem(id=item["id"], payload=orjson.dumps(payload), vectors=vectors)
