"""What the api's services work with: the ports, the settings, time, and what a process may remember.

Everything remembered is about something that never changes under its key, so nothing is ever invalidated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shardlake import limits
from shardlake.catalog.base import Catalog, CollectionRow
from shardlake.contracts.common import is_name
from shardlake.contracts.encode import DESCRIBE, EncoderInfo, decode_description
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, NotFound
from shardlake.rpc.base import Invoker
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One a process.

    Attributes:
        now: the time of day, for what is written down.
        new_id: returns 32 random hexadecimal digits.
        sleep: waits so many seconds.
    """

    settings: Settings
    catalog: Catalog
    store: ObjectStore
    invoker: Invoker
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    sleep: Callable[[float], None] = time.sleep
    _encoders: dict[str, EncoderInfo] = field(default_factory=dict)

    def collection(self, name: str) -> CollectionRow:
        """Returns a collection. Raises NotFound (collection-not-found), also for what cannot be a name."""
        if not is_name(name):
            raise NotFound(
                "there is no such collection",
                kind=ErrorKind.COLLECTION_NOT_FOUND,
                collection=name[: limits.MAX_NAME_LENGTH],
            )
        return self.catalog.get_collection(name)

    def encoders(self, deadline: Deadline) -> dict[str, EncoderInfo]:
        """Returns the encoders that this deployment has; asked of the encode function once a process."""
        if not self._encoders:
            answer = self.invoker.invoke(self.settings.encode_function, DESCRIBE, deadline=deadline)
            self._encoders.update(decode_description(answer))
        return self._encoders

    def timestamp(self) -> str:
        """Returns the time of day as RFC 3339 in UTC, to the millisecond."""
        return self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
