"""A collection's log in miniature: shards, and what later segments overwrite of them, as a leaf is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import Expiry, LeafAnswer, LeafReply, LeafRequest, LeafSearch, Overwrites, ShardRef
from shardlake.format.overwrites import encode_overwrites
from shardlake.format.segment import SegmentItem
from shardlake.store.base import ObjectStore
from shardlake.store.blocks import BlockStore
from shardlake.testing import ManualClock, MemoryStore
from shardlake.types import CollectionSchema
from tests.lake import Lake, ref

ALL_MS = 1e6


@dataclass(slots=True)
class Log:
    """What lies in a store, and what is said of it.

    Attributes:
        shards: that hold the log, each up to its sequence. overwrites: of the segments behind them.
        expired: the attribute and the moment by which rows of all shards may have expired; None where rows never do.
    """

    schema: CollectionSchema
    store: MemoryStore = field(default_factory=MemoryStore)
    shards: list[ShardRef] = field(default_factory=list)
    overwrites: list[Overwrites] = field(default_factory=list)
    expired: tuple[str, int] | None = None

    def hold(self, items: Sequence[SegmentItem], sequence: int = 0) -> ShardRef:
        """Builds one shard of items, that holds the log up to `sequence`."""
        lake = Lake(self.schema, Path(mkdtemp(prefix="shardlake-test-"))).built(items)
        (row,) = lake.shards
        return self.take(lake.store.objects[row.key], replace(ref(row), sequence=sequence))

    def take(self, body: bytes, place: ShardRef) -> ShardRef:
        """Puts a shard that is built beside the others; its key and id become its own."""
        number = len(self.shards)
        own = replace(place, shard_id=number, key=f"shards/{number}")
        self.store.put(own.key, body)
        self.shards.append(own)
        return own

    def overwrite(self, ids: Iterable[str], sequence: int) -> Overwrites:
        """Puts the ids of a segment."""
        body = encode_overwrites(ids)
        file = Overwrites(key=f"ids/{sequence}", bytes=len(body), sequence=sequence)
        self.store.put(file.key, body)
        self.overwrites = sorted([*self.overwrites, file], key=lambda one: one.sequence)
        return file

    def request(
        self, *searches: LeafSearch, shards: Sequence[int] | None = None, left_ms: float = ALL_MS
    ) -> LeafRequest:
        """Returns what the leaf is asked: of all shards, or of some by number."""
        chosen = self.shards if shards is None else [self.shards[number] for number in shards]
        aged = tuple(one.shard_id for one in chosen)
        expiry = (
            None if self.expired is None else Expiry(attribute=self.expired[0], moment_us=self.expired[1], shards=aged)
        )
        return LeafRequest(
            shards=tuple(chosen),
            searches=searches,
            timeout_ms=left_ms,
            overwrites=tuple(self.overwrites),
            expiry=expiry,
        )

    def ask(self, *searches: LeafSearch, shards: Sequence[int] | None = None) -> LeafReply:
        """Asks a container that knows nothing yet."""
        return container(self.store).search(self.request(*searches, shards=shards))


def container(store: ObjectStore, *, max_bytes: int = 1 << 30, disk: BlockStore | None = None) -> ShardSearch:
    """Returns a container that knows nothing yet."""
    return ShardSearch(ShardCache(store, max_bytes=max_bytes, blocks=disk), clock=ManualClock())


def ids_of(answer: LeafAnswer) -> list[str]:
    """Returns the ids of the hits; the search must not have failed."""
    assert answer.error is None, answer.error
    return [hit.id for hit in answer.hits]
