"""A file that is overwritten while it is taken in: the receipt is that of what stands in the end."""

from __future__ import annotations

import json
from typing import Any

from shardlake.testing import MemoryStore, WrappedStore
from tests.small_world import VECTORS, SmallWorld

KEY = "inbox/films/a.jsonl"
NEW = json.dumps({"id": "x", "attributes": {"price": 2}}).encode()


class _Overtaken(WrappedStore):
    """While a file is first read, it is overwritten, and the new one is taken in whole by another worker."""

    world: Any = None

    def before(self, operation: str, key: str) -> None:
        if operation == "open" and key == KEY and self.world is not None:
            world, self.world = self.world, None
            assert world.deliver(world.drop(KEY, NEW)) == []


def test_the_receipt_of_the_newer_bytes_stays() -> None:
    stores: list[_Overtaken] = []

    def wrap(inner: MemoryStore) -> _Overtaken:
        stores.append(_Overtaken(inner))
        return stores[0]

    world = SmallWorld(wrap=wrap)
    world.create("films", VECTORS)
    older = world.drop(KEY, json.dumps({"id": "x", "attributes": {"price": 1}}).encode())
    stores[0].world = world

    assert world.deliver(older) == []

    receipt = world.catalog.receipts(world.catalog.get_collection("films").uid, [KEY])[KEY]
    assert receipt.etag == world.objects.head(KEY).etag
