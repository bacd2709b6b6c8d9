"""The queries that calibration asks: items left out of their own answer, and texts of items, encoded as queries are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from builder.context import BuildContext
from builder.parts import open_part
from builder.ranged import RangedFile
from builder.survey import Survey
from builder.train import TrainedSpace
from shardlake.core.calibration import Queries
from shardlake.core.vectors import prepare
from shardlake.errors import ErrorKind, FormatError, ShardlakeError
from shardlake.types import AttributeType, CollectionSchema, Float32Array, Int64Array

QUERIES = 256  # less than DRAWN_ROWS
MIN_TEXTS = 64  # different ones: below, their mean says nothing
MAX_TEXT_CHARS = 256  # of a query: people type a line, not a page
PART_BITS = 40  # a label is part << 40 | row


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Queries of one kind.

    Attributes:
        labels: (n,) int64, which row each query is; -1 where it is none.
        vectors: (n, d) float32, prepared.
    """

    kind: Queries
    labels: Int64Array
    vectors: Float32Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What one look at all parts gives.

    Attributes:
        rows: (m, d) float32, an even sample of the space.
        list_rows: (lists,) int64, over all shards.
        texts: of items, each different.
    """

    held_out: HeldOut
    rows: Float32Array
    list_rows: Int64Array
    texts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The rows of one part that have a vector in the space.

    Attributes:
        number: of the part. rows: (m,) int64 within it.
        vectors: (m, d) float32. lists: (m,) int64, over all shards.
    """

    number: int
    rows: Int64Array
    vectors: Float32Array
    lists: Int64Array

    @property
    def labels(self) -> Int64Array:
        """The label of each row."""
        return (self.number << PART_BITS) + self.rows


def flat(pairs: Int64Array) -> Int64Array:
    """Returns labels of (n, 2) part numbers and rows."""
    return (pairs[:, 0] << PART_BITS) + pairs[:, 1]


def blocks(context: BuildContext, found: Survey, space: TrainedSpace) -> Iterator[Block]:
    """Yields the rows of each part; memory: the vectors of one."""
    name = space.stored_as
    for number in range(len(found.parts)):
        part = open_part(context, number)
        rows, lists, vectors = part.arrays(f"rows/{name}", f"lists/{name}", f"vectors/{name}")
        yield Block(number=number, rows=rows.astype(np.int64), vectors=vectors, lists=lists.astype(np.int64))


def sample(context: BuildContext, found: Survey, space: TrainedSpace) -> Sampled:
    """Takes what was drawn for held-out items and for a sample of the rows; draws texts, where the space can be asked
    by text. Memory: the items of one part."""
    rng, name = np.random.default_rng([context.seed, 2]), space.stored_as
    texts = _Texts(context.schema, np.random.default_rng([context.seed, 4]), QUERIES / max(found.rows, 1))
    labels, vectors, rows = [np.empty(0, np.int64)], [_no_vectors(space)], [_no_vectors(space)]
    list_rows = np.zeros(len(space.centroids), np.int64)
    for number in range(len(found.parts)):
        part = open_part(context, number)
        row_of, lists, drawn, numbers, of_drawn = part.arrays(
            *(f"{block}/{name}" for block in ("rows", "lists", "drawn", "numbers", "drawn_vectors"))
        )
        is_asked = numbers < QUERIES / space.rows
        labels.append((number << PART_BITS) + row_of[drawn[is_asked]].astype(np.int64))
        vectors.append(of_drawn[is_asked])
        rows.append(of_drawn[~is_asked])  # an anti-correlated filter is turned against as many queries as it says
        list_rows += np.bincount(lists, minlength=len(list_rows))
        if space.spec.encoder is not None and context.encode_texts is not None:
            texts.add(part)
    own, queries = _shuffled(rng, np.concatenate(labels), np.concatenate(vectors))
    (around,) = _shuffled(rng, np.concatenate(rows))
    items = HeldOut(kind=Queries.ITEMS, labels=own, vectors=queries)
    return Sampled(held_out=items, rows=around, list_rows=list_rows, texts=texts.drawn())


def text_queries(context: BuildContext, space: TrainedSpace, sampled: Sampled) -> HeldOut | None:
    """Returns queries that are texts; None where there are too few, or the encoder reads none.

    Raises:
        ShardlakeError: what the encode function failed with, where a repeated build may have more luck.
    """
    encoder, encode = space.spec.encoder, context.encode_texts
    if encoder is None or encode is None or len(sampled.texts) < MIN_TEXTS:
        return None
    try:
        vectors = encode(encoder, sampled.texts)
    except ShardlakeError as error:
        if error.retryable:
            raise
        return None  # an encoder of pictures alone, or one that this deployment lacks: nobody can ask by text either
    if vectors.shape != (len(sampled.texts), space.spec.dimension):
        raise FormatError("the encode function answered vectors of another shape", kind=ErrorKind.MALFORMED_FILE)
    nobody = np.full(len(vectors), -1, np.int64)
    return HeldOut(kind=Queries.TEXT, labels=nobody, vectors=prepare(vectors, space.spec.metric))


class _Texts:
    """What items say of themselves, as someone might ask for them: of each sampled item one attribute.

    An item's text attributes in turn, else its keywords: a person types a title, or names a category.
    """

    def __init__(self, schema: CollectionSchema, rng: np.random.Generator, share: float) -> None:
        self._texts = [spec.name for spec in schema.attributes if spec.type is AttributeType.TEXT]
        self._keywords = [spec.name for spec in schema.attributes if spec.type is AttributeType.KEYWORD]
        self._rng = rng
        self._share = 2 * share  # of which half may say nothing, or what another has said
        self._found: dict[str, None] = {}

    def add(self, part: RangedFile) -> None:
        if not self._texts and not self._keywords:
            return
        ends, payload = part.arrays("payload_offsets", "payload")
        for row in np.flatnonzero(self._rng.random(len(ends) - 1) < self._share).tolist():
            said = self._said(orjson.loads(payload[ends[row] : ends[row + 1]].tobytes())["attributes"])
            if said:
                self._found.setdefault(said)

    def drawn(self) -> list[str]:
        """Returns at most QUERIES texts, evenly drawn."""
        texts = list(self._found)
        chosen = self._rng.permutation(len(texts))[:QUERIES]
        return [texts[i] for i in sorted(chosen.tolist())]

    def _said(self, attributes: dict[str, object]) -> str:
        lines = [str(attributes[name]) for name in self._texts if attributes.get(name)]
        if lines:
            return lines[len(self._found) % len(lines)][:MAX_TEXT_CHARS].strip()
        words: list[str] = []
        for name in self._keywords:
            value = attributes.get(name)
            words += [str(v) for v in value] if isinstance(value, list) else [str(value)] if value else []
        return " ".join(words)[:MAX_TEXT_CHARS].strip()


def _shuffled(rng: np.random.Generator, *arrays: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    # Items come in the order of their segments, one catalogue after the other: the first few must be like all.
    order = rng.permutation(len(arrays[0]))
    return [array[order] for array in arrays]


def _no_vectors(space: TrainedSpace) -> Float32Array:
    return np.empty((0, space.spec.dimension), np.float32)
