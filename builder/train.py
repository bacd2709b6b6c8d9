"""Stage 3: sample, then learn what each space needs: centroids, codewords, a transform, a hash; and which lists make a
shard."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.beside import ahead, beside
from builder.context import BuildContext
from builder.deal import Dealing
from builder.survey import Survey, read_vectors
from shardlake.core import binary, ivf_rabitq, training, transforms
from shardlake.core.binary import BinaryHash
from shardlake.core.choosing import choose_transform
from shardlake.core.ivf_pq import Codebook
from shardlake.core.vectors import pad, padded_dimension, prepare
from shardlake.format.container import Container
from shardlake.types import CollectionSchema, Float32Array, IndexType, Int64Array, Metric, SpaceSpec

CODED = frozenset({IndexType.IVF_PQ, IndexType.IVF_RABITQ})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSpace:
    """What was learned for one space.

    Attributes:
        index: what the space really gets: flat where there are too few rows to learn from.
        centroids: (lists, dimension) float32, numbered so that the lists of a shard are consecutive; none for a space
            computed from another.
        codewords: (m, 16, 2) float32: of ivf_pq, else None.
        transform: (d', dimension) float32 that vectors go through before they become codes, or None.
        hash: of binary_mih, else None.
        list_starts: (shards + 1,) the first list of each shard; None where every shard has all lists.
        rows: that have a vector.
    """

    spec: SpaceSpec
    index: IndexType
    centroids: Float32Array
    codewords: Float32Array | None
    transform: Float32Array | None
    hash: BinaryHash | None
    list_starts: Int64Array | None
    rows: int

    @property
    def stored_as(self) -> str:
        """The space whose vectors it is about: its source, or itself."""
        return self.spec.source or self.spec.name

    @property
    def probes(self) -> int:
        """How many things a search can probe, over all shards: lists, or the buckets of one shard's tables."""
        return self.hash.buckets if self.hash is not None else len(self.centroids)

    @property
    def code_dimension(self) -> int:
        """Of the vectors that codes are made of, 0 where there is no transform."""
        return 0 if self.transform is None else len(self.transform)

    @property
    def code_bytes(self) -> int:
        """Of one code in a list block."""
        if self.index is IndexType.IVF_RABITQ:
            return ivf_rabitq.code_bytes(self.code_dimension, self.spec.index.bits or 1)
        if self.index is IndexType.IVF_PQ:
            return padded_dimension(self.code_dimension or self.spec.dimension) // 4
        return 0

    def of_codes(self, vectors: Float32Array) -> Float32Array:
        """Returns vectors (n, dimension) as codes are made of them: transformed, padded."""
        turned = vectors if self.transform is None else transforms.apply(self.transform, vectors)
        return pad(turned, padded_dimension(turned.shape[1]))

    def shard_lists(self, shard_id: int) -> tuple[int, int]:
        """Returns the first of a shard's lists and the one past its last."""
        if self.list_starts is None:
            return 0, len(self.centroids)
        return int(self.list_starts[shard_id]), int(self.list_starts[shard_id + 1])


def train(context: BuildContext, found: Survey, dealing: Dealing) -> dict[str, TrainedSpace]:
    """Returns what was learned for each space, in the order of the schema; each space is one artefact."""
    stored = {}
    for number, spec in enumerate(context.schema.stored_spaces):
        owns_lists = number == 0 and not dealing.shares_lists
        artefact = context.load(_name(spec)) or _train_space(context, found, spec, dealing.shards, owns_lists)
        stored[spec.name] = _decode(artefact, spec)
    derived = {
        spec.name: _decode(context.load(_name(spec)) or _derive(context, spec, stored[spec.source], dealing), spec)
        for spec in context.schema.spaces
        if spec.source is not None
    }
    return {spec.name: (stored | derived)[spec.name] for spec in context.schema.spaces}


def artefacts(schema: CollectionSchema) -> list[str]:
    """Returns the names of the artefacts that training leaves."""
    return [_name(spec) for spec in schema.spaces]


def _name(spec: SpaceSpec) -> str:
    return f"train-{spec.name}"


def _decode(stored: Container, spec: SpaceSpec) -> TrainedSpace:
    blocks = stored.directory.blocks
    index = IndexType(stored.meta["index"])
    found_hash = None
    if index is IndexType.BINARY_MIH:
        found_hash = BinaryHash(
            directions=stored.array("directions"),
            thresholds=stored.array("thresholds"),
            key_bits=stored.meta["key_bits"],
            tables=stored.meta["tables"],
        )
    return TrainedSpace(
        spec=spec,
        index=index,
        centroids=stored.array("centroids"),
        codewords=stored.array("codewords") if "codewords" in blocks else None,
        transform=stored.array("transform") if "transform" in blocks else None,
        hash=found_hash,
        list_starts=stored.array("list_starts") if "list_starts" in blocks else None,
        rows=stored.meta["rows"],
    )


def _train_space(context: BuildContext, found: Survey, spec: SpaceSpec, shards: int, owns_lists: bool) -> Container:
    sample, rows = _sample(context, found, spec, training.sample_rows(training.list_count(found.rows)))
    index = spec.index.type if len(sample) >= training.MIN_ROWS_FOR_CODES else IndexType.FLAT
    lists = training.list_count(rows) if index is not IndexType.FLAT or (owns_lists and shards > 1) else 1
    lists = min(max(lists, shards if owns_lists else 1), len(sample))
    centroids = training.train_centroids(sample, lists, spec.metric, context.seed) if lists else sample[:0]
    of_sample = training.assign(sample, centroids, spec.metric) if lists else np.empty(0, np.int64)
    arrays: dict[str, npt.NDArray[Any]] = {}
    if owns_lists:
        starts = np.zeros(shards + 1, np.int64)  # no list in any shard, where no item has a vector in the primary space
        if lists:
            order, starts = _deal(centroids, np.bincount(of_sample, minlength=lists), shards)
            centroids, of_sample = centroids[order], np.argsort(order)[of_sample]
        arrays["list_starts"] = starts
    arrays["centroids"] = centroids
    meta: dict[str, object] = {"index": index, "rows": rows, "sample": len(sample)}
    if index in CODED:
        arrays |= _learn_codes(context, spec, sample, centroids, of_sample)
    if index is IndexType.BINARY_MIH:
        meta |= _learn_hash(context, spec, sample, -(-rows // shards), arrays)
    return context.save(_name(spec), arrays, meta)


def _derive(context: BuildContext, spec: SpaceSpec, source: TrainedSpace, dealing: Dealing) -> Container:
    """Learns a hash from the centroids of the source: their mean is that of its vectors, near enough for thresholds."""
    arrays: dict[str, npt.NDArray[Any]] = {"centroids": source.centroids[:0]}
    meta = _learn_hash(context, spec, source.centroids, -(-source.rows // dealing.shards), arrays)
    return context.save(_name(spec), arrays, {"index": IndexType.BINARY_MIH, "rows": source.rows, **meta})


def _learn_hash(
    context: BuildContext,
    spec: SpaceSpec,
    sample: Float32Array,
    rows: int,
    arrays: dict[str, npt.NDArray[Any]],
) -> dict[str, object]:
    rng = np.random.default_rng([context.seed, 3])
    centred = spec.metric is not Metric.DOT
    learned = binary.learn(sample, spec.index.bits or binary.WORD_BITS, rows, centred=centred, rng=rng)
    arrays |= {"directions": learned.directions, "thresholds": learned.thresholds}
    return {"key_bits": learned.key_bits, "tables": learned.tables}


def _learn_codes(
    context: BuildContext, spec: SpaceSpec, sample: Float32Array, centroids: Float32Array, lists: Int64Array
) -> dict[str, npt.NDArray[Any]]:
    if spec.index.type is IndexType.IVF_RABITQ:
        into = ivf_rabitq.padded_dimension(spec.dimension)
        return {"transform": transforms.random_rotation(spec.dimension, into, np.random.default_rng([context.seed, 4]))}
    book, transform = _learn_book(spec, sample, centroids, lists)
    return {"codewords": book.codewords} | ({} if transform is None else {"transform": transform})


def _learn_book(
    spec: SpaceSpec, sample: Float32Array, centroids: Float32Array, lists: Int64Array
) -> tuple[Codebook, Float32Array | None]:
    transform = choose_transform(sample, centroids, lists, spec.index, spec.metric)
    if transform is None:
        return training.train_codebook(sample, centroids, spec.metric, lists), None
    turned = transforms.apply(transform, sample[: training.PQ_SAMPLE_ROWS])
    return training.train_codebook(turned, transforms.apply(transform, centroids), spec.metric, lists), transform


def _deal(centroids: Float32Array, weights: Int64Array, shards: int) -> tuple[Int64Array, Int64Array]:
    """Returns the order in which each shard's lists are consecutive, and the first of each shard; one without a list
    keeps an empty range."""
    labels = training.group_lists(centroids, weights, min(shards, len(centroids)))
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(shards + 1))
    return order, starts.astype(np.int64)


def _sample(context: BuildContext, found: Survey, spec: SpaceSpec, wanted: int) -> tuple[Float32Array, int]:
    """Returns `wanted` prepared vectors, or all where there are fewer, and how many live rows have a vector.

    Every row draws a number and the smallest are kept: an even sample of the rows that have a vector, however few those
    are among all. Memory: twice the sample and one segment.
    """
    rng = np.random.default_rng([context.seed, 1])
    reads = [partial(read_vectors, context, found, number, spec.name) for number in range(len(found.segments))]
    kept, numbers = [np.empty((0, spec.dimension), np.float32)], [np.empty(0)]
    rows, bound = 0, 1.0
    with beside(context.threads) as reader:
        for part, live in ahead(reader, reads):
            of_part = np.flatnonzero(live[part.rows])
            rows += len(of_part)
            drawn = rng.random(len(of_part))
            kept.append(part.vectors[of_part[drawn < bound]])
            numbers.append(drawn[drawn < bound])
            if sum(map(len, numbers)) > 2 * wanted:
                bound = _smallest(kept, numbers, wanted)
    _smallest(kept, numbers, wanted)
    return prepare(np.concatenate(kept), spec.metric), rows


def _smallest(kept: list[Float32Array], numbers: list[npt.NDArray[np.float64]], count: int) -> float:
    """Leaves the vectors of the smallest numbers in both lists; returns the least number that is too large."""
    drawn = np.concatenate(numbers)
    if len(drawn) <= count:
        return 1.0
    bound = float(np.partition(drawn, count)[count])
    for place, own in enumerate(numbers):
        if (own >= bound).any():
            kept[place], numbers[place] = kept[place][own < bound], own[own < bound]
    return bound
