"""Runs one build and keeps its row in the catalog true: running, with progress, then done or failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import orjson

from builder import job
from builder.collect import DEFAULT_PATIENCE, Collector, Patience
from builder.compact import compact
from builder.context import BuildContext, EncodeTexts
from builder.dropped import DroppedCollector
from builder.purge import purge
from builder.removal import Collected
from builder.trace import Trace, Tracer
from shardlake.catalog.base import AUTOMATIC, BuildRow, BuildState, Catalog, CollectionRow, Pointer
from shardlake.contracts.collection import schema_of_body
from shardlake.core.threads import threads
from shardlake.errors import Conflict, ErrorKind, InternalError, ShardlakeError
from shardlake.limits import MIB
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema

PART_BYTES = 256 * MIB  # of vectors: a quarter of what a block may be, and several parts of a small function
ENDED = frozenset({BuildState.DONE, BuildState.FAILED})


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
        keeper = _Keeper(self, found.uid, row)
        schema = schema_of_body(found.body)
        context = BuildContext(
            store=self.store,
            catalog=self.catalog,
            collection=found.name,
            uid=found.uid,
            body=found.body,
            schema=schema,
            build_id=build_id,
            part_rows=min(self.part_rows, rows_of_a_part(schema)),
            scratch=scratch,
            report=keeper.report,
            clock=self.clock,
            threads=self.threads,
            encode_texts=self.encode_texts,
        )
        return self._finish(context, keeper)

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

    def _finish(self, context: BuildContext, keeper: _Keeper) -> BuildRow:
        try:
            with threads(self.threads):
                pointer = _run(context)
        except ShardlakeError as error:
            if error.retryable:
                raise
            return keeper.fail(error)
        except Exception as exc:
            keeper.fail(
                InternalError("the build broke on our side", kind=ErrorKind.INTERNAL, raised=type(exc).__name__)
            )
            raise
        return keeper.put(state=BuildState.DONE, progress=1.0, stage="done", version=pointer.version)


def _run(context: BuildContext) -> Pointer:
    """Runs a build; one that somebody asked for is run once more where another build has committed before it.

    One that began by itself is not: what it was to fold in has been folded in.
    """
    try:
        return job.run(context)
    except Conflict as conflict:
        if conflict.kind is not ErrorKind.COMMIT_CONFLICT or context.build_id.startswith(AUTOMATIC):
            raise
    return job.run(context)


class _Keeper:
    """Writes the row of one build."""

    def __init__(self, builds: Builds, uid: str, row: BuildRow) -> None:
        self._builds = builds
        self._uid = uid
        self._row = row

    def report(self, stage: str, progress: float) -> None:
        self.put(state=BuildState.RUNNING, stage=stage, progress=round(progress, 3))

    def fail(self, error: ShardlakeError) -> BuildRow:
        return self.put(state=BuildState.FAILED, error=orjson.dumps(error.to_body()["error"], default=str).decode())

    def put(self, **changes: object) -> BuildRow:
        self._row = replace(self._row, updated_at=self._builds.clock(), **changes)  # type: ignore[arg-type]  # BuildRow's own fields
        self._builds.catalog.put_build(self._uid, self._row)
        return self._row
