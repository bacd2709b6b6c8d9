"""One dropped file of a collection: taken in entry by entry, and what is said of it in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from functions.ingest.entries import Entry
from functions.ingest.events import Drop
from functions.ingest.intake import Intake, Source
from functions.ingest.rejects import RejectLog
from functions.ingest.world import World
from shardlake.catalog.base import CollectionRow, Receipt, ReceiptState
from shardlake.contracts.common import is_name
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, NotFound
from shardlake.format import locations
from shardlake.store.base import ObjectInfo

REFUSED = "refused"
GONE = "gone"
IGNORED = "ignored"
CUT = "cut"
PART = "part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one file: done or failed with a receipt; or refused, gone, ignored without one.

    Of a large file, cut: its parts, or more of them, are under way; part: one of them was taken in.

    Attributes:
        row: of the collection that took items of it in.
        error: why it failed.
    """

    state: str
    accepted: int = 0
    rejected: int = 0
    kind: ErrorKind | None = None
    row: CollectionRow | None = None
    error: str | None = None

    def plus(self, other: Outcome) -> Outcome:
        """Returns the outcome of what was taken in so far and of what came behind it."""
        accepted, rejected = self.accepted + other.accepted, self.rejected + other.rejected
        return replace(other, row=self.row or other.row, accepted=accepted, rejected=rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One dropped file of a collection that stands."""

    row: CollectionRow
    name: str
    drop: Drop
    info: ObjectInfo


def collection_of(world: World, name: str) -> CollectionRow:
    """Returns a collection. Raises NotFound: collection-not-found."""
    if not is_name(name):
        raise NotFound("there is no such collection", kind=ErrorKind.COLLECTION_NOT_FOUND)
    return world.catalog.get_collection(name)


def taken(
    world: World, file: File, source: Source, entries: Iterable[Entry], *, rejects: RejectLog, deadline: Deadline
) -> Outcome:
    """Returns what became of entries that were taken in: failed, where the file cannot be read on. Writes no receipt.

    Raises:
        ShardlakeError: when it should be tried again. InvalidInput, NotImplementedYet: when that is of no use.
    """
    failure: InvalidInput | None = None
    intake = Intake(world, file.row, source, rejects, deadline=deadline)
    try:
        take = _taken_by(intake, file.name)
        for entry in entries:
            take(entry)
    except InvalidInput as error:
        if error.kind is not ErrorKind.INVALID_FILE:
            raise
        failure = error  # what was read before the break is good and stays
    intake.finish()
    rejects.save()
    return Outcome(
        state=ReceiptState.FAILED if failure else ReceiptState.DONE,
        accepted=intake.accepted,
        rejected=rejects.count,
        kind=failure.kind if failure else None,
        row=file.row if intake.accepted else None,
        error=str(failure) if failure else None,
    )


def finish(world: World, file: File, outcome: Outcome) -> Outcome:
    """Writes the receipt of a file whose outcome is done or failed, unless other bytes stand there by now."""
    receipt = Receipt(
        source=file.drop.key,
        etag=file.info.etag,
        state=ReceiptState(outcome.state),
        accepted=outcome.accepted,
        rejected=outcome.rejected,
        finished_at=world.timestamp(),
        error=outcome.error,
    )
    if not _is_overwritten(world, file):
        world.catalog.put_receipt(file.row.uid, receipt)
    return outcome


def _taken_by(intake: Intake, name: str) -> Callable[[Entry], None]:
    if locations.is_deletes(name):
        return intake.delete
    return intake.patch if locations.is_patches(name) else intake.add


def _is_overwritten(world: World, file: File) -> bool:
    """Tells whether other bytes stand there by now: their own event brings their receipt, which must stay."""
    try:
        return world.store.head(file.drop.key).etag != file.info.etag
    except NotFound:
        return False
