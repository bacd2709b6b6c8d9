"""From a request body to what is asked: checked against the schema, everything parsed, spaces chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.router.spaces import MATCH, SpaceAsked, match_weight, spaces_asked, vectors_of
from shardlake import limits
from shardlake.contracts.common import validated
from shardlake.contracts.encode import EncoderInfo
from shardlake.contracts.media import media_wire
from shardlake.contracts.search import SearchRequest, refuse_unserved
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query import cursor as cursors
from shardlake.query import facets, groups, match, rank
from shardlake.query.cursor import Cursor
from shardlake.query.facets import Facet
from shardlake.query.filter import Node, parse
from shardlake.query.groups import GroupBy
from shardlake.query.match import ParsedClause
from shardlake.query.rank import Expression
from shardlake.types import CollectionSchema

POOL = 4  # candidates for each hit wanted, from which diversity chooses
MIN_POOL = 40
RRF_WINDOW = 100  # places of each source from which ranks are fused, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One search, understood.

    Attributes:
        spaces: what is searched by vectors; none for a search by filter or full text alone.
        media: encode inputs by modality, still to be encoded.
        match: full text, or None. No clause at all matches nothing.
        match_weight: of full text, among the sources.
        filter, rank: in wire form, or None.
        cursor: where the page before ended, or None.
        digest: of the search, for the next cursor.
        now_s: what `now()` is: of this moment, or of the first page.
        includes: the spaces whose vectors are answered.
        diversity_space: whose vectors tell hits apart, or None.
    """

    request: SearchRequest
    spaces: tuple[SpaceAsked, ...]
    media: Mapping[str, dict[str, Any]]
    match: tuple[ParsedClause, ...] | None
    match_weight: float
    filter: Node | None
    rank: Expression | None
    group_by: GroupBy | None
    facets: tuple[Facet, ...]
    cursor: Cursor | None
    digest: str
    now_s: float
    includes: tuple[str, ...]
    diversity_space: str | None

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of what is searched, in the order in which leaves answer scores."""
        return (*(one.space.name for one in self.spaces), *(() if self.match is None else (MATCH,)))

    @property
    def is_scored(self) -> bool:
        """Whether hits have a score, rather than coming by id."""
        return bool(self.sources) or self.rank is not None

    @property
    def fuses_ranks(self) -> bool:
        """Whether the router ranks the hits of each source and fuses the ranks; of one source there is nothing to."""
        return self.request.fusion == "rrf" and len(self.sources) > 1

    @property
    def is_paged(self) -> bool:
        """Whether a cursor is given: where hits have one order, of which a page is a part."""
        return self.group_by is None and self.diversity_space is None and not self.fuses_ranks

    @property
    def examples(self) -> frozenset[str]:
        """The items that `like` and `unlike` name."""
        query = self.request.query
        return frozenset((*(query.like or ()), *(query.unlike or ()))) if query else frozenset()

    @property
    def excluded(self) -> frozenset[str]:
        """The items that are no hits: examples, and what the page before may have shown already."""
        return self.examples | frozenset(self.cursor.near if self.cursor else ())

    @property
    def wanted(self) -> int:
        """How many hits, or groups, each shard is asked for."""
        k = self.request.k
        if self.diversity_space is not None:
            k = max(k, min(limits.MAX_K, max(POOL * k, MIN_POOL)))
        if self.fuses_ranks:
            k = max(k, RRF_WINDOW)
        return k + len(self.excluded)

    @property
    def depth(self) -> int:
        """How many of the best hits must be found: those of the pages before too."""
        shown = self.cursor.shown if self.cursor else 0
        size = self.group_by.size if self.group_by else 1
        return shown + self.wanted * size


def parse_search(
    body: Mapping[str, Any],
    schema: CollectionSchema,
    encoders: Mapping[str, EncoderInfo],
    *,
    inbox: str,
    uid: str,
    now_s: float,
) -> Asked:
    """Returns what a search asks.

    Args:
        body: of the request.
        schema: of the collection.
        encoders: needed only where several spaces could answer; may be empty otherwise.
        inbox: the only place pictures are read from.
        uid: of the collection.
        now_s: seconds since 1970.

    Raises:
        InvalidInput: with the kind and the place. NotImplementedYet: a field that is not served.
    """
    request = validated(SearchRequest, body)
    refuse_unserved(request)
    if not 1 <= request.k <= limits.MAX_K:
        raise InvalidInput(f"k must be from 1 to {limits.MAX_K}", kind=ErrorKind.K_OUT_OF_RANGE, k=request.k)
    query, has_match = request.query, request.match is not None
    clauses = match.parse(request.match, schema) if request.match is not None else None
    spaces = spaces_asked(query, schema, encoders, has_match=has_match) if query else ()
    grouped = request.group_by
    digest = cursors.request_digest(uid, request.model_dump(exclude_none=True))
    cursor = cursors.decode(request.cursor, digest) if request.cursor is not None else None
    moment = cursor.now_s if cursor else now_s
    asked = Asked(
        request=request,
        spaces=spaces,
        media={k.value: media_wire(query, k, inbox=inbox) for k in query.kinds()} if query else {},
        match=clauses,
        match_weight=match_weight(query),
        filter=parse(request.filter, schema) if request.filter else None,
        rank=rank.parse(request.rank, schema, now_s=moment) if request.rank is not None else None,
        group_by=groups.parse(grouped.attribute, grouped.size, schema) if grouped else None,
        facets=facets.parse(request.facets, schema) if request.facets else (),
        cursor=cursor,
        digest=digest,
        now_s=moment,
        includes=_included(request, spaces, schema),
        diversity_space=_diversity_space(request, spaces, schema),
    )
    _check_together(asked)
    return asked


def _included(request: SearchRequest, spaces: tuple[SpaceAsked, ...], schema: CollectionSchema) -> tuple[str, ...]:
    if "vectors" not in request.include:
        return ()
    return tuple(space.name for space in ([one.space for one in spaces] or schema.stored_spaces))


def _diversity_space(request: SearchRequest, spaces: tuple[SpaceAsked, ...], schema: CollectionSchema) -> str | None:
    if not request.diversity:
        return None
    return vectors_of(spaces[0].space if spaces else schema.stored_spaces[0])


def _check_together(asked: Asked) -> None:
    """Raises InvalidInput for what has no meaning together."""
    request = asked.request
    if asked.diversity_space is not None and not asked.is_scored:
        raise InvalidInput("diversity needs a query, a match or a rank: by id nothing is nearer", at="diversity")
    if asked.diversity_space is not None and asked.group_by is not None:
        raise InvalidInput("diversity and group_by order hits each in its way: give one of them", at="diversity")
    if asked.fuses_ranks and (asked.rank is not None or asked.group_by is not None):
        field = "rank" if asked.rank is not None else "group_by"
        raise InvalidInput(
            f"fusion rrf has its score only when all shards have answered, so {field} cannot use it", at=field
        )
    if asked.group_by is not None and request.k * asked.group_by.size > limits.MAX_K:
        raise InvalidInput(
            f"k groups of group_by.size hits may be {limits.MAX_K} hits", kind=ErrorKind.K_OUT_OF_RANGE, k=request.k
        )
