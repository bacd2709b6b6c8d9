"""The API's answers as typed values. The JSON they came from stays beside them, in `raw`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from shardlake.client.failures import error_in, malformed
from shardlake.errors import ShardlakeError

if TYPE_CHECKING:
    from shardlake.types import Json

T = TypeVar("T")
Raw = Mapping[str, "Json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One item found. `score` is higher for better, whatever the metric; None where nothing was ranked or asked for.

    `group` is its value of what hits are grouped by; None too where the item has none.
    """

    id: str
    score: float | None
    scores: Mapping[str, float]
    attributes: Mapping[str, Json]
    vectors: Mapping[str, Any] | None = None
    group: str | int | bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedShard:
    """A shard that did not answer, and why."""

    shard: int | str
    kind: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """Who was asked. Always: requested == searched + len(failed)."""

    requested: int
    searched: int
    failed: tuple[FailedShard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a search cost. `took_ms` has the milliseconds of each phase and `total`."""

    lists_probed: int = 0
    codes_scanned: int = 0
    rows_refined: int = 0
    rows_passing: int = 0
    rows_saved: int = 0
    object_reads: int = 0
    bytes_read: int = 0
    invocations: int = 0
    cold_starts: int = 0
    gb_seconds: float = 0.0
    took_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """The hits of one search, best first; iterate over it, or index it.

    Attributes:
        partial: some shard did not answer; `shards.failed` says which and why.
        version: of the collection; the whole search saw exactly this one.
        cursor: for the page after this one, with the same search; None where there is none.
        facets: by attribute: {value: count}, or bins [{"from", "to", "count"}].
        facet_stats: by attribute: count, min, max and avg, where they were asked for.
    """

    hits: tuple[Hit, ...]
    partial: bool
    stale: bool
    version: str | None
    shards: Shards
    stats: Stats
    cursor: str | None = None
    facets: Mapping[str, Json] = field(default_factory=dict)
    facet_stats: Mapping[str, Json] = field(default_factory=dict)
    plan: Mapping[str, Json] | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, rank: int) -> Hit:
        return self.hits[rank]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionInfo:
    """What is known of a collection. `version` is None before its first build."""

    name: str
    schema: Mapping[str, Json]
    rows: int
    version: str | None
    shards: int
    bytes: int
    pending_items: int
    rejected: int
    created: bool = False  # this very request created it
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What was accepted. `searchable`: "now", or "soon" where nobody waited for it.

    `batch_id` is None where there was nothing to do; `rejected`: items that could not be taken in after all.
    """

    batch_id: str | None
    accepted: int
    searchable: str
    message: str
    rejected: int = 0
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPage:
    """Items in the order of their ids. `after`: what to ask for the next page with; None behind the last."""

    items: list[dict[str, Any]]
    after: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build and how far it is: `state` is queued, running, done or failed; `progress` in [0, 1]."""

    build_id: str
    state: str
    progress: float = 0.0
    stage: str = ""
    version: str | None = None
    error: Mapping[str, Json] | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in {"done", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One committed version of a collection."""

    version: str
    rows: int = 0
    shards: int = 0
    bytes: int = 0
    committed_at: str = ""
    current: bool = False
    aliases: tuple[str, ...] = ()
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name of a version; `collection("films@live")` searches the version that has it."""

    alias: str
    version: str
    changed_at: str = ""
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where an item still lies, and what was done to remove it.

    Attributes:
        holders: objects that have something of it: {object, holds, kept_by, until}.
        looked_through: how many objects.
        past: what was done: {steps: [{what, at, objects, into, versions, record}], since, unreadable}.
        beside: what is not looked into: {batches, oldest, dropped}.
    """

    id: str
    holders: list[dict[str, Any]]
    looked_through: int
    past: dict[str, Any]
    beside: dict[str, Any]

    @property
    def is_gone(self) -> bool:
        """Whether no object of the collection has the item; what `beside` tells of is not looked into."""
        return not any(one["holds"] in {"item", "unknown"} for one in self.holders)

    @property
    def raw(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "is_gone": self.is_gone,
            "holders": self.holders,
            "looked_through": self.looked_through,
            "past": self.past,
            "beside": self.beside,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeAnswer:
    """Vectors, in the order of the inputs."""

    vectors: list[list[float]]
    dimension: int
    model: Mapping[str, Json]
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def parsed(raw: dict[str, Any], make: Callable[[dict[str, Any]], T], *, doing: str) -> T:
    """Returns `make(raw)`. Raises InternalError when the answer lacks what the contract promises."""
    try:
        return make(raw)
    except (KeyError, TypeError, AttributeError) as exc:
        raise malformed(doing) from exc


def to_search(raw: dict[str, Any]) -> SearchAnswer:
    """Reads one search's answer."""
    shards = raw["shards"]
    return SearchAnswer(
        hits=tuple(_to_hit(hit) for hit in raw["hits"]),
        partial=raw["partial"],
        stale=raw.get("stale", False),
        version=raw.get("version"),
        shards=Shards(
            requested=shards["requested"],
            searched=shards["searched"],
            failed=tuple(
                FailedShard(shard=one["shard"], kind=one["kind"], retryable=one["retryable"])
                for one in shards["failed"]
            ),
        ),
        stats=_only_known(Stats, raw.get("stats") or {}),
        cursor=raw.get("cursor"),
        facets=raw.get("facets") or {},
        facet_stats=raw.get("facet_stats") or {},
        plan=raw.get("plan"),
        raw=raw,
    )


def to_collection(raw: dict[str, Any], *, created: bool = False) -> CollectionInfo:
    """Reads a collection's description."""
    return CollectionInfo(
        name=raw["name"],
        schema=raw.get("schema") or {},
        rows=raw.get("rows") or 0,
        version=raw.get("version"),
        shards=raw.get("shards") or 0,
        bytes=raw.get("bytes") or 0,
        pending_items=(raw.get("pending") or {}).get("items", 0),
        rejected=raw.get("rejected") or 0,
        created=created,
        raw=raw,
    )


def to_accepted(raw: dict[str, Any]) -> Accepted:
    """Reads the answer to POST items and items:delete."""
    return Accepted(
        batch_id=raw["batch_id"],
        accepted=raw["accepted"],
        searchable=raw.get("searchable", ""),
        message=raw.get("message", ""),
        rejected=raw.get("rejected", 0),
        raw=raw,
    )


def to_item_page(raw: dict[str, Any]) -> ItemPage:
    """Reads a page of items."""
    return ItemPage(items=raw["items"], after=raw["after"], raw=raw)


def to_build(raw: dict[str, Any]) -> Build:
    """Reads a build."""
    return Build(
        build_id=raw["build_id"],
        state=raw["state"],
        progress=raw.get("progress") or 0.0,
        stage=raw.get("stage") or "",
        version=raw.get("version"),
        error=raw.get("error"),
        raw=raw,
    )


def to_versions(raw: dict[str, Any]) -> list[Version]:
    """Reads the history, newest first."""
    return [_to_version(one, current=raw.get("current") == one["version"]) for one in raw["versions"]]


def to_alias(raw: dict[str, Any]) -> Alias:
    """Reads an alias."""
    return Alias(alias=raw["alias"], version=raw["version"], changed_at=raw.get("changed_at", ""), raw=raw)


def to_aliases(raw: dict[str, Any]) -> list[Alias]:
    """Reads all aliases, by name."""
    return [to_alias(one) for one in raw["aliases"]]


def to_trace(pages: Sequence[dict[str, Any]]) -> Trace:
    """Reads the pages of a trace."""
    first = pages[0]
    return Trace(
        id=first["id"],
        holders=[one for page in pages for one in page["holders"]],
        looked_through=sum(page["looked_through"] for page in pages),
        past=first["past"],
        beside=first["beside"],
    )


def to_current_version(raw: dict[str, Any]) -> Version:
    """Reads the version that has become current."""
    return _to_version(raw, current=True)


def to_batch(raw: dict[str, Any]) -> list[SearchAnswer | ShardlakeError]:
    """Reads the answers of a batch: one that failed is an error, not raised."""
    return [error_in(one) if "error" in one else to_search(one) for one in raw["results"]]


def _to_version(raw: dict[str, Any], *, current: bool) -> Version:
    return Version(
        version=raw["version"],
        rows=raw.get("rows", 0),
        shards=raw.get("shards", 0),
        bytes=raw.get("bytes", 0),
        committed_at=raw.get("committed_at", ""),
        current=current,
        aliases=tuple(raw.get("aliases") or ()),
        raw=raw,
    )


def to_encode(raw: dict[str, Any]) -> EncodeAnswer:
    """Reads vectors."""
    return EncodeAnswer(vectors=raw["vectors"], dimension=raw["dimension"], model=raw["model"], raw=raw)


def _to_hit(raw: dict[str, Any]) -> Hit:
    return Hit(
        id=raw["id"],
        score=raw.get("score"),
        scores=raw.get("scores") or {},
        attributes=raw.get("attributes") or {},
        vectors=raw.get("vectors"),
        group=raw.get("group"),
    )


def _only_known(make: type[T], raw: dict[str, Any]) -> T:
    # A newer server may say more than this release knows; what it says stays in `raw`.
    names = make.__dataclass_fields__  # type: ignore[attr-defined]  # called with dataclasses only
    return make(**{name: value for name, value in raw.items() if name in names})
