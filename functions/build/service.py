"""Runs one build and keeps its row in the catalog true: running, with progress, then done or failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from builder import job
from builder.collect import DEFAULT_PATIENCE, Collector, Patience
from builder.compact import compact
from builder.context import BuildContext, EncodeTexts
from builder.dropped import DroppedCollector
from builder.purge import purge
from builder.removal import Collected
from builder.trace import Trace, Tracer
from functions.build.keeper import ENDED, Keeper
from shardlake.catalog.base import AUTOMATIC, BuildRow, Catalog, CollectionRow, Pointer
from shardlake.contracts.collection import schema_of_body
from shardlake.core.threads import threads
from shardlake.errors import Conflict, ErrorKind, InternalError, ShardlakeError
from shardlake.limits import MIB
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema

PART_BYTES = 256 * MIB  # of vectors: a quarter of what a block may be, and several parts of a small function


def rows_of_a_part(schema: CollectionSchema) -> int:
    """Returns how many rows' vectors fill a part: what a stage holds at a time, and one object of the store."""
    row_bytes = 4 * sum(space.dimension for space in schema.stored_spaces)
    return max(1, PART_BYTES // max(row_bytes, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """What builds are run with.

    Attributes:
        part_rows: rows that a stage holds at a time, at most; fewer where their vectors fill PART_BYTES.
        threads: of faiss, and how many the build keeps busy itself.
        clock: returns the time as RFC 3339, UTC.
        encode_texts: makes queries of texts, for the curve of searches by text.
        patience: how long garbage is kept.
    """

    store: ObjectStore
    catalog: Catalog
    part_rows: int
    threads: int
    clock: Callable[[], str]
    encode_texts: EncodeTexts | None = None
    patience: Patience = DEFAULT_PATIENCE

    def run(self, collection: str, build_id: str, *, scratch: Path) -> BuildRow:
        """Runs a build to its end; a build that has ended is left as it is, so that a second delivery changes nothing.

        Raises:
            Unavailable, Overloaded, CommitUnknown: run it again; its row says running.
        """
        found = self.catalog.get_collection(collection)
        row = self.catalog.get_build(found.uid, build_id)
        if row.state in ENDED:
            return row
        keeper = Keeper(self.catalog, found.uid, row, self.clock)
        return self._finish(self.context_of(found, keeper, scratch), keeper)

    def context_of(self, found: CollectionRow, keeper: Keeper, scratch: Path) -> BuildContext:
        """Returns what the stages of a build are given."""
        schema = schema_of_body(found.body)
        return BuildContext(
            store=self.store,
            catalog=self.catalog,
            collection=found.name,
            uid=found.uid,
            body=found.body,
            schema=schema,
            build_id=keeper.row.build_id,
            part_rows=min(self.part_rows, rows_of_a_part(schema)),
            scratch=scratch,
            report=keeper.report,
            clock=self.clock,
            threads=self.threads,
            encode_texts=self.encode_texts,
        )

    def compact(self, collection: str) -> int:
        """Merges pending segments of a collection; returns how many segments are fewer.

        Raises:
            Unavailable, Overloaded: do it again. FormatError: when a segment contradicts the format.
        """
        found = self.catalog.get_collection(collection)
        now = datetime.fromisoformat(self.clock())
        return compact(self.store, self.catalog, found.uid, schema_of_body(found.body), now=now)

    def collect(self, collection: str | None) -> Collected:
        """Removes the garbage of a collection that stands, or of all of them and of those that were dropped.

        Raises:
            Unavailable, Overloaded: do it again: what was removed is gone, the rest is found.
        """
        if collection is not None:
            return self._collect(self.catalog.get_collection(collection))
        removed = Collected()
        for row in self.catalog.list_collections():
            removed = removed.plus(self._collect(row))
        now = datetime.fromisoformat(self.clock())
        return removed.plus(DroppedCollector(self.store, self.catalog, now, self.patience.grace).collect())

    def tidy(self) -> int:
        """Removes all garbage after a build; returns how many objects it was.

        A failure is none of the build's, which stands: what is garbage now is garbage at the next one.
        """
        try:
            return self.collect(None).objects
        except ShardlakeError:
            return 0

    def trace(self, collection: str, item_id: str, after: str | None) -> Trace:
        """Returns a page of where an item lies, behind an object's key.

        Raises:
            NotFound: collection-not-found. Unavailable, Overloaded: ask again.
        """
        found = self.catalog.get_collection(collection)
        return Tracer(
            store=self.store,
            catalog=self.catalog,
            uid=found.uid,
            name=found.name,
            now=datetime.fromisoformat(self.clock()),
            patience=self.patience,
        ).trace(item_id, after)

    def _collect(self, row: CollectionRow) -> Collected:
        collected = self._collector().collect(row.uid, row.name)
        # Once old versions are forgotten, their items are needed no more; the segments replaced go in their own time.
        now = datetime.fromisoformat(self.clock())
        purge(self.store, self.catalog, row.uid, schema_of_body(row.body), now=now)
        return collected

    def _collector(self) -> Collector:
        return Collector(self.store, self.catalog, datetime.fromisoformat(self.clock()), self.patience)

    def _finish(self, context: BuildContext, keeper: Keeper) -> BuildRow:
        try:
            with threads(self.threads):
                pointer = _run(context, keeper)
        except ShardlakeError as error:
            if error.retryable:
                raise
            return keeper.fail(error)
        except Exception as exc:
            keeper.fail(broken(exc))
            raise
        return keeper.finish(pointer.version)


def broken(exc: Exception) -> InternalError:
    """Returns the error of a build that raised what nobody foresaw."""
    return InternalError("the build broke on our side", kind=ErrorKind.INTERNAL, raised=type(exc).__name__)


def lost_to_another(error: Exception, build_id: str) -> bool:
    """Returns whether a build is to be run once more: somebody asked for it, and another one has committed before it.

    One that began by itself is not: what it was to fold in has been folded in.
    """
    is_lost = isinstance(error, Conflict) and error.kind is ErrorKind.COMMIT_CONFLICT
    return is_lost and not build_id.startswith(AUTOMATIC)


def _run(context: BuildContext, keeper: Keeper) -> Pointer:
    try:
        return job.run(context)
    except Conflict as conflict:
        if not lost_to_another(conflict, context.build_id):
            raise
    keeper.restart()
    return job.run(context)
