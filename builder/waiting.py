"""Segments that a collection of garbage has found, and since when: they go when nobody can be reading them any more.

Remembered in one object a collection. It is the collection of garbage's alone, and no more than a memory: where it is
lost, or two collections write it at once, the time begins anew.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import orjson

from builder.erasures import time_of
from shardlake.errors import NotFound
from shardlake.format import locations
from shardlake.limits import MIB
from shardlake.store.base import ObjectStore

MAX_WAITING = 500_000
MAX_BYTES = 64 * MIB  # of so many, and more


@dataclass(frozen=True, slots=True)
class Waiting:
    """The segments of one collection that wait for their removal."""

    store: ObjectStore
    uid: str

    def since(self, names: Collection[str], now: datetime) -> dict[str, datetime]:
        """Returns since when each of the segments has waited: from now on, where it was not found before.

        The first MAX_WAITING of them; the rest have their turn when those are gone.

        Cost: one read; a write where another set of them waits than before.
        """
        before = self._read()
        waiting = {name: before.get(name, time_of(now)) for name in sorted(names)[:MAX_WAITING]}
        if waiting != before:
            self.store.put(locations.waiting(self.uid), orjson.dumps(waiting))
        return {name: datetime.fromisoformat(at) for name, at in waiting.items()}

    def _read(self) -> dict[str, str]:
        try:
            found = orjson.loads(self.store.get(locations.waiting(self.uid), max_bytes=MAX_BYTES))
        except NotFound:
            return {}
        except orjson.JSONDecodeError:
            return {}
        return {str(name): str(at) for name, at in found.items()} if isinstance(found, dict) else {}
