"""The stages of a build. Each is a function of the context and of what earlier stages have left in the store.

Two of them work on numbers: `assign` on parts, `write` on shards; no number needs what another one makes. So one
process runs them all, one behind the other (`builder.job.run`), or each is a step on whatever machine there is
(`builder.job.step`): the artefacts are the same bytes, and so is the version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from builder import assign as assigning
from builder import deal, publish, survey, terms
from builder import train as training
from builder import write as writing
from builder.beside import beside
from builder.calibrate import Calibrated, Calibration
from builder.context import BuildContext
from builder.deal import Dealing
from builder.survey import Survey
from builder.train import TrainedSpace
from shardlake.catalog.base import Pointer
from shardlake.errors import ErrorKind, InvalidInput, Unavailable


class Stage(StrEnum):
    """A stage, as steps name it."""

    SURVEY = "survey"
    TRAIN = "train"
    ASSIGN = "assign"
    WRITE = "write"
    TERMS = "terms"
    CALIBRATE = "calibrate"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What survey and training have settled: all that a part or a shard depends on beside its own rows.

    Attributes:
        found: what is built from. trained: each space. dealing: what decides the shard of an item.
    """

    found: Survey
    trained: dict[str, TrainedSpace]
    dealing: Dealing

    @property
    def parts(self) -> range:
        """The numbers of the parts."""
        return range(len(self.found.parts))

    @property
    def shards(self) -> range:
        """The numbers of the shards."""
        return range(self.dealing.shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How many parts and shards a build has: what its numbered stages are steps over."""

    parts: int
    shards: int


def look(context: BuildContext) -> Survey:
    """Finds which items live, and makes parts of their segments."""
    context.report(Stage.SURVEY, 0.0)
    return survey.survey(context)


def learn(context: BuildContext, found: Survey) -> Plan:
    """Settles how many shards there are, and learns each space."""
    context.report(Stage.TRAIN, 0.05)
    return _plan(context, found)


def _plan(context: BuildContext, found: Survey) -> Plan:
    dealing = deal.deal(context, found)
    trained = training.train(context, found, dealing)
    primary = trained[context.schema.spaces[0].name]
    dealing = deal.weigh(context, found, dealing, primary.spec.name, primary.centroids, primary.spec.metric)
    return Plan(found=found, trained=trained, dealing=dealing)


def assign(context: BuildContext, plan: Plan, parts: range) -> None:
    """Makes some parts of their segments."""
    context.report(Stage.ASSIGN, 0.15 + 0.3 * parts.start / max(len(plan.parts), 1))
    assigning.assign(context, plan.found, plan.trained, plan.dealing, parts)


def write(context: BuildContext, plan: Plan, shards: range, collected: Callable[[], None] = lambda: None) -> None:
    """Writes some shards; needs all parts. `collected` is called when the columns of one are parsed."""
    writing.write(context, plan.found, plan.trained, shards, of=plan.dealing.shards, collected=collected)


def count_terms(context: BuildContext, plan: Plan) -> None:
    """Counts in how many texts each term stands; needs all shards."""
    terms.merge(context, plan.found.version, plan.dealing.shards)


def calibrate(context: BuildContext, plan: Plan) -> Mapping[str, Calibrated]:
    """Measures what plans find; needs all parts and shards."""
    with beside(context.threads) as worker:
        calibration = Calibration(context, plan.found, plan.trained, worker)
        return calibration.measure(writing.shard_map(context, plan.dealing.shards))


def commit(context: BuildContext, plan: Plan) -> Pointer:
    """Makes the version current; what earlier stages have not left is made now.

    Raises:
        Conflict: commit-conflict, when another build has committed meanwhile.
    """
    rows = writing.shard_map(context, plan.dealing.shards)
    texts = terms.merge(context, plan.found.version, plan.dealing.shards)
    measured = calibrate(context, plan)
    context.report(Stage.COMMIT, 0.98)
    key = publish.write_manifest(context, plan.found, plan.trained, rows, measured, texts)
    return publish.commit(context, plan.found, rows, key)


def numbers(context: BuildContext) -> Numbers:
    """Returns how many parts and shards there are. Cost: what survey and dealing have left is read."""
    found = survey.standing(context)
    return Numbers(parts=len(found.parts), shards=deal.deal(context, found).shards)


def recall(context: BuildContext) -> Plan:
    """Returns the plan that `look` and `learn` have made.

    Raises:
        Unavailable: when it does not stand, since another run has finished and removed it.
    """
    found = survey.standing(context)
    for name in training.artefacts(context.schema):
        if not context.has(name):
            raise Unavailable("another run of this build has finished meanwhile", artefact=name)
    return _plan(context, found)


def run_step(context: BuildContext, stage: Stage, number: int) -> Pointer | None:
    """Runs one stage, of a numbered one that part or shard; returns the pointer when it has moved.

    Raises:
        InvalidInput: when there is no such number.
        Unavailable: when an earlier stage has left nothing.
    """
    match stage:
        case Stage.SURVEY:
            look(context)
        case Stage.TRAIN:
            learn(context, survey.standing(context))
        case Stage.ASSIGN | Stage.WRITE:
            _run_number(context, stage, number)
        case Stage.TERMS:
            count_terms(context, recall(context))
        case Stage.CALIBRATE:
            calibrate(context, recall(context))
        case Stage.COMMIT:
            return commit(context, recall(context))
    return None


def _run_number(context: BuildContext, stage: Stage, number: int) -> None:
    plan = recall(context)
    there, work = (plan.parts, assign) if stage is Stage.ASSIGN else (plan.shards, write)
    if number not in there:
        raise InvalidInput(f"there is no such number in {stage}", kind=ErrorKind.INVALID_REQUEST, number=number)
    work(context, plan, range(number, number + 1))
