"""One dropped file, from its event to its receipt.

| what is dropped | what becomes of it |
|---|---|
| a table, a picture, ids to be deleted, changes of attributes | segments, and a receipt |
| a file that is not taken in | a receipt that says why |
| a file of no collection | a line in rejected/, no receipt: there is nowhere to keep one |
| a file that is gone again | nothing |
| what POST items accepted for a collection that was dropped since, whoever has its name now | nothing |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from functions.ingest import pictures
from functions.ingest.entries import Entry, entries_of
from functions.ingest.events import Drop
from functions.ingest.intake import Intake, Source
from functions.ingest.rejects import RejectLog
from functions.ingest.world import World
from shardlake.catalog.base import CollectionRow, Receipt, ReceiptState
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.common import is_name
from shardlake.contracts.uploads import SIDECAR_SUFFIX, check_kind, is_image, is_sidecar
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, NotFound, NotImplementedYet, ShardlakeError
from shardlake.format import locations
from shardlake.store.base import ObjectInfo

MAX_SIDECAR_CHANGES = 3
REFUSED = "refused"
GONE = "gone"
IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one file: done or failed with a receipt; or refused, gone, ignored without one.

    Attributes:
        row: of the collection that took items of it in.
    """

    state: str
    accepted: int = 0
    rejected: int = 0
    kind: ErrorKind | None = None
    row: CollectionRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One dropped file of a collection that stands."""

    row: CollectionRow
    name: str
    drop: Drop
    info: ObjectInfo


def take_in(world: World, drop: Drop, *, deadline: Deadline) -> Outcome:
    """Takes one dropped file in. Doing it again for the same event changes nothing.

    Raises:
        ShardlakeError: when it should be tried again.
    """
    place = locations.parse_inbox(drop.key)
    if place is None:
        return Outcome(state=IGNORED)
    collection, name = place
    try:
        info = world.store.head(drop.key)
    except NotFound:
        return Outcome(state=GONE)
    try:
        row = _collection(world, collection)
    except NotFound as error:
        return _refuse(world, collection, name, info, error)
    if locations.is_for_another(row.uid, name):
        return Outcome(state=IGNORED)
    return _take_file(world, _File(row=row, name=name, drop=drop, info=info), deadline)


def give_up(world: World, drop: Drop, error: ShardlakeError) -> None:
    """Writes the receipt of a file that failed each time for a reason outside it, or took longer than a run may.

    What was read of it before stays. Raises ShardlakeError where there is no file, no collection, or still no catalog.
    """
    place = locations.parse_inbox(drop.key)
    if place is None:
        return
    row = _collection(world, place[0])
    file = _File(row=row, name=place[1], drop=drop, info=world.store.head(drop.key))
    _finish(world, file, Outcome(state=ReceiptState.FAILED, kind=error.kind), error=error)


def _take_file(world: World, file: _File, deadline: Deadline) -> Outcome:
    try:
        check_kind(file.name)
        take = _take_sidecar if is_sidecar(file.name) else _take_picture if is_image(file.name) else _take_table
        return take(world, file, deadline)
    except NotFound as error:
        if error.kind is not ErrorKind.OBJECT_NOT_FOUND:
            raise
        return Outcome(state=GONE)
    except (InvalidInput, NotImplementedYet) as error:
        return _finish(world, file, Outcome(state=ReceiptState.FAILED, kind=error.kind), error=error)


def _take_table(world: World, file: _File, deadline: Deadline) -> Outcome:
    identity = f"{file.info.etag}#{file.drop.sequencer}"
    source = Source(drop=file.drop, identity=identity, seen=locations.seen_by(file.name))
    return _take_entries(world, file, source, entries_of(world, file.drop.key), deadline)


def _take_picture(world: World, file: _File, deadline: Deadline) -> Outcome:
    schema, key = schema_of_body(file.row.body), file.info.key
    outcome = Outcome(state=GONE)
    for attempt in range(MAX_SIDECAR_CHANGES):
        sidecar = pictures.read_sidecar(world, key)
        identity = f"{file.info.etag}#{file.drop.sequencer}#{sidecar.etag}"
        source = Source(drop=file.drop, identity=identity, first_part=attempt)
        entry = pictures.picture_entry(world, schema, file.name, file.info, sidecar)
        outcome = _take_entries(world, file, source, [entry], deadline)
        if sidecar.etag != pictures.ABSENT:
            _note_sidecar(world, file.row, key, sidecar.etag)
        if pictures.sidecar_etag(world, key) == sidecar.etag:
            break
    return outcome


def _take_sidecar(world: World, file: _File, deadline: Deadline) -> Outcome:
    picture_key = file.drop.key.removesuffix(SIDECAR_SUFFIX)
    receipts = world.catalog.receipts(file.row.uid, [file.drop.key, picture_key])
    noted = receipts.get(file.drop.key)
    picture_is_in = picture_key in receipts
    is_used = noted is not None and noted.etag == file.info.etag
    if picture_is_in and not is_used:
        info = world.store.head(picture_key)
        drop = replace(file.drop, key=picture_key)
        name = file.name.removesuffix(SIDECAR_SUFFIX)
        _take_picture(world, _File(row=file.row, name=name, drop=drop, info=info), deadline)
    elif not is_used:
        # The picture is still to come, and will read the sidecar that stands then.
        _note_sidecar(world, file.row, picture_key, file.info.etag)
    return Outcome(state=ReceiptState.DONE)


def _take_entries(world: World, file: _File, source: Source, entries: Iterable[Entry], deadline: Deadline) -> Outcome:
    failure: InvalidInput | None = None
    rejects = RejectLog(world.store, collection=file.row.name, name=file.name, etag=file.info.etag)
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
    state = ReceiptState.FAILED if failure else ReceiptState.DONE
    kind = failure.kind if failure else None
    row = file.row if intake.accepted else None
    outcome = Outcome(state=state, accepted=intake.accepted, rejected=rejects.count, kind=kind, row=row)
    return _finish(world, file, outcome, error=failure)


def _taken_by(intake: Intake, name: str) -> Callable[[Entry], None]:
    if locations.is_deletes(name):
        return intake.delete
    return intake.patch if locations.is_patches(name) else intake.add


def _finish(world: World, file: _File, outcome: Outcome, *, error: ShardlakeError | None) -> Outcome:
    receipt = Receipt(
        source=file.drop.key,
        etag=file.info.etag,
        state=ReceiptState(outcome.state),
        accepted=outcome.accepted,
        rejected=outcome.rejected,
        finished_at=world.timestamp(),
        error=None if error is None else str(error),
    )
    if not _is_overwritten(world, file):
        world.catalog.put_receipt(file.row.uid, receipt)
    return outcome


def _is_overwritten(world: World, file: _File) -> bool:
    """Tells whether other bytes stand there by now: their own event brings their receipt, which must stay."""
    try:
        return world.store.head(file.drop.key).etag != file.info.etag
    except NotFound:
        return False


def _note_sidecar(world: World, row: CollectionRow, picture_key: str, etag: str) -> None:
    receipt = Receipt(
        source=pictures.sidecar_key(picture_key),
        etag=etag,
        state=ReceiptState.DONE,
        accepted=0,
        rejected=0,
        finished_at=world.timestamp(),
    )
    world.catalog.put_receipt(row.uid, receipt)


def _collection(world: World, name: str) -> CollectionRow:
    if not is_name(name):
        raise NotFound("there is no such collection", kind=ErrorKind.COLLECTION_NOT_FOUND)
    return world.catalog.get_collection(name)


def _refuse(world: World, collection: str, name: str, info: ObjectInfo, error: ShardlakeError) -> Outcome:
    rejects = RejectLog(world.store, collection=collection, name=name, etag=info.etag)
    rejects.add(0, None, error)
    rejects.save()
    return Outcome(state=REFUSED, kind=error.kind)
