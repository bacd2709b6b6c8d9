"""What the API answers, as models: for the OpenAPI document, and for the tests that hold real answers against it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(_Answer):
    """What went wrong: `kind` is stable, `message` is for a person."""

    kind: str
    message: str
    details: dict[str, Any]


class ErrorAnswer(_Answer):
    """Every answer that is not a success."""

    error: ErrorDetail


class Pending(_Answer):
    """What has been taken in since the current version was built."""

    segments: int
    items: int


class CollectionAnswer(_Answer):
    """A collection and its state. `version` is null before the first build; `rows` are those of the version."""

    name: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    rows: int
    version: str | None
    shards: int
    bytes: int
    pending: Pending
    rejected: int
    created_at: str


class CollectionSummary(_Answer):
    """A collection in the list of all."""

    name: str
    rows: int
    version: str | None


class CollectionsAnswer(_Answer):
    """All collections by name."""

    collections: list[CollectionSummary]


class DroppedAnswer(_Answer):
    """The name is free; objects are collected later."""

    name: str
    state: Literal["dropped"]


class AcceptedAnswer(_Answer):
    """What was sent is accepted; `searchable` says whether every search that begins sees it, or will within seconds.

    Attributes:
        batch_id: None where there was nothing to do.
        rejected: of what was accepted, items that could not be taken in after all: a picture that is none.
    """

    batch_id: str | None
    accepted: int
    searchable: Literal["soon", "now"]
    message: str
    rejected: int = 0


class BuildAnswer(_Answer):
    """A build: queued, running, done or failed, with `progress` in [0, 1]."""

    build_id: str
    state: Literal["queued", "running", "done", "failed"]
    version: str | None
    progress: Annotated[float, Field(ge=0, le=1)]
    stage: str
    error: dict[str, Any] | None
    created_at: str
    updated_at: str


class ItemAnswer(_Answer):
    """One item as stored; what was not given is absent."""

    id: str
    attributes: dict[str, Any]
    media: dict[str, Any] = {}
    vectors: dict[str, list[float]] = {}


class ItemsAnswer(_Answer):
    """Items in the order of their ids, without vectors, and the id to go on after; null behind the last."""

    items: list[ItemAnswer]
    after: str | None


class HolderAnswer(_Answer):
    """An object that has something of an item.

    Attributes:
        object: its key.
        holds: the item, or its id only (of a deletion, or of an item that was purged); unknown where the object cannot
            be looked into.
        kept_by: the log of segments, the current version, an alias, the history of versions (the newest, and those that
            were superseded not long ago), a build at work; grace: nothing, it goes after `until`.
    """

    object: str
    holds: Literal["item", "id", "unknown"]
    kept_by: Literal["log", "current", "alias", "history", "build", "grace"]
    until: str | None


class ErasureAnswer(_Answer):
    """What was done: segments replaced by one without the item, versions forgotten, objects removed.

    Attributes:
        objects: keys of those that had the item; what all keys of a version begin with that may have had it.
        into: the segment that took their place.
        versions: that may have had the item, and can be gone back to no more.
        record: the object in which it is written down.
    """

    what: Literal["replaced", "forgotten", "removed"]
    at: str
    objects: list[str]
    into: str | None
    versions: list[str]
    record: str


class PastAnswer(_Answer):
    """What was done, by time.

    Attributes:
        since: the time of the oldest record that was read, where there are older ones.
        unreadable: records that could not be read.
    """

    steps: list[ErasureAnswer]
    since: str | None
    unreadable: int


class BesideAnswer(_Answer):
    """What is not looked into.

    Attributes:
        batches: files of requests in the inbox, of which any may have the item's lines; they are removed 15 days after
            they were taken in. oldest: when the oldest of them was written.
        dropped: collections that had the name before, and of which not everything has been removed yet.
    """

    batches: int
    oldest: str | None
    dropped: int


class TraceAnswer(_Answer):
    """One page of where an item lies, in the order of keys.

    Attributes:
        next: `after` of the next page; null on the last.
        past, beside: on the first page; null on others.
    """

    id: str
    holders: list[HolderAnswer]
    looked_through: int
    next: str | None
    past: PastAnswer | None
    beside: BesideAnswer | None


class AliasAnswer(_Answer):
    """A name of a version."""

    alias: str
    version: str
    changed_at: str


class AliasesAnswer(_Answer):
    """Every alias, by name."""

    aliases: list[AliasAnswer]


class VersionAnswer(_Answer):
    """One committed version. `started_by`: who asked for its build, a request or what keeps collections in shape."""

    version: str
    rows: int
    shards: int
    bytes: int
    committed_at: str
    build_id: str
    started_by: Literal["request", "upkeep"]
    aliases: list[str]


class VersionsAnswer(_Answer):
    """The history, newest first, and which version is current."""

    current: str | None
    versions: list[VersionAnswer]


class UploadPlace(_Answer):
    """Where to PUT one file."""

    name: str
    key: str
    url: str


class UploadsAnswer(_Answer):
    """One place a file, in the order asked."""

    uploads: list[UploadPlace]


class ReceiptAnswer(_Answer):
    """What became of one file; it is about your upload when `etag` is the one that your PUT was answered with."""

    etag: str
    state: Literal["done", "failed"]
    accepted: int
    rejected: int
    error: str | None


class ReceiptsAnswer(_Answer):
    """Receipts by key, for those files that have one."""

    receipts: dict[str, ReceiptAnswer]


class EncodeAnswerBody(_Answer):
    """Unit vectors in the order of the inputs."""

    vectors: list[list[float]]
    dimension: int
    model: dict[str, str]


class HealthAnswer(_Answer):
    """The API answers. `format_version` is the newest that it writes."""

    status: Literal["ok"]
    code_version: str
    format_version: int


class Hit(_Answer):
    """One hit; `score` is higher for nearer, whatever the metric; `group` is there where hits are grouped."""

    id: str
    score: float | None = None
    group: str | int | bool | None = None
    scores: dict[str, float] | None = None
    attributes: dict[str, Any] | None = None
    vectors: dict[str, list[float]] | None = None


class ShardFailure(_Answer):
    """A shard that did not answer, and whether trying again may help."""

    shard: int | str
    kind: str
    retryable: bool


class ShardCounts(_Answer):
    """Law: requested == searched + len(failed)."""

    requested: int
    searched: int
    failed: list[ShardFailure]


class FacetBin(_Answer):
    """One bin of a histogram: values from `from` to below `to`, the last bin with both; moments for a datetime."""

    from_: Annotated[float | str, Field(alias="from")]
    to: float | str
    count: int


class FacetStats(_Answer):
    """What an attribute's values are among the items that pass; null where there is none."""

    count: int
    min: float | str | None
    max: float | str | None
    avg: float | str | None


class SearchAnswer(BaseModel):
    """The hits, best first; `partial` says that a shard failed; `cursor` is there where more may follow."""

    hits: list[Hit]
    partial: bool
    stale: bool
    version: str | None
    cursor: str | None
    facets: dict[str, dict[str, int] | list[FacetBin]]
    facet_stats: dict[str, FacetStats] | None = None
    shards: ShardCounts
    stats: dict[str, Any]


class BatchAnswer(BaseModel):
    """One entry a search, in order: an answer or an error."""

    results: list[dict[str, Any]]
