"""The ledger of one write of a large file, as workers change it at once; whoever completes it writes the receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from functions.ingest.files import File, Outcome, finish
from functions.ingest.world import World
from shardlake import limits
from shardlake.catalog.base import ReceiptState
from shardlake.catalog.ledger import Ledger
from shardlake.errors import Conflict, ErrorKind, Overloaded

ATTEMPTS = 100  # each is lost to another worker that has got on


class Superseded(Exception):
    """The ledger is of another write by now, or is gone with its collection."""


class Book:
    """A file's ledger. Every change is made to what stands, again where another worker was faster.

    Attributes:
        ledger: as it was read or written last.
    """

    def __init__(self, world: World, file: File, ledger: Ledger) -> None:
        self.ledger = ledger
        self._world = world
        self._file = file

    @classmethod
    def opened(cls, world: World, file: File) -> Book:
        """Returns the book of a write that was begun. Raises Superseded."""
        return cls(world, file, _standing(world, file))

    @classmethod
    def begun(cls, world: World, file: File) -> Book:
        """Returns the book of a write, begun where it was not. Raises Superseded: by a later write of the same key."""
        for _ in range(ATTEMPTS):
            standing = world.catalog.ledger(file.row.uid, file.drop.key)
            if standing is not None and standing.order > file.drop.order_of_write:
                raise Superseded
            if standing is not None and _is_of(standing, file):
                return cls(world, file, standing)
            fresh = _fresh(file, revision=1 if standing is None else standing.revision + 1)
            if _put(world, file, fresh):
                return cls(world, file, fresh)
        raise Overloaded("many write the ledger of a file at once: this one must wait")

    def change(self, change: Callable[[Ledger], Ledger]) -> None:
        """Makes a change. Raises Superseded; Overloaded when other workers were faster each time."""
        for _ in range(ATTEMPTS):
            changed = change(self.ledger)
            if changed == self.ledger:
                return
            changed = replace(changed, revision=self.ledger.revision + 1)
            if _put(self._world, self._file, changed):
                self.ledger = changed
                return
            self.ledger = _standing(self._world, self._file)
        raise Overloaded("many write the ledger of a file at once: this one must wait")

    def close(self) -> ReceiptState | None:
        """Writes the receipt of a file whose parts have all ended, and returns its state; None where it did not."""
        ledger = self.ledger
        if not ledger.is_complete or ledger.closed_at is not None:
            return None
        state = ReceiptState.FAILED if ledger.failure else ReceiptState.DONE
        sums = Outcome(state=state, accepted=ledger.accepted, rejected=ledger.rejected, error=ledger.failure)
        finish(self._world, self._file, sums)
        closed_at = self._world.timestamp()
        # A part that is done after all, meanwhile, opens it again, and its worker closes it.
        self.change(lambda one: replace(one, closed_at=closed_at) if one.parts == ledger.parts else one)
        return state


def _fresh(file: File, *, revision: int) -> Ledger:
    return Ledger(
        source=file.drop.key,
        etag=file.info.etag,
        order=file.drop.order_of_write,
        part_bytes=limits.PART_BYTES,
        part_lines=limits.PART_LINES,
        revision=revision,
    )


def _standing(world: World, file: File) -> Ledger:
    ledger = world.catalog.ledger(file.row.uid, file.drop.key)
    if ledger is None or not _is_of(ledger, file):
        raise Superseded
    return ledger


def _is_of(ledger: Ledger, file: File) -> bool:
    return ledger.is_of(file.drop.order_of_write, file.info.etag)


def _put(world: World, file: File, ledger: Ledger) -> bool:
    """Writes a ledger; returns False where another one stands: another worker's, or this one, whose reply was lost."""
    try:
        world.catalog.put_ledger(file.row.uid, ledger)
    except Conflict as conflict:
        if conflict.kind is not ErrorKind.COMMIT_CONFLICT:
            raise
        return False
    return True
