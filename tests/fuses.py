"""Processes that are killed, or meet a failure, before or after one of the effects that they have."""

from __future__ import annotations

from collections.abc import Callable

from shardlake.testing import MemoryCatalog, MemoryStore, WrappedCatalog, WrappedStore


class Killed(BaseException):
    """The process is gone: nobody catches this."""


class Fuse:
    """Raises at the n-th call, once."""

    def __init__(self, at: int | None, error: Callable[[], BaseException], names: frozenset[str] | None = None) -> None:
        self.calls = 0
        self._at = at
        self._error = error
        self._names = names

    def tick(self, operation: str) -> None:
        """Counts a call; raises where the fuse ends."""
        if self._names is not None and operation not in self._names:
            return
        self.calls += 1
        if self.calls - 1 == self._at:
            raise self._error()


class FusedStore(WrappedStore):
    """A store that breaks before or after one of its operations."""

    def __init__(self, inner: MemoryStore, before: Fuse, after: Fuse) -> None:
        super().__init__(inner)
        self._before, self._after = before, after

    def before(self, operation: str, key: str) -> None:
        """May raise before the operation is done."""
        self._before.tick(operation)

    def after(self, operation: str, key: str) -> None:
        """May raise after it was done."""
        self._after.tick(operation)


class FusedCatalog(WrappedCatalog):
    """A catalog that breaks before or after one of its operations."""

    def __init__(self, inner: MemoryCatalog, before: Fuse, after: Fuse) -> None:
        super().__init__(inner)
        self._before, self._after = before, after

    def before(self, operation: str) -> None:
        """May raise before the operation is done."""
        self._before.tick(operation)

    def after(self, operation: str) -> None:
        """May raise after it was done."""
        self._after.tick(operation)
