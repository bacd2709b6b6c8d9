"""The block port in memory, under the same contract as the folder: bounded, least recently got out first."""

from __future__ import annotations

from collections import OrderedDict


class MemoryBlocks:
    """Blocks in a dictionary.

    Attributes:
        blocks: what is written down, the one got longest ago first; a test may damage it by taking blocks away.
    """

    def __init__(self, *, max_bytes: int = 1 << 40) -> None:
        self.blocks: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._max_bytes = max_bytes
        self._pending: dict[tuple[str, int, int], bytes] = {}

    @property
    def pending_bytes(self) -> int:
        """What was put and is not written down yet."""
        return sum(map(len, self._pending.values()))

    def get(self, key: str, offset: int, size: int) -> bytes | None:
        """Returns the bytes that were put, or None."""
        place = (key, offset, size)
        if place in self._pending:
            return self._pending[place]
        if place in self.blocks:
            self.blocks.move_to_end(place)
        return self.blocks.get(place)

    def has(self, key: str, offset: int, size: int) -> bool:
        """Returns whether a block is there."""
        return (key, offset, size) in self._pending or (key, offset, size) in self.blocks

    def put(self, key: str, offset: int, data: bytes) -> None:
        """Takes a block."""
        if len(data) <= self._max_bytes:
            self._pending[key, offset, len(data)] = data

    def flush(self) -> None:
        """Writes down what was put, within the bound."""
        self.blocks.update(self._pending)
        self._pending.clear()
        while sum(map(len, self.blocks.values())) > self._max_bytes:
            self.blocks.popitem(last=False)
