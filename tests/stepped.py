"""The state machine of infra/template.yaml in one process: the steps of a build, in the order it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.stages import Stage
from functions.build.service import Builds
from functions.build.steps import FAILED, NUMBERS, Steps
from shardlake.catalog.base import Catalog
from shardlake.contracts.build import Step, step_of
from shardlake.errors import ShardlakeError
from shardlake.store.base import ObjectStore
from shardlake.testing import MemoryMachine
from tests.lake import EPOCH, NAME, UID, Lake, queued

Order = Callable[[Sequence[int]], Sequence[int]]


@dataclass(slots=True)
class Stepped:
    """A build in steps, each by a service of its own, as if on a machine of its own.

    Attributes:
        attempts: of a step that fails, before the machine gives up.
        order: in which order the numbers of a stage come.
        asked: every step that was asked for, with its number.
    """

    lake: Lake
    part_rows: int = 100_000
    build_id: str = "build-1"
    attempts: int = 3
    order: Order = lambda numbers: numbers
    store: ObjectStore | None = None
    catalog: Catalog | None = None
    before: Callable[[str, int], None] = lambda _step, _number: None
    asked: list[tuple[str, int]] = field(default_factory=list)

    def steps(self) -> Steps:
        """Returns the service of a process that has just begun."""
        builds = Builds(
            store=self.store or self.lake.store,
            catalog=self.catalog or self.lake.catalog,
            part_rows=self.part_rows,
            threads=1,
            clock=lambda: EPOCH,
        )
        return Steps(builds=builds, machine=MemoryMachine())

    def run(self) -> None:
        """Runs the whole machine, to its end or until it gives up."""
        if self.build_id not in self.lake.catalog._of(UID).builds:
            self.lake.catalog.put_build(UID, queued(self.build_id))
        state: Mapping[str, Any] = {"again": False}
        try:
            while True:
                state = self._through(state)
                if not state["again"]:
                    return
        except ShardlakeError as error:
            self._ask(FAILED, {**state, "error": type(error).__name__}, attempts=1)

    def _through(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        for stage in (Stage.SURVEY, Stage.TRAIN):
            self._ask(stage, state)
        numbers = self._ask(NUMBERS, state)
        for stage, all_numbers in ((Stage.ASSIGN, numbers["parts"]), (Stage.WRITE, numbers["shards"])):
            for number in self.order(all_numbers):
                self._ask(stage, {**state, "number": number})
        for stage in (Stage.TERMS, Stage.CALIBRATE):
            self._ask(stage, state)
        return self._ask(Stage.COMMIT, state)

    def _ask(self, step: str, state: Mapping[str, Any], attempts: int | None = None) -> Mapping[str, Any]:
        event = {"number": 0, **state, "collection": NAME, "build_id": self.build_id, "step": step}
        wanted: Step = step_of(event)
        for left in reversed(range(attempts or self.attempts)):
            self.asked.append((step, wanted.number))
            try:
                self.before(step, wanted.number)
                return self.steps().run(wanted, scratch=self.lake.scratch)
            except ShardlakeError:
                if not left:
                    raise
        raise AssertionError
