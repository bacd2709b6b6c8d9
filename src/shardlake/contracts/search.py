"""The search request of the contract, as pydantic models: what a client may send, with bounds.

A field of the contract that this release does not serve is refused with 501, never ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from shardlake import limits
from shardlake.contracts.common import Name, StrictModel
from shardlake.contracts.encode import MediaModel
from shardlake.errors import NotImplementedYet

Number = int | float
Part = Literal["attributes", "scores", "vectors"]


class SearchQuery(MediaModel):
    """What is looked for. Several kinds of one space are fused: the mean of unit vectors, or by `weights`.

    `spaces` is an extension of the contract: which space to search, where more than one could answer.
    """

    vector: (
        Annotated[dict[Name, Annotated[list[Number], Field(max_length=limits.MAX_DIMENSION)]], Field(max_length=1)]
        | None
    ) = None
    like: list[str] | None = None
    unlike: list[str] | None = None
    weights: dict[Literal["text", "image", "audio", "video", "vector"], Number] | None = None
    spaces: Annotated[list[Name], Field(min_length=1, max_length=limits.MAX_SPACES)] | None = None


class SearchRequest(StrictModel):
    """The body of POST …/search."""

    query: SearchQuery | None = None
    fusion: Literal["mean", "weighted", "max", "rrf"] = "mean"
    match: dict[str, Any] | None = None
    filter: dict[str, Any] | None = None
    k: int = limits.DEFAULT_K
    cursor: str | None = None
    recall: Annotated[Number, Field(gt=0, le=1)] = limits.DEFAULT_RECALL
    nprobe: Annotated[int, Field(ge=1, le=limits.MAX_LISTS_PER_SHARD)] | None = None
    timeout_ms: Annotated[int, Field(ge=1, le=limits.MAX_TIMEOUT_MS)] = limits.DEFAULT_TIMEOUT_MS
    consistency: Literal["strong", "eventual"] = "strong"
    require_complete: bool = False
    rank: str | None = None
    group_by: dict[str, Any] | None = None
    facets: list[Any] | None = None
    include: Annotated[tuple[Part, ...], Field(max_length=3, strict=False)] = ("attributes", "scores")
    explain: bool = False


class BatchRequest(StrictModel):
    """The body of POST …/search:batch. Each search is checked by itself: a bad one is named by index."""

    searches: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=limits.MAX_SEARCHES_PER_BATCH)]


def refuse_unserved(request: SearchRequest) -> None:
    """Raises NotImplementedYet naming the first field that the contract has and this release does not serve."""
    query = request.query
    unserved = {
        "match": request.match,
        "cursor": request.cursor,
        "rank": request.rank,
        "group_by": request.group_by,
        "facets": request.facets,
        "query.audio": query.audio if query else None,
        "query.video": query.video if query else None,
        "query.like": query.like if query else None,
        "query.unlike": query.unlike if query else None,
        "fusion": request.fusion if request.fusion in {"max", "rrf"} else None,
        "include vectors without a query": True if query is None and "vectors" in request.include else None,
    }
    for field, value in unserved.items():
        if value is not None:
            raise NotImplementedYet(f"{field} is not served by this release", field=field)
