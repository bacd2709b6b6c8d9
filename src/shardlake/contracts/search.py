"""The search request of the contract, as pydantic models: what a client may send, with bounds.

A field of the contract that this release does not serve is refused with 501, never ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from shardlake import limits
from shardlake.contracts.common import ATTRIBUTE_PATTERN, Name, StrictModel
from shardlake.contracts.encode import MediaModel
from shardlake.errors import NotImplementedYet

Number = int | float
Part = Literal["attributes", "scores", "vectors"]
ItemId = Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]
ItemIds = Annotated[list[ItemId], Field(min_length=1, max_length=limits.MAX_LIKE)]
Vectors = Annotated[
    dict[Name, Annotated[list[Number], Field(max_length=limits.MAX_DIMENSION)]], Field(max_length=limits.MAX_SPACES)
]
Weighted = Literal["text", "image", "audio", "video", "vector", "like", "match"]


class SearchQuery(MediaModel):
    """What is looked for. Several kinds of one space are fused: the mean of unit vectors, or by `weights`.

    Extensions of the contract: `spaces`, which spaces to search; `space_weights`, how much each counts in a fusion.
    """

    vector: Vectors | None = None
    like: ItemIds | None = None
    unlike: ItemIds | None = None
    weights: dict[Weighted, Number] | None = None
    spaces: Annotated[list[Name], Field(min_length=1, max_length=limits.MAX_SPACES)] | None = None
    space_weights: Annotated[dict[Name, Number], Field(max_length=limits.MAX_SPACES + 1)] | None = None


class GroupModel(StrictModel):
    """What hits are grouped by, and how many of each group are wanted; `k` counts groups then."""

    attribute: Annotated[str, Field(pattern=ATTRIBUTE_PATTERN)]
    size: Annotated[int, Field(ge=1, le=limits.MAX_GROUP_SIZE)] = 1


class SearchRequest(StrictModel):
    """The body of POST …/search. `diversity` is an extension of the contract: 0 orders by score, 1 by unlikeness."""

    query: SearchQuery | None = None
    fusion: Literal["mean", "weighted", "max", "rrf"] = "mean"
    match: dict[str, Any] | None = None
    filter: dict[str, Any] | None = None
    k: int = limits.DEFAULT_K
    cursor: Annotated[str, Field(max_length=limits.MAX_CURSOR_CHARS)] | None = None
    recall: Annotated[Number, Field(gt=0, le=1)] = limits.DEFAULT_RECALL
    nprobe: Annotated[int, Field(ge=1, le=limits.MAX_LISTS_PER_SHARD)] | None = None
    timeout_ms: Annotated[int, Field(ge=1, le=limits.MAX_TIMEOUT_MS)] = limits.DEFAULT_TIMEOUT_MS
    consistency: Literal["strong", "eventual"] = "strong"
    require_complete: bool = False
    rank: Annotated[str, Field(min_length=1, max_length=limits.MAX_RANK_CHARS)] | None = None
    group_by: GroupModel | None = None
    facets: Annotated[list[Any], Field(max_length=limits.MAX_FACETS)] | None = None
    diversity: Annotated[Number, Field(ge=0, le=1)] | None = None
    include: Annotated[tuple[Part, ...], Field(max_length=3, strict=False)] = ("attributes", "scores")
    explain: bool = False


class BatchRequest(StrictModel):
    """The body of POST …/search:batch. Each search is checked by itself: a bad one is named by index."""

    searches: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=limits.MAX_SEARCHES_PER_BATCH)]


def refuse_unserved(request: SearchRequest) -> None:
    """Raises NotImplementedYet naming the first field that the contract has and this release does not serve."""
    query = request.query
    unserved = {"query.audio": query.audio if query else None, "query.video": query.video if query else None}
    for field, value in unserved.items():
        if value is not None:
            raise NotImplementedYet(f"{field} is not served by this release", field=field)
