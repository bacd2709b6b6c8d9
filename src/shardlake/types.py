"""Values that cross rooms: frozen, keyword-only, no behaviour beyond themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NotRequired, Protocol, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

Float32Array: TypeAlias = npt.NDArray[np.float32]
Int64Array: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
ByteArray: TypeAlias = npt.NDArray[np.uint8]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Metric(StrEnum):
    """How two vectors are compared. The score is higher for nearer, whatever the metric."""

    COSINE = "cosine"  # score = cosine, in [-1, 1]; vectors are stored normalised
    DOT = "dot"  # score = inner product
    L2 = "l2"  # score = minus the Euclidean distance


class IndexType(StrEnum):
    """The contract's index types. `flat` and `ivf_pq` are served by this release."""

    IVF_PQ = "ivf_pq"
    IVF_RABITQ = "ivf_rabitq"
    IVF_FLAT = "ivf_flat"
    FLAT = "flat"
    BINARY_MIH = "binary_mih"


class AttributeType(StrEnum):
    """The contract's attribute types."""

    KEYWORD = "keyword"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    GEO = "geo"
    TEXT = "text"


class Modality(StrEnum):
    """What an encoder can read."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """How one space is indexed."""

    type: IndexType = IndexType.IVF_PQ


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSpec:
    """One vector space of a collection. `encoder` is None when the user brings vectors."""

    name: str
    dimension: int
    metric: Metric = Metric.COSINE
    encoder: str | None = None
    index: IndexSpec = field(default_factory=IndexSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSpec:
    """One declared attribute."""

    name: str
    type: AttributeType
    multi: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """The declared shape of a collection. The first space is the primary one: it decides the shards."""

    spaces: tuple[SpaceSpec, ...]
    attributes: tuple[AttributeSpec, ...]
    sharding: Literal["cluster"] = "cluster"
    target_rows: int = 1_000_000

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
    """

    present: int
    missing: int
    values: NotRequired[list[str]]
    area: NotRequired[list[float]]


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
