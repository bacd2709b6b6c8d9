"""What the router says to shard_search and hears back: a request of one shard, or of many small ones, its searches.

The leaf is told everything it needs, byte offsets included, and asks no catalog. Failures of single searches are data.
How these travel is `shard_wire`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from shardlake.errors import ShardlakeError
from shardlake.types import Depth, Float32Array, Json

Fusion = Literal["mean", "weighted", "max", "rrf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRef:
    """Where a shard lies: what the shard map says of it.

    Attributes:
        sequence: the position of the log up to which the shard holds it: what was ingested later may hide rows of it.
    """

    shard_id: int
    key: str
    bytes: int
    tail_offset: int
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrites:
    """Where the ids lie that a pending segment overwrites: in every shard of a smaller sequence they are hidden."""

    key: str
    bytes: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When rows are expired: those whose value of a datetime attribute is at or before a moment.

    Attributes:
        moment_us: microseconds since 1970-01-01 UTC.
        shards: the ids of those in which any row may be expired; in the others none is.
    """

    attribute: str
    moment_us: int
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSource:
    """One space, to be searched by one vector.

    Attributes:
        query: (dimension,) float32, prepared for the metric.
        lists: the lists to probe, numbered within the shard, nearest first; None when the shard shall choose.
        extents: where each of `lists` lies: offset, bytes, xxh3-64; None where the caller does not know.
        nprobe: how many lists an unfiltered search of all shards probes.
        candidates: how many rows the scan hands to the refinement.
        exact: score every row that passes, from full-precision vectors.
        widening: how deep a search must go under filters to keep the promised recall, thinner filters first.
        weight: in the fusion with other sources.
        depth: rows that the lists probed must hold, where that is more than k: those of the pages before count too.
    """

    space: str
    query: Float32Array
    lists: tuple[int, ...] | None = None
    extents: tuple[tuple[int, int, int], ...] | None = None
    nprobe: int = 1
    candidates: int = 100
    exact: bool = False
    widening: tuple[Depth, ...] = ()
    weight: float = 1.0
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchClause:
    """What of `match` is looked for in one text attribute, analysed.

    Attributes:
        terms: distinct, those of the phrases too.
        phrases: terms that must follow one another.
        docs: texts of the collection with at least one word. mean_length: their words, on average.
        df: by term, how many of the texts have it: of the whole collection, so that scores do not depend on sharding.
    """

    attribute: str
    terms: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    docs: int
    mean_length: float
    df: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSource:
    """A whole `match`. No row can score more than `bound`, which is positive; without clauses nothing matches."""

    clauses: tuple[MatchClause, ...]
    weight: float = 1.0
    bound: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafSearch:
    """One search of one shard.

    Without vectors and match it finds what passes the filter, by id; with `ids` it looks those items up.

    Attributes:
        vectors: spaces to search; several are fused.
        match: full text; alone, or fused with the vectors.
        fusion: how the sources' scores become one. For `rrf` the router ranks: each source's own k best come back.
        filter: in wire form (`shardlake.query.filter`).
        after: (score, id) of the last hit of the page before: only hits behind it are wanted. By id, the score is 0.
        rank: an expression in wire form (`shardlake.query.rank`) that replaces the score.
        group_by: attribute, and how many hits of each of its values; k counts groups then.
        facets: what to count over all that match, in wire form (`shardlake.query.facets`).
        attributes: whether hits carry their stored item.
        include_vectors: the spaces whose vectors hits carry.
    """

    vectors: tuple[VectorSource, ...] = ()
    match: MatchSource | None = None
    fusion: Fusion = "mean"
    k: int = 10
    filter: list[Any] | None = None
    after: tuple[float, str] | None = None
    rank: list[Any] | None = None
    group_by: tuple[str, int] | None = None
    facets: tuple[list[Any], ...] = ()
    attributes: bool = True
    include_vectors: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """How much of a shard shall be read before anybody searches it: at most so many bytes in so much time."""

    budget_ms: float
    budget_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRequest:
    """All searches of all its shards, under one deadline; or the warm-up of one shard, which nobody waits for.

    Attributes:
        shards: one, or many small ones; each is asked every search.
        overwrites: of the pending segments, ascending by sequence.
        expiry: None where no row of the shards can be expired.
    """

    shards: tuple[ShardRef, ...]
    searches: tuple[LeafSearch, ...]
    timeout_ms: float
    warm: WarmUp | None = None
    overwrites: tuple[Overwrites, ...] = ()
    expiry: Expiry | None = None


@dataclass(slots=True, kw_only=True)
class LeafStats:
    """Counters of one search of one shard. Merge rule: sum.

    `rows_saved` were not scored, since fusion was certain without them; `object_reads` and `bytes_read` went to the
    store, `cache_reads` and `cache_bytes` to the container's own disk.
    """

    lists_probed: int = 0
    codes_scanned: int = 0
    rows_refined: int = 0
    rows_passing: int = 0
    rows_saved: int = 0
    object_reads: int = 0
    bytes_read: int = 0
    cache_reads: int = 0
    cache_bytes: int = 0


class LeafHit(NamedTuple):
    """One hit; a tuple, since a search makes many.

    `payload` is the stored item's JSON, unparsed; empty when attributes were not asked for. `scores` are those of the
    sources, vectors first, then match; None where the item has nothing there; empty when there is but one source.
    """

    id: str
    score: float
    payload: bytes = b""
    vectors: dict[str, Float32Array] | None = None
    scores: tuple[float | None, ...] = ()
    group: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafAnswer:
    """The best hits of one search in one shard, best first, ties by id; or why there are none.

    `facets` are partial counts, one for each that was asked (`shardlake.query.facets` merges them).
    """

    hits: tuple[LeafHit, ...] = ()
    facets: tuple[Any, ...] = ()
    stats: LeafStats = field(default_factory=LeafStats)
    strategy: str = ""
    error: ShardlakeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a container holds of a shard after a warm-up.

    Attributes:
        lists: of all spaces, loaded in memory. of_lists: that there are.
        bytes_read: that the warm-up read from the store. complete: whether nothing is left that it would read.
    """

    lists: int
    of_lists: int
    bytes_read: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafReply:
    """The answers to a LeafRequest.

    Attributes:
        answers: to the searches in order, of the first shard, then of the second, and so on. Of several shards the hits
            of a search that are not among its k best of them all are left out, where score or id alone decides.
        cold_start: whether it is the container's first answer.
        opened: the ids of the shards that are open now and were not before.
        held: after a warm-up.
    """

    answers: tuple[LeafAnswer, ...]
    cold_start: bool = False
    opened: tuple[int, ...] = ()
    held: Held | None = None
    took_ms: float = 0.0
    gb_seconds: float = 0.0
