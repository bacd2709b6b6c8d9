"""A large file, taken in by parts: each is a message of the queue, and whoever ends the last one writes the receipt.

The ledger of a write (a row of the catalog) says how far it was cut, and what became of each part. Messages are sent
before the ledger says that they were: whoever is killed in between sends the same ones again, and a part that was done
is not done again. What belongs to another write than the ledger, or to other bytes than stand there, gives way.

| file | how it is cut |
|---|---|
| lines | between two lines, in one pass that counts them: so refused ones have their number in the file |
| parquet | between two rows, by what its directory says of the sizes of its groups |
| compressed lines | not at all: they are taken in part by part, and a run that ends passes on to the next |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice

from functions.ingest.book import Book, Superseded
from functions.ingest.entries import Entry, entries_of_part, entry_of, is_packed, is_parquet
from functions.ingest.files import CUT, GONE, PART, File, Outcome, collection_of, taken
from functions.ingest.intake import Source
from functions.ingest.lines import lines_of, skip, unpacked
from functions.ingest.objects import stream_of
from functions.ingest.pace import Pace
from functions.ingest.portions import Dealt, Part, parts_of_lines
from functions.ingest.rejects import RejectLog
from functions.ingest.work import Work
from functions.ingest.world import World
from shardlake import limits
from shardlake.catalog.base import ReceiptState
from shardlake.catalog.ledger import Ledger
from shardlake.deadline import Deadline
from shardlake.errors import ErrorKind, InvalidInput, NotFound, NotImplementedYet, ShardlakeError
from shardlake.format import locations

PARTS_AT_ONCE = 10  # cut, sent and noted together


def is_large(file: File) -> bool:
    """Returns whether a table is taken in by parts. Changes never are: they are few, and made in their order."""
    bound = limits.WHOLE_PACKED_FILE_BYTES if is_packed(file.name) else limits.WHOLE_FILE_BYTES
    return file.info.size_bytes > bound and not locations.is_patches(file.name)


def begin(world: World, file: File) -> Outcome:
    """Begins to take in a write of a large file; nothing where a later write of the key has begun.

    Raises:
        ShardlakeError: when it should be tried again.
    """
    try:
        book = Book.begun(world, file)
    except Superseded:
        return Outcome(state=GONE)
    if book.ledger.closed_at is None:
        world.queue.send([_work(file, None)])
    return Outcome(state=CUT)


def do(world: World, work: Work, *, deadline: Deadline) -> Outcome:
    """Does a piece of work on a file that was begun. Doing it again changes nothing.

    Raises:
        ShardlakeError: when it should be tried again.
    """
    try:
        run = _Run(world, _file_of(world, work), deadline)
        outcome = run.go_on() if work.part is None else run.take(work.part)
        state = run.book.close()
    except Superseded:
        return Outcome(state=GONE)
    except NotFound as error:
        if error.kind is not ErrorKind.OBJECT_NOT_FOUND:
            raise
        return Outcome(state=GONE)
    return outcome if state is None else replace(outcome, state=state)


def give_up(world: World, work: Work, error: ShardlakeError) -> None:
    """Notes why nothing more will come of a piece of work. The receipt says it, once all others have ended."""
    try:
        book = Book.opened(world, _file_of(world, work))
        if work.part is None:
            book.change(lambda ledger: ledger if ledger.total is not None else ledger.ended(str(error)))
        elif not book.ledger.is_done(work.part.number):
            book.change(_noting(work.part, Outcome(state=ReceiptState.FAILED, error=str(error))))
        book.close()
    except Superseded:
        return


def _file_of(world: World, work: Work) -> File:
    """Returns the file that work is about. Raises Superseded: where it or its collection is gone, or another one."""
    place = locations.parse_inbox(work.drop.key)
    if place is None:
        raise Superseded
    try:
        row, info = collection_of(world, place[0]), world.store.head(work.drop.key)
    except NotFound as error:
        raise Superseded from error
    if (row.uid, info.etag) != (work.uid, work.etag):
        raise Superseded
    return File(row=row, name=place[1], drop=work.drop, info=info)


def _work(file: File, part: Part | None) -> str:
    return Work(drop=file.drop, uid=file.row.uid, etag=file.info.etag, part=part).body()


def _noting(part: Part, outcome: Outcome) -> Callable[[Ledger], Ledger]:
    counts = {"accepted": outcome.accepted, "rejected": outcome.rejected}
    return lambda ledger: ledger.with_part(part.number, **counts, error=outcome.error)


class _Run:
    """One run of a worker on one file.

    Attributes:
        book: the file's ledger.
    """

    def __init__(self, world: World, file: File, deadline: Deadline) -> None:
        self.book = Book.opened(world, file)
        self._world = world
        self._file = file
        self._deadline = deadline

    def take(self, part: Part) -> Outcome:
        """Takes a part in, unless that was done."""
        if self.book.ledger.is_done(part.number):
            return Outcome(state=PART)
        outcome = self._taken(part, entries_of_part(self._world, self._file.info, part))
        self.book.change(_noting(part, outcome))
        return outcome

    def go_on(self) -> Outcome:
        """Cuts the file on from where it was cut last, or takes it in on from there where it cannot be cut."""
        self.book.change(Ledger.reopened)
        if self.book.ledger.total is not None:
            return Outcome(state=CUT)
        try:
            return self._take_on() if is_packed(self._file.name) else self._cut_on()
        except InvalidInput as exc:
            error = str(exc)
            self.book.change(lambda ledger: ledger.ended(error))
            return Outcome(state=CUT, kind=exc.kind)

    def _cut_on(self) -> Outcome:
        parts, pace = self._parts(), Pace(self._deadline)
        while some := list(islice(parts, PARTS_AT_ONCE)):
            _check_number(some[-1])
            # Where another worker cuts the same file, it may be further.
            new = [part for part in some if part.number >= self.book.ledger.cut]
            self._world.queue.send([_work(self._file, part) for part in new])
            self.book.change(_having_cut(some[-1].next))
            if pace.is_short():
                self._world.queue.send([_work(self._file, None)])
                return Outcome(state=CUT)
        self.book.change(Ledger.ended)
        return Outcome(state=CUT)

    def _parts(self) -> Iterator[Part]:
        store, info, ledger = self._world.store, self._file.info, self.book.ledger
        bounds = {"part_bytes": ledger.part_bytes, "part_lines": ledger.part_lines}
        if is_parquet(self._file.name):
            # Imported here: pyarrow costs a cold start 0.2 s, and most files are lines.
            from functions.ingest.tables import parts_of_rows

            yield from parts_of_rows(store, info, _next_of(ledger), **bounds)
            return
        with closing(stream_of(store, info, ledger.next_start)) as stream:
            yield from parts_of_lines(stream, _next_of(ledger), **bounds)

    def _take_on(self) -> Outcome:
        ledger, total = self.book.ledger, Outcome(state=PART)
        with closing(stream_of(self._world.store, self._file.info)) as packed:
            stream = unpacked(packed)
            skip(stream, ledger.next_start)
            lines = lines_of(stream, first=ledger.next_line)
            dealt = Dealt(lines, _next_of(ledger), part_bytes=ledger.part_bytes, part_lines=ledger.part_lines)
            pace = Pace(self._deadline)
            while True:
                outcome = self._take_dealt(dealt)
                total = total.plus(outcome)
                if outcome.error is not None or dealt.is_over:
                    return total
                if pace.is_short():
                    self._world.queue.send([_work(self._file, None)])
                    return total

    def _take_dealt(self, dealt: Dealt) -> Outcome:
        part = dealt.at
        _check_number(part)
        outcome = self._taken(part, map(entry_of, dealt.part()))
        is_last = dealt.is_over or outcome.error is not None
        note, cut = _noting(part, outcome), _having_cut(part.next if is_last else dealt.at)
        # In one step: what begins behind the last part is not known, so nobody may go on from there.
        self.book.change(lambda ledger: cut(note(ledger)).ended() if is_last else cut(note(ledger)))
        return outcome

    def _taken(self, part: Part, entries: Iterable[Entry]) -> Outcome:
        file = self._file
        source = Source(
            drop=file.drop,
            identity=f"{file.info.etag}#{file.drop.sequencer}#{part.number}",
            part=part.number,
            seen=locations.seen_by(file.name),
        )
        name = f"{file.info.etag}.part-{part.number:06d}"
        rejects = RejectLog(self._world.store, collection=file.row.name, name=file.name, etag=name)
        try:
            file.drop.refuse_if_late(self._world.now())
            outcome = taken(self._world, file, source, entries, rejects=rejects, deadline=self._deadline)
        except (InvalidInput, NotImplementedYet) as error:
            return Outcome(state=PART, kind=error.kind, error=str(error))
        return replace(outcome, state=PART)


def _next_of(ledger: Ledger) -> Part:
    return Part(number=ledger.cut, start=ledger.next_start, stop=ledger.next_start, line=ledger.next_line)


def _having_cut(after: Part) -> Callable[[Ledger], Ledger]:
    return lambda ledger: ledger.with_cut(cut=after.number, start=after.start, line=after.line)


def _check_number(part: Part) -> None:
    if part.number >= limits.MAX_FILE_PARTS:
        message = f"the file has more than {limits.MAX_FILE_PARTS} parts: drop it as several files"
        raise InvalidInput(message, kind=ErrorKind.INVALID_FILE)
