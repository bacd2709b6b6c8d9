"""The job: the stages in order. Every stage's artefact is found and skipped when the job is started again.

Example: `run(context)` returns the committed pointer; killed anywhere and run again, it commits the same version once.
`step(context, …)` runs one stage of it, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from builder import stages
from builder.beside import beside, handing_over
from builder.calibrate import Calibration
from builder.context import BuildContext
from builder.stages import Stage
from builder.write import shard_map
from shardlake.catalog.base import Pointer
from shardlake.errors import Conflict
from shardlake.format import locations


def run(context: BuildContext) -> Pointer:
    """Builds everything ingested so far into one new version and makes it current.

    Raises:
        Conflict: nothing-to-build, or commit-conflict when another build committed meanwhile.
        FormatError: when a segment or artefact contradicts the format.
        Unavailable: when the store or the catalog failed for now: run the same build again.
    """
    pointer = _settled(context, lambda: _build(context))
    assert pointer is not None, "a whole build ends with a pointer or an error"
    return pointer


def step(context: BuildContext, stage: Stage, number: int = 0) -> Pointer | None:
    """Runs one stage, of a numbered one that part or shard; what stands is not made again.

    Returns:
        The pointer, once the build has committed, whoever did it.

    Raises:
        As `run`; Unavailable also when an earlier stage has left nothing.
    """
    return _settled(context, lambda: stages.run_step(context, stage, number))


def _settled(context: BuildContext, work: Callable[[], Pointer | None]) -> Pointer | None:
    """Returns the build's commit, or what the work returns; clears up where nobody will look for artefacts again."""
    try:
        with handing_over(context.threads):
            pointer = _landed(context) or work()
    except Exception as error:
        # A second run of this build may have finished meanwhile and taken the artefacts away; a reply may be lost.
        pointer = _landed(context)
        if pointer is None:
            if isinstance(error, Conflict):  # lost for certain: nobody will look for what it has made
                _remove_artefacts(context)
            raise
    if pointer is not None:
        _remove_artefacts(context)
    return pointer


def _landed(context: BuildContext) -> Pointer | None:
    # Killed after its commit, a build must not begin anew: it would commit the same items once more.
    return next((p for p in context.catalog.versions(context.uid) if p.build_id == context.build_id), None)


def _build(context: BuildContext) -> Pointer:
    found = stages.look(context)
    # A second run may have ended since we looked: then the survey is a new one, and would lead to a second commit.
    if (landed := _landed(context)) is not None:
        return landed
    plan = stages.learn(context, found)
    stages.assign(context, plan, plan.parts)
    with beside(context.threads) as worker:
        calibration = Calibration(context, found, plan.trained, worker)
        stages.write(context, plan, plan.shards, calibration.begin)
        stages.count_terms(context, plan)
        calibration.measure(shard_map(context, plan.dealing.shards))
    return stages.commit(context, plan)


def _remove_artefacts(context: BuildContext) -> None:
    # Only after a commit that certainly landed or certainly did not: until then a restarted job needs them.
    for info in list(context.store.list(locations.build_artefact(context.uid, context.build_id, ""))):
        context.store.delete(info.key)
