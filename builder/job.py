"""The job: the stages in order. Every stage's artefact is found and skipped when the job is started again.

Example: `run(context)` returns the committed pointer; killed anywhere and run again, it commits the same version once.
"""

from __future__ import annotations

from builder import assign, deal, publish, survey, terms, train, write
from builder.beside import beside, handing_over
from builder.calibrate import Calibration
from builder.context import BuildContext
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
    try:
        with handing_over(context.threads):
            pointer = _landed(context) or _build(context)
    except Exception as error:
        # A second run of this build may have finished meanwhile and taken the artefacts away; a reply may be lost.
        landed = _landed(context)
        if landed is None:
            if isinstance(error, Conflict):  # lost for certain: nobody will look for what it has made
                _remove_artefacts(context)
            raise
        pointer = landed
    _remove_artefacts(context)
    return pointer


def _landed(context: BuildContext) -> Pointer | None:
    # Killed after its commit, a build must not begin anew: it would commit the same items once more.
    return next((p for p in context.catalog.versions(context.uid) if p.build_id == context.build_id), None)


def _build(context: BuildContext) -> Pointer:
    context.report("survey", 0.0)
    found = survey.survey(context)
    # A second run may have ended since we looked: then the survey is a new one, and would lead to a second commit.
    if (landed := _landed(context)) is not None:
        return landed
    dealing = deal.deal(context, found)
    context.report("train", 0.05)
    trained = train.train(context, found, dealing)
    primary = trained[context.schema.spaces[0].name]
    dealing = deal.weigh(context, found, dealing, primary.spec.name, primary.centroids, primary.spec.metric)
    assign.assign(context, found, trained, dealing)
    with beside(context.threads) as worker:
        calibration = Calibration(context, found, trained, worker)
        rows = write.write(context, found, trained, dealing.shards, calibration.begin)
        texts = terms.merge(context, found.version, dealing.shards)
        measured = calibration.measure(rows)
    context.report("commit", 0.98)
    key = publish.write_manifest(context, found, trained, rows, measured, texts)
    return publish.commit(context, found, rows, key)


def _remove_artefacts(context: BuildContext) -> None:
    # Only after a commit that certainly landed or certainly did not: until then a restarted job needs them.
    for info in list(context.store.list(locations.build_artefact(context.uid, context.build_id, ""))):
        context.store.delete(info.key)
