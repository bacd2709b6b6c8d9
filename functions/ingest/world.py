"""What ingest works with: the ports, the settings, time, and the encoders that the deployment has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from functions.ingest.log import Log
from shardlake.catalog.base import Catalog
from shardlake.contracts.encode import DESCRIBE, EncoderInfo, decode_description
from shardlake.deadline import Deadline
from shardlake.rpc.base import Invoker, WorkQueue
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One a process. `queue` is what its work comes by; `now` is the time of day, for what is written down."""

    settings: Settings
    catalog: Catalog
    store: ObjectStore
    invoker: Invoker
    queue: WorkQueue
    now: Callable[[], datetime]
    _encoders: dict[str, EncoderInfo] = field(default_factory=dict)
    _logs: list[Log] = field(default_factory=list)

    def encoders(self, schema: CollectionSchema, deadline: Deadline) -> dict[str, EncoderInfo]:
        """Returns the encoders that a schema names and this deployment has; asked once a process."""
        named = {space.encoder for space in schema.spaces if space.encoder is not None}
        if named and not self._encoders:
            answer = self.invoker.invoke(self.settings.encode_function, DESCRIBE, deadline=deadline)
            self._encoders.update(decode_description(answer))
        return {name: info for name, info in self._encoders.items() if name in named}

    @property
    def log(self) -> Log:
        """What adds segments to the logs of collections; it keeps what it has read of them."""
        if not self._logs:
            self._logs.append(Log(self.catalog, self.store))
        return self._logs[0]

    def timestamp(self) -> str:
        """Returns the time of day as RFC 3339 in UTC, to the millisecond."""
        return self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
