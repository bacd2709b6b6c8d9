"""The row of one build in the catalog, kept true: running, with progress, then done or failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson

from shardlake.catalog.base import BuildRow, BuildState, Catalog
from shardlake.errors import ShardlakeError

ENDED = frozenset({BuildState.DONE, BuildState.FAILED})


class Keeper:
    """Writes the row of one build.

    Args:
        catalog: that has it. uid: of the collection. row: as it stands.
        clock: returns the time as RFC 3339, UTC.
    """

    def __init__(self, catalog: Catalog, uid: str, row: BuildRow, clock: Callable[[], str]) -> None:
        self._catalog = catalog
        self._uid = uid
        self._clock = clock
        self.row = row

    def report(self, stage: str, progress: float) -> None:
        """Tells how far the build is, from whichever of its processes."""
        changes = {"state": BuildState.RUNNING, "stage": str(stage), "progress": round(progress, 3)}
        self._change(**changes)
        self._catalog.report_build(self._uid, self.row)

    def restart(self) -> None:
        """Tells that the build begins anew, since another one has committed before it."""
        self._put(state=BuildState.RUNNING, progress=0.0)

    def finish(self, version: str) -> BuildRow:
        """Ends the build with the version that it has made."""
        return self._put(state=BuildState.DONE, progress=1.0, stage="done", version=version)

    def fail(self, error: ShardlakeError) -> BuildRow:
        """Ends the build with an error."""
        return self._put(state=BuildState.FAILED, error=orjson.dumps(error.to_body()["error"], default=str).decode())

    def _put(self, **changes: object) -> BuildRow:
        self._change(**changes)
        self._catalog.put_build(self._uid, self.row)
        return self.row

    def _change(self, **changes: object) -> None:
        self.row = replace(self.row, updated_at=self._clock(), **changes)  # type: ignore[arg-type]  # BuildRow's own fields
