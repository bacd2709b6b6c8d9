"""Builds on many machines: who hands one over to the state machine, and what is done for each of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

import orjson

from builder import job, stages
from builder.context import BuildContext
from builder.stages import Stage
from functions.build.keeper import ENDED, Keeper
from functions.build.service import Builds, broken, lost_to_another
from shardlake.catalog.base import BuildRow, BuildState, Pointer
from shardlake.contracts.build import Step
from shardlake.core.threads import threads
from shardlake.errors import Conflict, ErrorKind, InvalidInput, ShardlakeError, Unavailable
from shardlake.rpc.base import Machine

NUMBERS = "numbers"
FAILED = "failed"
MAX_NUMBERS = 30_000  # parts or shards: as a list they travel in a state, which holds 256 KB (AWS quotas, 2026-11)

Outcome = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What the steps of builds are run with.

    Attributes:
        builds: what a build is run with, in one run or in many.
        machine: that runs the steps; None where the deployment has none.
        distributed_rows: taken in, from which on a build goes to the machine by itself; 0: only where it is asked to.
    """

    builds: Builds
    machine: Machine | None = None
    distributed_rows: int = 0

    def hand_over(self, collection: str, build_id: str, *, distributed: bool | None, attempt: str) -> bool:
        """Starts the machine for a build, where it is to run there; returns whether it is.

        Args:
            collection, build_id: the build.
            distributed: what was asked for; None: as much was taken in as `distributed_rows`.
            attempt: another one starts the machine anew, the same one does not.

        Raises:
            Unavailable, Overloaded: do it again; started twice, the machine runs once.
        """
        if self.machine is None:
            return False
        found = self.builds.catalog.get_collection(collection)
        if not (self._is_large(found.uid) if distributed is None else distributed):
            return False
        name = f"{build_id}-{blake2b(f'{found.uid}/{attempt}'.encode(), digest_size=6).hexdigest()}"
        first = Step(collection=collection, build_id=build_id, step=Stage.SURVEY)
        self.machine.start(name, orjson.dumps(_state(first)))
        return True

    def run(self, step: Step, *, scratch: Path) -> Outcome:
        """Runs one step; returns what the machine goes on with. A build that is done stays as it is.

        Raises:
            Conflict: the build has failed: no other step of it is needed.
            ShardlakeError: where it is retryable, run the step again; else the build has failed with it.
        """
        builds = self.builds
        found = builds.catalog.get_collection(step.collection)
        row = builds.catalog.get_build(found.uid, step.build_id)
        keeper = Keeper(builds.catalog, found.uid, row, builds.clock)
        if step.step == FAILED:
            return _given_up(keeper, step)
        if row.state is BuildState.FAILED:
            raise Conflict("the build has failed: nothing more is done for it", kind=ErrorKind.BUILD_FAILED)
        context = builds.context_of(found, keeper, scratch)
        if row.state is BuildState.DONE:
            return _numbers(stages.Numbers(parts=0, shards=0)) if step.step == NUMBERS else _state(step)
        return self._kept(context, keeper, step)

    def _kept(self, context: BuildContext, keeper: Keeper, step: Step) -> Outcome:
        try:
            with threads(self.builds.threads):
                return _run(context, keeper, step)
        except ShardlakeError as error:
            begins_again = step.step == Stage.COMMIT and not step.again
            if begins_again and lost_to_another(error, step.build_id):
                keeper.restart()
                return _state(replace(step, again=True))
            if not error.retryable:
                keeper.fail(error)
            raise
        except Exception as exc:
            keeper.fail(broken(exc))
            raise

    def _is_large(self, uid: str) -> bool:
        if not self.distributed_rows:
            return False
        return sum(segment.rows for segment in self.builds.catalog.segments(uid)) >= self.distributed_rows


def _run(context: BuildContext, keeper: Keeper, step: Step) -> Outcome:
    if step.step == NUMBERS:
        return _numbers(stages.numbers(context))
    if step.step not in set(Stage):
        raise InvalidInput("a build has no such step", step=step.step[:64])
    pointer: Pointer | None = job.step(context, Stage(step.step), step.number)
    if pointer is not None:
        keeper.finish(pointer.version)
    return _state(replace(step, again=False))


def _numbers(found: stages.Numbers) -> Outcome:
    """Returns the numbers as lists, over which the machine maps."""
    counts = asdict(found)
    if max(counts.values()) > MAX_NUMBERS:
        raise InvalidInput(f"a build on many machines has at most {MAX_NUMBERS} parts and shards", **counts)
    return {name: list(range(count)) for name, count in counts.items()}


def _state(step: Step) -> Outcome:
    """Returns what the machine hands from step to step."""
    return {"collection": step.collection, "build_id": step.build_id, "number": 0, "again": step.again}


def _given_up(keeper: Keeper, step: Step) -> Outcome:
    """Ends a build whose machine has given up; one that has ended, by its own error, stays as it is."""
    row: BuildRow = keeper.row
    if row.state not in ENDED:
        message = "a step of the build failed again and again; retry the build, and it goes on where it stopped"
        keeper.fail(Unavailable(message, kind=ErrorKind.FUNCTION_UNAVAILABLE, stage=row.stage, error=step.error[:256]))
    return _state(step)
