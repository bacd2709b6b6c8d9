"""What the api's services work with: the ports, the settings, time, and what a process may remember.

Everything remembered is about something that never changes under its key, so nothing is ever invalidated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from shardlake import limits
from shardlake.catalog.base import Catalog, CollectionRow, Pointer
from shardlake.contracts.common import is_name
from shardlake.contracts.encode import DESCRIBE, EncoderInfo, decode_description
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, FormatError, NotFound
from shardlake.rpc.base import Invoker
from shardlake.settings import Settings
from shardlake.store.base import ObjectStore

MAX_MANIFESTS_REMEMBERED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One a process.

    Attributes:
        now: the time of day, for what is written down.
        new_id: returns 32 random hexadecimal digits.
    """

    settings: Settings
    catalog: Catalog
    store: ObjectStore
    invoker: Invoker
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    _folded: dict[str, frozenset[str]] = field(default_factory=dict)
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

    def folded_segments(self, pointer: Pointer | None, deadline: Deadline) -> frozenset[str]:
        """Returns the ids of the segments that a version holds; none before the first one.

        Raises:
            FormatError: malformed-file, when the manifest does not say.
        """
        if pointer is None:
            return frozenset()
        key = pointer.manifest_key
        if key not in self._folded:
            body = self.store.get(key, max_bytes=limits.MAX_MANIFEST_BYTES, deadline=deadline)
            if len(self._folded) >= MAX_MANIFESTS_REMEMBERED:
                self._folded.clear()
            self._folded[key] = _segments_of(body, key)
        return self._folded[key]

    def timestamp(self) -> str:
        """Returns the time of day as RFC 3339 in UTC, to the millisecond."""
        return self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _segments_of(body: bytes, key: str) -> frozenset[str]:
    try:
        return frozenset(str(segment) for segment in orjson.loads(body)["segments"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise FormatError("a manifest does not name its segments", kind=ErrorKind.MALFORMED_FILE, key=key) from exc
