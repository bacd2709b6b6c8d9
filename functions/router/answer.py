"""From what the shards said to the contract's answer: merge, count, name the failed, hold the laws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.router.fanout import Told
from functions.router.plan import Plan
from functions.router.request import Asked
from shardlake.contracts.shard_wire import decode_vector
from shardlake.core.topk import Scored, merge_best, merge_by_id
from shardlake.errors import ErrorKind, InternalError, ShardlakeError, Unavailable
from shardlake.query import laws

SCORE_DIGITS = 7  # significant ones, of a float32

# The answer's counters that are sums over the shards' own.
_SUMMED = ("lists_probed", "codes_scanned", "rows_refined", "object_reads", "bytes_read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the whole request cost, shown with each of its answers."""

    invocations: int
    cold_starts: int
    gb_seconds: float
    took_ms: Mapping[str, float]


def empty(version: str | None, costs: Costs) -> dict[str, Any]:
    """Returns the answer of a collection that was never built: nothing to find yet, and nothing failed."""
    return _body([], version, {"requested": 0, "searched": 0, "failed": []}, dict.fromkeys(_SUMMED, 0), costs, None)


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
        if error.http_status < 500 and not error.retryable and error.kind is ErrorKind.ANSWER_TOO_LARGE:
            return error
    failed = [_failure(shard, error) for shard, error in sorted(failures.items())]
    if failed and (not answers or asked.request.require_complete):
        what = "not every shard answered, and require_complete is set" if answers else "no shard answered"
        return Unavailable(what, kind=ErrorKind.NO_SHARD_ANSWERED, failed=failed, requested=len(told))
    hits = _merged(asked, answers)
    _hold_laws(asked, hits, told, failed)
    stats = {name: sum(answer["stats"][name] for answer in answers) for name in _SUMMED}
    counts = {"requested": len(told), "searched": len(answers), "failed": failed}
    explained = plan.explain() | {"strategies": _strategies(told)} if asked.request.explain else None
    shown = [_hit(asked, entry) for entry in hits]
    return _body(shown, version, counts, stats, costs, explained)


def _body(  # noqa: PLR0917  # private: two callers
    hits: list[dict[str, Any]],
    version: str | None,
    counts: dict[str, Any],
    stats: dict[str, int],
    costs: Costs,
    plan: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "hits": hits,
        "partial": bool(counts["failed"]),
        "stale": False,
        "version": version,
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
        "plan": plan,
    }


def _merged(asked: Asked, answers: list[dict[str, Any]]) -> list[Scored[Any]]:
    parts = [[(hit[1], hit[0], hit) for hit in answer["hits"]] for answer in answers]
    return (merge_by_id if asked.space is None else merge_best)(parts, asked.request.k)


def _hit(asked: Asked, entry: Scored[Any]) -> dict[str, Any]:
    score, hit_id, (_, _, payload, vectors, _, _) = entry
    include = asked.request.include
    hit: dict[str, Any] = {"id": hit_id, "score": _shown(score) if asked.space else None}
    if asked.space is not None and "scores" in include:
        hit["scores"] = {asked.space.name: hit["score"]}
    if "attributes" in include and payload is not None:
        hit["attributes"] = payload["attributes"]
        if "media" in payload:
            hit["media"] = payload["media"]
    if "vectors" in include and vectors:
        hit["vectors"] = {space: decode_vector(vector).tolist() for space, vector in vectors.items()}
    return hit


def _shown(score: float) -> float:
    # Significant digits, not decimals: scores of small vectors would all be 0. Adding 0 makes minus zero zero.
    return float(f"{score:.{SCORE_DIGITS}g}") + 0.0


def _failure(shard: int, error: ShardlakeError) -> dict[str, Any]:
    return {"shard": f"{shard:05d}", "kind": str(error.kind), "retryable": error.retryable}


def _strategies(told: Mapping[int, Told]) -> dict[str, str]:
    return {f"{s:05d}": "failed" if isinstance(a, ShardlakeError) else a["strategy"] for s, a in told.items()}


def _hold_laws(asked: Asked, hits: list[Scored[Any]], told: Mapping[int, Any], failed: list[Any]) -> None:
    broken = laws.broken(
        requested=len(told),
        searched=len(told) - len(failed),
        failed=len(failed),
        partial=bool(failed),
        hits=[(hit_id, score) for score, hit_id, _ in hits],
        k=asked.request.k,
        by_id=asked.space is None,
    )
    if broken:
        raise InternalError("an answer breaks a law of search", kind=ErrorKind.INVARIANT_BROKEN, laws=broken)
