"""Stage 4: each part's live items, with the list of each vector: one artefact a part, as `builder.parts` lays it out.

With several threads the next part is read, and the one before written, while the lists of one are found.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from builder.beside import ahead, beside
from builder.context import BuildContext
from builder.deal import Dealing
from builder.parts import DRAWN_ROWS, part_name
from builder.strings import Strings
from builder.survey import Survey, read_segments
from builder.train import TrainedSpace
from shardlake.core import training
from shardlake.core.vectors import prepare
from shardlake.engine.spaces import NO_LIST
from shardlake.types import Float32Array, Int64Array


@dataclass(frozen=True, slots=True)
class _Vectors:
    """Vectors of one space in a part: (m, d), and the (m,) rows that have them."""

    rows: Int64Array
    vectors: Float32Array


@dataclass(frozen=True, slots=True)
class _Items:
    number: int
    ids: Strings
    payloads: Strings
    spaces: dict[str, _Vectors]


@dataclass(frozen=True, slots=True)
class _Listed:
    """Vectors in the order in which they are stored.

    Attributes:
        order: (m,) which of the part's each is. rows: of the ordered part. lists: of each. starts: of the shards.
    """

    order: Int64Array
    rows: Int64Array
    lists: Int64Array
    starts: Int64Array


@dataclass(frozen=True, slots=True)
class _Placed:
    items: _Items
    order: Int64Array
    shard_starts: Int64Array
    spaces: dict[str, _Listed]


def assign(
    context: BuildContext,
    found: Survey,
    trained: dict[str, TrainedSpace],
    dealing: Dealing,
    parts: Iterable[int],
) -> None:
    """Writes the artefacts of some parts, where they do not stand yet; a part is made of nothing but its own segments.

    Spaces computed from others have no part in it.
    """
    trained = {name: space for name, space in trained.items() if space.spec.source is None}
    wanted = [number for number in parts if not context.has(part_name(number))]
    with beside(context.threads) as reader, beside(context.threads) as writer:
        written: Future[None] | None = None
        for items in ahead(reader, [partial(_gather, context, found, trained, number) for number in wanted]):
            context.report("assign", 0.15 + 0.3 * items.number / len(found.parts))
            placed = _place(items, trained, dealing)
            if written is not None:
                written.result()
            written = writer.submit(_save, context, placed, trained)
            del items, placed  # nobody but the writer holds what it writes
        if written is not None:
            written.result()


def _gather(context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], number: int) -> _Items:
    segments = found.parts[number]
    most = sum(int(found.live[segment].sum()) for segment in segments)
    vectors = {name: np.empty((most, space.spec.dimension), np.float32) for name, space in trained.items()}
    rows: dict[str, list[Int64Array]] = {name: [np.empty(0, np.int64)] for name in trained}
    ids, payloads, first = [], [], 0
    for segment, live in read_segments(context, found, segments):
        numbers = np.flatnonzero(live)
        new_row = np.full(segment.rows, -1, np.int64)
        new_row[numbers] = first + np.arange(len(numbers))
        ids.append(Strings.of(segment.id_text, segment.id_offsets).ordered(numbers))
        payloads.append(Strings.of(segment.payload, segment.payload_offsets).ordered(numbers))
        for name, space in trained.items():
            part = segment.spaces[name]
            keep = live[part.rows]
            begin = sum(map(len, rows[name]))
            rows[name].append(new_row[part.rows[keep]])
            kept = part.vectors if keep.all() else part.vectors[keep]
            prepare(kept, space.spec.metric, out=vectors[name][begin : begin + len(kept)])
        first += len(numbers)
    own = {name: np.concatenate(of_space) for name, of_space in rows.items()}
    spaces = {name: _Vectors(own[name], vectors[name][: len(own[name])]) for name in trained}
    return _Items(number, Strings.joined(ids), Strings.joined(payloads), spaces)


def _place(items: _Items, trained: dict[str, TrainedSpace], dealing: Dealing) -> _Placed:
    lists = {
        name: training.assign(items.spaces[name].vectors, space.centroids, space.spec.metric)
        for name, space in trained.items()
    }
    primary = next(iter(trained.values()))
    name = primary.spec.name
    own_lists = np.full(len(items.ids), NO_LIST, np.int64)
    own_lists[items.spaces[name].rows] = lists[name]
    shard_of = dealing.shards_of(items.ids, items.payloads, own_lists, primary.list_starts)
    order = np.lexsort((own_lists, shard_of))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    spaces = {name: _listed(items.spaces[name].rows, lists[name], shard_of, place, dealing.shards) for name in trained}
    return _Placed(items, order, _starts(shard_of[order], dealing.shards), spaces)


def _listed(rows: Int64Array, lists: Int64Array, shard_of: Int64Array, place: Int64Array, shards: int) -> _Listed:
    order = np.lexsort((place[rows], lists, shard_of[rows]))
    rows = rows[order]
    return _Listed(order=order, rows=place[rows], lists=lists[order], starts=_starts(shard_of[rows], shards))


def _starts(shard_of: Int64Array, shards: int) -> Int64Array:
    """Returns (shards + 1,) where each shard begins among ascending numbers."""
    return np.searchsorted(shard_of, np.arange(shards + 1)).astype(np.int64)


def _save(context: BuildContext, placed: _Placed, trained: dict[str, TrainedSpace]) -> None:
    items = placed.items
    arrays: dict[str, npt.NDArray[np.generic]] = {"shard_starts": placed.shard_starts}
    for number, (name, listed) in enumerate(placed.spaces.items()):
        vectors = items.spaces[name].vectors.take(listed.order, axis=0)
        arrays[f"starts/{name}"] = listed.starts
        arrays[f"rows/{name}"] = listed.rows.astype(np.uint32)
        arrays[f"lists/{name}"] = listed.lists.astype(np.int32)
        arrays[f"vectors/{name}"] = vectors
        drawn = np.random.default_rng([context.seed, 2, number, items.number]).random(len(vectors))
        few = np.flatnonzero(drawn < DRAWN_ROWS / max(trained[name].rows, 1))
        arrays[f"drawn/{name}"], arrays[f"numbers/{name}"] = few.astype(np.int64), drawn[few]
        arrays[f"drawn_vectors/{name}"] = vectors[few]
    for name, strings in (("id", items.ids), ("payload", items.payloads)):
        ordered = strings.ordered(placed.order)
        arrays[f"{name}_offsets"] = ordered.offsets.astype(np.uint64)
        arrays[name] = np.frombuffer(ordered.data, np.uint8)
    context.save(part_name(items.number), arrays, {"rows": len(placed.order)})
