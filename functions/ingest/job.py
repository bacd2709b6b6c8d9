"""One dropped file, from its event to its receipt.

| what is dropped | what becomes of it |
|---|---|
| a table, a picture, ids to be deleted, changes of attributes | segments, and a receipt |
| a large table, many ids to be deleted | work on its parts (`parts.py`), of which comes the same |
| a file that is not taken in | a receipt that says why |
| a file of no collection | a line in rejected/, no receipt: there is nowhere to keep one |
| a file that is gone again | nothing |
| what POST items accepted for a collection that was dropped since, whoever has its name now | nothing |
"""

from __future__ import annotations

from dataclasses import replace

from functions.ingest import parts, pictures
from functions.ingest.entries import entries_of
from functions.ingest.events import Drop
from functions.ingest.files import GONE, IGNORED, REFUSED, File, Outcome, collection_of, finish, taken
from functions.ingest.intake import Source
from functions.ingest.rejects import RejectLog
from functions.ingest.world import World
from shardlake.catalog.base import CollectionRow, Receipt, ReceiptState
from shardlake.contracts.collection import schema_of_body
from shardlake.contracts.uploads import SIDECAR_SUFFIX, check_kind, is_image, is_sidecar
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, NotFound, NotImplementedYet, ShardlakeError
from shardlake.format import locations
from shardlake.store.base import ObjectInfo

MAX_SIDECAR_CHANGES = 3


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
        row = collection_of(world, collection)
    except NotFound as error:
        return _refuse(world, collection, name, info, error)
    if locations.is_for_another(row.uid, name):
        return Outcome(state=IGNORED)
    return _take_file(world, File(row=row, name=name, drop=drop, info=info), deadline)


def give_up(world: World, drop: Drop, error: ShardlakeError) -> None:
    """Writes the receipt of a file that failed each time for a reason outside it, or took longer than a run may.

    What was read of it before stays. Raises ShardlakeError where there is no file, no collection, or still no catalog.
    """
    place = locations.parse_inbox(drop.key)
    if place is None:
        return
    row = collection_of(world, place[0])
    file = File(row=row, name=place[1], drop=drop, info=world.store.head(drop.key))
    finish(world, file, Outcome(state=ReceiptState.FAILED, kind=error.kind, error=str(error)))


def _take_file(world: World, file: File, deadline: Deadline) -> Outcome:
    try:
        file.drop.refuse_if_late(world.now())
        check_kind(file.name)
        take = _take_sidecar if is_sidecar(file.name) else _take_picture if is_image(file.name) else _take_table
        return take(world, file, deadline)
    except NotFound as error:
        if error.kind is not ErrorKind.OBJECT_NOT_FOUND:
            raise
        return Outcome(state=GONE)
    except (InvalidInput, NotImplementedYet) as error:
        if error.kind is ErrorKind.EVENT_TOO_LATE and _is_in(world, file):
            return Outcome(state=IGNORED)  # it comes again, and is in since long
        return finish(world, file, Outcome(state=ReceiptState.FAILED, kind=error.kind, error=str(error)))


def _is_in(world: World, file: File) -> bool:
    receipt = world.catalog.receipts(file.row.uid, [file.drop.key]).get(file.drop.key)
    return receipt is not None and (receipt.etag, receipt.state) == (file.info.etag, ReceiptState.DONE)


def _take_table(world: World, file: File, deadline: Deadline) -> Outcome:
    if parts.is_large(file):
        return parts.begin(world, file)
    identity = f"{file.info.etag}#{file.drop.sequencer}"
    source = Source(drop=file.drop, identity=identity, seen=locations.seen_by(file.name))
    outcome = taken(world, file, source, entries_of(world, file.info), rejects=_rejects(world, file), deadline=deadline)
    return finish(world, file, outcome)


def _take_picture(world: World, file: File, deadline: Deadline) -> Outcome:
    schema, key = schema_of_body(file.row.body), file.info.key
    outcome = Outcome(state=GONE)
    for attempt in range(MAX_SIDECAR_CHANGES):
        sidecar = pictures.read_sidecar(world, key)
        identity = f"{file.info.etag}#{file.drop.sequencer}#{sidecar.etag}"
        source = Source(drop=file.drop, identity=identity, first_segment=attempt)
        entry = pictures.picture_entry(world, schema, file.name, file.info, sidecar)
        outcome = taken(world, file, source, [entry], rejects=_rejects(world, file), deadline=deadline)
        finish(world, file, outcome)
        if sidecar.etag != pictures.ABSENT:
            _note_sidecar(world, file.row, key, sidecar.etag)
        if pictures.sidecar_etag(world, key) == sidecar.etag:
            break
    return outcome


def _take_sidecar(world: World, file: File, deadline: Deadline) -> Outcome:
    picture_key = file.drop.key.removesuffix(SIDECAR_SUFFIX)
    receipts = world.catalog.receipts(file.row.uid, [file.drop.key, picture_key])
    noted = receipts.get(file.drop.key)
    picture_is_in = picture_key in receipts
    is_used = noted is not None and noted.etag == file.info.etag
    if picture_is_in and not is_used:
        info = world.store.head(picture_key)
        drop = replace(file.drop, key=picture_key)
        name = file.name.removesuffix(SIDECAR_SUFFIX)
        _take_picture(world, File(row=file.row, name=name, drop=drop, info=info), deadline)
    elif not is_used:
        # The picture is still to come, and will read the sidecar that stands then.
        _note_sidecar(world, file.row, picture_key, file.info.etag)
    return Outcome(state=ReceiptState.DONE)


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


def _refuse(world: World, collection: str, name: str, info: ObjectInfo, error: ShardlakeError) -> Outcome:
    rejects = RejectLog(world.store, collection=collection, name=name, etag=info.etag)
    rejects.add(0, None, error)
    rejects.save()
    return Outcome(state=REFUSED, kind=error.kind)


def _rejects(world: World, file: File) -> RejectLog:
    return RejectLog(world.store, collection=file.row.name, name=file.name, etag=file.info.etag)
