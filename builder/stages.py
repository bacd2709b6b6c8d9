"""The stages of a build. Each is a function of the context and of what earlier stages have left in the store.

Two of them work on a number: `assign` on a part, `write` on a shard; no number needs what another one makes. So one
process runs them all, one behind the other (`builder.job`), or each runs on whatever machine there is
(`builder.steps`): the artefacts are the same bytes, and so is the version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from builder import deal, publish, survey, terms, write
from builder import assign as assigning
from builder import train as training
from builder.calibrate import Calibrated
from builder.context import BuildContext
from builder.deal import Dealing
from builder.survey import Survey
from builder.train import TrainedSpace
from shardlake.catalog.base import Pointer, ShardRow
from shardlake.format.manifest import ManifestTerms


class Stage(StrEnum):
    """A stage, as steps and rows of builds name it."""

    SURVEY = "survey"
    TRAIN = "train"
    ASSIGN = "assign"
    WRITE = "write"
    TERMS = "terms"
    CALIBRATE = "calibrate"
    COMMIT = "commit"


NUMBERED = frozenset({Stage.ASSIGN, Stage.WRITE})


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


def look(context: BuildContext) -> Survey:
    """Finds which items live, and makes parts of their segments."""
    context.report(Stage.SURVEY, 0.0)
    return survey.survey(context)


def learn(context: BuildContext, found: Survey) -> Plan:
    """Settles how many shards there are, and learns each space."""
    dealing = deal.deal(context, found)
    context.report(Stage.TRAIN, 0.05)
    trained = training.train(context, found, dealing)
    primary = trained[context.schema.spaces[0].name]
    dealing = deal.weigh(context, found, dealing, primary.spec.name, primary.centroids, primary.spec.metric)
    return Plan(found=found, trained=trained, dealing=dealing)


def recall(context: BuildContext) -> Plan:
    """Returns the plan that `look` and `learn` have made.

    Raises:
        Unavailable: when it does not stand, since another run has finished and removed it.
    """
    for name in (survey.NAME, *training.artefacts(context.schema)):
        context.standing(name)
    found = survey.survey(context)
    dealing = deal.deal(context, found)
    trained = training.train(context, found, dealing)
    primary = trained[context.schema.spaces[0].name]
    dealing = deal.weigh(context, found, dealing, primary.spec.name, primary.centroids, primary.spec.metric)
    return Plan(found=found, trained=trained, dealing=dealing)
