"""Values that cross rooms: frozen, keyword-only, no behaviour beyond themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, NotRequired, Protocol, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
Int64Array: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
ByteArray: TypeAlias = npt.NDArray[np.uint8]

Sharding: TypeAlias = Literal["cluster", "hash", "attribute"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Depth(NamedTuple):
    """How deep a search goes under a filter that lets at least `selectivity` of the rows through.

    Attributes:
        lists: of those in which something passes, that many are probed; of hash buckets, opened.
        missed: where it is not 0, lists are probed until this share of their weight is left, however many that are.
        softness: of that weight (`core.covering`).
    """

    selectivity: float
    lists: int
    missed: float = 0.0
    softness: float = 0.0


class Metric(StrEnum):
    """How two vectors are compared. The score is higher for nearer, whatever the metric."""

    COSINE = "cosine"  # score = cosine, in [-1, 1]; vectors are stored normalised
    DOT = "dot"  # score = inner product
    L2 = "l2"  # score = minus the Euclidean distance


class IndexType(StrEnum):
    """The contract's index types."""

    IVF_PQ = "ivf_pq"
    IVF_RABITQ = "ivf_rabitq"
    IVF_FLAT = "ivf_flat"
    FLAT = "flat"
    BINARY_MIH = "binary_mih"


class Transform(StrEnum):
    """What happens to vectors before they become codes. Refine rows and exact vectors stay as they are."""

    NONE = "none"
    PCA = "pca"  # the directions of largest variance, fewer of them
    OPQ = "opq"  # a rotation under which codes lose least


class AttributeType(StrEnum):
    """The contract's attribute types."""

    KEYWORD = "keyword"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    GEO = "geo"
    TEXT = "text"


NO_LANGUAGE = "none"
DEFAULT_LANGUAGE = "english"
LANGUAGES = (
    NO_LANGUAGE, "arabic", "armenian", "basque", "catalan", "czech", "danish", "dutch", "english", "esperanto",
    "estonian", "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian",
    "lithuanian", "nepali", "norwegian", "persian", "polish", "portuguese", "romanian", "russian", "serbian", "sesotho",
    "spanish", "swedish", "tamil", "turkish", "yiddish",
)  # fmt: skip
"""What a text attribute's words are stemmed by: the languages that Snowball 3.1 has, and none."""


class Modality(StrEnum):
    """What an encoder can read."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """How one space is indexed.

    Attributes:
        bits: ivf_rabitq: of one dimension's code; binary_mih: of one item's code. None where the type has none.
        transform: of ivf_pq; None lets the build decide by what it measures on its sample.
        dimension: of the codes of a pca; None lets the build decide.
    """

    type: IndexType = IndexType.IVF_PQ
    bits: int | None = None
    transform: Transform | None = None
    dimension: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSpec:
    """One vector space of a collection. `encoder` is None when the user brings vectors.

    `source` names the space that this one is computed from (`from` in the contract): dimension, metric and encoder are
    that one's, items bring no vectors for it, and what its searches find is scored by the source's vectors.
    """

    name: str
    dimension: int
    metric: Metric = Metric.COSINE
    encoder: str | None = None
    index: IndexSpec = field(default_factory=IndexSpec)
    source: str | None = None

    @property
    def is_hashed(self) -> bool:
        """Whether searches probe hash buckets, which shards choose themselves: there is no routing file of them."""
        return self.index.type is IndexType.BINARY_MIH


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSpec:
    """One declared attribute. `language` says how a text is analysed for `match`; other types have no use for it."""

    name: str
    type: AttributeType
    multi: bool = False
    language: str = DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """The declared shape of a collection. The first space is the primary one: it numbers the rows of a shard.

    Attributes:
        sharding: what decides the shard of an item: its nearest list in the primary space, its id, or its value of
            `sharding_attribute`.
        ttl: the datetime attribute that says when an item expires; None where items never do.
    """

    spaces: tuple[SpaceSpec, ...]
    attributes: tuple[AttributeSpec, ...]
    sharding: Sharding = "cluster"
    sharding_attribute: str | None = None
    target_rows: int = 1_000_000
    ttl: str | None = None

    @property
    def stored_spaces(self) -> tuple[SpaceSpec, ...]:
        """The spaces that items have vectors in: all but those computed from another."""
        return tuple(space for space in self.spaces if space.source is None)

    def space(self, name: str) -> SpaceSpec | None:
        """Returns the space of that name, or None."""
        return next((space for space in self.spaces if space.name == name), None)

    def attribute(self, name: str) -> AttributeSpec | None:
        """Returns the attribute of that name, or None."""
        return next((spec for spec in self.attributes if spec.name == name), None)


class Summary(TypedDict):
    """What a shard row says of one attribute, as JSON.

    Attributes:
        present: rows with a value. missing: rows without one.
        values: all distinct values of a keyword, ascending, where they are few.
        area: [south, west, north, east] around all places of a geo attribute; west > east crosses the date line.
        quantiles: of a datetime with many values those that cut them into equal parts, ascending.
    """

    present: int
    missing: int
    values: NotRequired[list[str]]
    area: NotRequired[list[float]]
    quantiles: NotRequired[list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInput:
    """One thing to encode. `data` is str for text, else the encoded file's bytes."""

    modality: Modality
    data: str | bytes


class LambdaContext(Protocol):
    """What of Lambda's context object handlers use."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Returns the milliseconds until Lambda ends the invocation."""
