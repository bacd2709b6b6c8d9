"""How deep a space is searched to keep a promise of recall, and what a caller may see of why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from shardlake.core.calibration import BandPoint, CurvePoint, Queries, ScanPlan, band_for, choose, widen
from shardlake.format.manifest import ManifestSpace
from shardlake.types import Depth, Modality

MIN_CANDIDATES = 64  # refining fewer saves nothing that a user could see


def queries_of(kinds: Collection[str]) -> Queries:
    """Returns which curve speaks of a query of these kinds: that of items only where a picture, and no text, is given.

    A vector that the caller brings may come from anywhere: what is measured for texts holds for it where there is one.
    """
    pictures_only = Modality.IMAGE.value in kinds and Modality.TEXT.value not in kinds
    return Queries.ITEMS if pictures_only else Queries.TEXT


def scan_plan(
    space: ManifestSpace, *, recall: float, k: int, nprobe: int | None, queries: Queries, is_filtered: bool
) -> ScanPlan:
    """Returns the cheapest plan that keeps the promise.

    Args:
        space: to be searched.
        recall, k: that are asked for.
        nprobe: what the caller says instead: under a filter, of the lists with passing rows.
        queries: what is searched with.
        is_filtered: whether there is a filter.
    """
    per_list = space.rows_per_list
    chosen = choose(space.curve, recall=recall, k=k, rows_per_list=per_list, queries=queries)
    if nprobe is not None and space.curve and recall < 1:
        depth, candidates = min(nprobe, space.lists), max(chosen.candidates, 10 * k, MIN_CANDIDATES)
        widening = (Depth(0.0, depth),) if is_filtered else ()
        return ScanPlan(nprobe=depth, candidates=candidates, exact=False, widening=widening)
    if is_filtered:
        chosen = widen(
            chosen, space.bands, recall=recall, k=k, lists=space.lists, rows_per_list=per_list, queries=queries
        )
    if chosen.exact:
        return chosen
    return replace(chosen, nprobe=min(chosen.nprobe, space.lists), candidates=max(chosen.candidates, MIN_CANDIDATES))


def explained(scan: ScanPlan, *, promise: float | None) -> dict[str, Any]:
    """Returns what a caller may see: the depth, the points that it was chosen by, and what they were measured to find.

    Args:
        scan: of one space.
        promise: the recall asked for; None where `nprobe` overrides it.
    """
    return {
        "exact": scan.exact,
        "nprobe": scan.nprobe,
        "candidates": scan.candidates,
        "curve_point": None if scan.point is None else _shown(scan.point),
        "bands": [_shown(band) for band in scan.bands],
        "promise": promise,
        "measured": _measured(scan),
    }


def bands_by_shard(scan: ScanPlan | None, passing: Mapping[int, tuple[int, int]]) -> dict[str, dict[str, float | int]]:
    """Returns the band that the filter has in each shard: its selectivity, lists with passing rows to probe, and, where
    how many that are depends on the query, the share of their weight that may be left.

    Args:
        scan: of the space; None where none is searched.
        passing: {shard: (rows that pass, rows)}.
    """
    found = {}
    for shard, (count, rows) in sorted(passing.items()):
        band = None if scan is None else band_for(scan.widening, count / max(1, rows))
        if band is not None:
            told: dict[str, float | int] = {"selectivity": band.selectivity, "lists": band.lists}
            found[f"{shard:05d}"] = told | ({"missed": band.missed} if band.missed else {})
    return found


def _measured(scan: ScanPlan) -> float | None:
    """Returns the mean recall that was measured of a plan, in the worst of its bands; None where nothing was."""
    if scan.exact:
        return 1.0
    points = scan.bands or ((scan.point,) if scan.point is not None else ())
    return min((point.recall for point in points), default=None)


def _shown(point: CurvePoint | BandPoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in type(point).__slots__}
