"""A cache of values that can be made again, bounded by their bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class BytesLru(Generic[KeyT, ValueT]):
    """Keeps what was used last, as much of it as fits.

    Args:
        max_bytes: of all values together; one that is larger than a quarter of it is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[KeyT, tuple[ValueT, int]] = OrderedDict()
        self.resident_bytes = 0

    def get(self, key: KeyT) -> ValueT | None:
        """Returns a value, which is then the last one used, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: KeyT, value: ValueT, size_bytes: int) -> None:
        """Keeps a value that is not there yet."""
        if size_bytes > self._max_bytes // 4 or key in self._entries:
            return
        self._entries[key] = value, size_bytes
        self.resident_bytes += size_bytes
        while self.resident_bytes > self._max_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self.resident_bytes -= freed
