"""From what the shards said to the contract's answer: merge, count, name the failed, hold the laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from functions.router.depth import bands_by_shard
from functions.router.fanout import Told
from functions.router.hits import Answer, Found, merged
from functions.router.plan import Plan
from functions.router.request import Asked
from functions.router.versions import shard_name
from shardlake.contracts.shard import LeafStats
from shardlake.contracts.shard_wire import decode_vector
from shardlake.errors import ErrorKind, InternalError, ShardlakeError, Unavailable
from shardlake.query import facets, laws
from shardlake.query.cursor import Cursor, encode, nearly_last

SCORE_DIGITS = 7  # significant ones, of a float32

# The answer's counters that are sums over the shards' own.
_SUMMED = tuple(spec.name for spec in fields(LeafStats))
# What any one shard finds wrong is wrong with the search.
_CALLERS = frozenset({ErrorKind.ANSWER_TOO_LARGE, ErrorKind.FACET_TOO_LARGE, ErrorKind.INVALID_MATCH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the whole request cost, shown with each of its answers."""

    invocations: int
    cold_starts: int
    gb_seconds: float
    took_ms: Mapping[str, float]


def empty(asked: Asked, costs: Costs) -> dict[str, Any]:
    """Returns the answer of a collection that was never built: nothing to find yet, and nothing failed."""
    counted = [facets.merged(facet, [] if facet.bins else None, []) for facet in asked.facets]
    body = _body({"requested": 0, "searched": 0, "failed": []}, dict.fromkeys(_SUMMED, 0), costs)
    return body | _facets(asked, counted)


def compose(
    asked: Asked, plan: Plan, told: Mapping[int, Told], version: str, costs: Costs
) -> dict[str, Any] | ShardlakeError:
    """Returns the answer of one search of a request, or the error that it is answered with.

    Args:
        asked: the search.
        plan: what was asked of which shards.
        told: what each of them said, by shard_id.
        version: that was searched.
        costs: of the whole request.

    An error of the caller's own making (an answer too large) is the caller's, however many shards found it.
    """
    failures = {shard: answer for shard, answer in told.items() if isinstance(answer, ShardlakeError)}
    answers = [answer for answer in told.values() if not isinstance(answer, ShardlakeError)]
    for error in failures.values():
        if error.http_status < 500 and not error.retryable and error.kind in _CALLERS:
            return error
    failed = [failure(shard, error) for shard, error in sorted(failures.items())]
    if failed and (not answers or asked.request.require_complete):
        what = "not every shard answered, and require_complete is set" if answers else "no shard answered"
        return Unavailable(what, kind=ErrorKind.NO_SHARD_ANSWERED, failed=failed, requested=len(told))
    try:
        counted = _counted(asked, plan, answers)
    except ShardlakeError as error:
        return error
    hits = merged(asked, answers)
    _hold_laws(asked, hits, told, failed)
    stats = {name: sum(answer["stats"][name] for answer in answers) for name in _SUMMED}
    counts = {"requested": len(told), "searched": len(answers), "failed": failed}
    body = _body(counts, stats, costs) | _facets(asked, counted)
    if asked.request.explain:
        body["plan"] = _explained(asked, plan, told)
    shown = [_hit(asked, hit) for hit in hits]
    return body | {"hits": shown, "version": version, "cursor": _cursor(asked, plan, hits, version)}


def _body(counts: dict[str, Any], stats: dict[str, int], costs: Costs) -> dict[str, Any]:
    return {
        "hits": [],
        "partial": bool(counts["failed"]),
        "stale": False,
        "version": None,
        "cursor": None,
        "facets": {},
        "shards": counts,
        "stats": {
            **stats,
            "invocations": costs.invocations,
            "cold_starts": costs.cold_starts,
            "gb_seconds": round(costs.gb_seconds, 6),
            "took_ms": {name: round(value, 2) for name, value in costs.took_ms.items()},
        },
        "plan": None,
    }


def _counted(asked: Asked, plan: Plan, answers: Sequence[Answer]) -> list[tuple[Any, dict[str, Any] | None]]:
    return [
        facets.merged(facet, bounds, [part for answer in answers for part in answer["facets"][number : number + 1]])
        for number, (facet, bounds) in enumerate(zip(asked.facets, plan.bounds, strict=True))
    ]


def _facets(asked: Asked, counted: Sequence[tuple[Any, dict[str, Any] | None]]) -> dict[str, Any]:
    pairs = list(zip(asked.facets, counted, strict=True))
    stats = {facet.attribute: stats for facet, (_, stats) in pairs if stats is not None}
    shown = {"facets": {facet.attribute: counts for facet, (counts, _) in pairs}}
    return shown | ({"facet_stats": stats} if stats else {})


def _cursor(asked: Asked, plan: Plan, hits: Sequence[Found], version: str) -> str | None:
    if not asked.is_paged or len(hits) < asked.request.k:
        return None
    shown = (asked.cursor.shown if asked.cursor else 0) + len(hits)
    last = hits[-1]
    # What the cursor before kept stood just before this page: it is as near as that cursor's score.
    before = [(asked.cursor.score, name) for name in reversed(asked.cursor.near)] if asked.cursor else []
    near = () if plan.is_exact else nearly_last([*before, *((hit.score, hit.id) for hit in hits)])
    return encode(
        Cursor(
            version=version,
            digest=asked.digest,
            score=last.score,
            id=last.id,
            shown=shown,
            now_s=asked.now_s,
            exact=plan.exact,
            near=near,
        )
    )


def _hit(asked: Asked, found: Found) -> dict[str, Any]:
    include = asked.request.include
    hit: dict[str, Any] = {"id": found.id, "score": _shown(found.score) if asked.is_scored else None}
    if asked.group_by is not None:
        hit["group"] = found.group
    if asked.sources and "scores" in include:
        hit["scores"] = _scores(asked, found)
    if "attributes" in include and found.payload is not None:
        hit["attributes"] = found.payload["attributes"]
        if "media" in found.payload:
            hit["media"] = found.payload["media"]
    if asked.includes and found.vectors:
        named = {space: vector for space, vector in found.vectors.items() if space in asked.includes}
        hit["vectors"] = {space: decode_vector(vector).tolist() for space, vector in named.items()}
    return hit


def _scores(asked: Asked, found: Found) -> dict[str, float]:
    # A leaf with one source and no expression over its score says it once.
    scores = found.scores or [found.score]
    pairs = zip(asked.sources, scores, strict=False)
    return {name: _shown(score) for name, score in pairs if score is not None}


def _shown(score: float) -> float:
    # Significant digits, not decimals: scores of small vectors would all be 0. Adding 0 makes minus zero zero.
    return float(f"{score:.{SCORE_DIGITS}g}") + 0.0


def failure(shard: int, error: ShardlakeError) -> dict[str, Any]:
    """Returns what the contract says of a failed shard."""
    return {"shard": shard_name(shard), "kind": str(error.kind), "retryable": error.retryable}


def _explained(asked: Asked, plan: Plan, told: Mapping[int, Told]) -> dict[str, Any]:
    passing = {
        shard: (answer["stats"]["rows_passing"], plan.rows[shard])
        for shard, answer in told.items()
        if shard >= 0 and not isinstance(answer, ShardlakeError)  # deltas have no lists to choose from
    }
    # Without a filter nothing passes or fails it, though depth be chosen for what is left of expired shards.
    scan = plan.sources[0].scan if plan.sources and asked.filter is not None else None
    bands = bands_by_shard(scan, passing)
    return plan.explain() | {"strategies": _strategies(told), "bands_by_shard": bands}


def _strategies(told: Mapping[int, Told]) -> dict[str, str]:
    return {shard_name(s): "failed" if isinstance(a, ShardlakeError) else a["strategy"] for s, a in told.items()}


def _hold_laws(asked: Asked, hits: Sequence[Found], told: Mapping[int, Any], failed: Sequence[Any]) -> None:
    grouped = asked.group_by
    broken = laws.broken(
        requested=len(told),
        searched=len(told) - len(failed),
        failed=len(failed),
        partial=bool(failed),
        hits=[(hit.id, hit.score) for hit in hits],
        k=asked.request.k,
        by_id=not asked.is_scored,
        is_free=asked.diversity_space is not None,
        groups=None if grouped is None else [hit.group for hit in hits],
        size=1 if grouped is None else grouped.size,
    )
    if broken:
        raise InternalError("an answer breaks a law of search", kind=ErrorKind.INVARIANT_BROKEN, laws=broken)
