"""Stage 2: sample, then learn centroids and codewords of each space, and which lists make a shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.context import BuildContext
from builder.survey import Survey, read_segments
from shardlake.core import training
from shardlake.core.ivf_pq import Codebook
from shardlake.core.vectors import pad, padded_dimension, prepare
from shardlake.format.container import Container
from shardlake.types import Float32Array, IndexType, Int64Array, SpaceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSpace:
    """What was learned for one space.

    Attributes:
        index: what the space really gets: flat where there are too few rows to learn codes from.
        centroids: (lists, dimension) float32, numbered so that the lists of a shard are consecutive.
        codewords: (m, 16, 2) float32, or None for flat.
        list_starts: (shards + 1,) the first list of each shard in the primary space. Elsewhere every shard has all
            lists.
    """

    spec: SpaceSpec
    index: IndexType
    centroids: Float32Array
    codewords: Float32Array | None
    list_starts: Int64Array
    is_primary: bool
    rows: int

    @property
    def book(self) -> Codebook:
        """The codebook over padded centroids. Requires: the space is ivf_pq."""
        assert self.codewords is not None
        padded = pad(self.centroids, padded_dimension(self.spec.dimension))
        return Codebook(centroids=padded, codewords=self.codewords, metric=self.spec.metric)

    def shard_lists(self, shard_id: int) -> tuple[int, int]:
        """Returns the first of a shard's lists and the one past its last."""
        if not self.is_primary:
            return 0, len(self.centroids)
        return int(self.list_starts[shard_id]), int(self.list_starts[shard_id + 1])


def shard_count(found: Survey, target_rows: int) -> int:
    """Returns how many shards the build writes."""
    return max(1, -(-found.rows // target_rows))


def train(context: BuildContext, found: Survey) -> dict[str, TrainedSpace]:
    """Returns what was learned for each space, primary first; each space is one artefact."""
    trained = {}
    for number, spec in enumerate(context.schema.spaces):
        name = f"train-{spec.name}"
        stored = context.load(name) or _train_space(context, found, spec, name, is_primary=number == 0)
        trained[spec.name] = _decode(stored, spec, is_primary=number == 0)
    return trained


def _decode(stored: Container, spec: SpaceSpec, *, is_primary: bool) -> TrainedSpace:
    has_codes = stored.meta["index"] == IndexType.IVF_PQ
    return TrainedSpace(
        spec=spec,
        index=IndexType(stored.meta["index"]),
        centroids=stored.array("centroids"),
        codewords=stored.array("codewords") if has_codes else None,
        list_starts=stored.array("list_starts"),
        is_primary=is_primary,
        rows=stored.meta["rows"],
    )


def _train_space(context: BuildContext, found: Survey, spec: SpaceSpec, name: str, *, is_primary: bool) -> Container:
    shards = shard_count(found, context.schema.target_rows)
    wanted = training.sample_rows(training.list_count(found.rows))
    sample, rows = _sample(context, found, spec, wanted)
    has_codes = spec.index.type is IndexType.IVF_PQ and len(sample) >= training.MIN_ROWS_FOR_CODES
    lists = training.list_count(rows) if has_codes or (is_primary and shards > 1) else 1
    lists = min(max(lists, shards if is_primary else 1), len(sample))
    centroids = training.train_centroids(sample, lists, spec.metric, context.seed) if lists else sample[:0]
    starts = np.zeros(shards + 1, np.int64)  # no list in any shard, where no item has a vector in the primary space
    if is_primary and lists:
        centroids, starts = _deal(sample, centroids, spec, shards)
    arrays: dict[str, npt.NDArray[Any]] = {"centroids": centroids, "list_starts": starts}
    if has_codes:
        arrays["codewords"] = training.train_codebook(sample, centroids, spec.metric).codewords
    index = IndexType.IVF_PQ if has_codes else IndexType.FLAT
    return context.save(name, arrays, {"index": index, "rows": rows, "sample": len(sample)})


def _deal(
    sample: Float32Array, centroids: Float32Array, spec: SpaceSpec, shards: int
) -> tuple[Float32Array, Int64Array]:
    """Renumbers lists so that each shard's are consecutive; a shard without a list keeps an empty range."""
    groups = min(shards, len(centroids))
    weights = np.bincount(training.assign(sample, centroids, spec.metric), minlength=len(centroids))
    labels = training.group_lists(centroids, weights, groups)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(shards + 1))
    return centroids[order], starts.astype(np.int64)


def _sample(context: BuildContext, found: Survey, spec: SpaceSpec, wanted: int) -> tuple[Float32Array, int]:
    """Returns `wanted` prepared vectors, or all where there are fewer, and how many live rows have a vector.

    Every row draws a number and the smallest are kept: an even sample of the rows that have a vector, however few those
    are among all. Memory: twice the sample and one segment.
    """
    rng = np.random.default_rng([context.seed, 1])
    kept, numbers = [np.empty((0, spec.dimension), np.float32)], [np.empty(0)]
    rows, bound = 0, 1.0
    for segment, live in read_segments(context, found, range(len(found.segments))):
        part = segment.spaces[spec.name]
        vectors = part.vectors[live[part.rows]]
        rows += len(vectors)
        drawn = rng.random(len(vectors))
        kept.append(vectors[drawn < bound])
        numbers.append(drawn[drawn < bound])
        if sum(map(len, numbers)) > 2 * wanted:
            kept, numbers = _smallest(kept, numbers, wanted)
            bound = float(numbers[0].max())
    return prepare(_smallest(kept, numbers, wanted)[0][0], spec.metric), rows


def _smallest(
    kept: list[Float32Array], numbers: list[npt.NDArray[np.float64]], count: int
) -> tuple[list[Float32Array], list[npt.NDArray[np.float64]]]:
    vectors, drawn = np.concatenate(kept), np.concatenate(numbers)
    if len(drawn) <= count:
        return [vectors], [drawn]
    chosen = np.sort(np.argpartition(drawn, count)[:count])
    return [vectors[chosen]], [drawn[chosen]]
