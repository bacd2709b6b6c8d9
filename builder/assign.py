"""Stage 4: each part's live items, with the list of each vector, sorted by shard: one artefact a part.

Sorted so that the next stage reads what a shard needs of a part in one range. With several threads the next part is
read, and the one before written, while the lists of one are found.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from builder.beside import ahead, beside
from builder.context import BuildContext
from builder.deal import Dealing
from builder.strings import Strings
from builder.survey import Survey, read_segments
from builder.train import TrainedSpace
from shardlake.core import training
from shardlake.core.vectors import prepare
from shardlake.engine.spaces import NO_LIST
from shardlake.types import Float32Array, Int64Array

ASSIGN_ROWS = 65_536  # vectors copied together where not every item has one


@dataclass(frozen=True, slots=True)
class _Items:
    number: int
    ids: Strings
    payloads: Strings
    vectors: dict[str, Float32Array]
    has: dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class _Placed:
    items: _Items
    lists: dict[str, Int64Array]
    order: Int64Array
    shard_starts: Int64Array


def part_name(number: int) -> str:
    """Returns the artefact's name of a part."""
    return f"part-{number:05d}"


def assign(context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], dealing: Dealing) -> None:
    """Writes the artefacts of all parts that do not stand yet. Spaces computed from others have no part in it."""
    trained = {name: space for name, space in trained.items() if space.spec.source is None}
    wanted = [number for number in range(len(found.parts)) if not context.has(part_name(number))]
    with beside(context.threads) as reader, beside(context.threads) as writer:
        written: Future[None] | None = None
        for items in ahead(reader, [partial(_gather, context, found, trained, number) for number in wanted]):
            context.report("assign", 0.15 + 0.3 * items.number / len(found.parts))
            placed = _place(items, trained, dealing)
            if written is not None:
                written.result()
            written = writer.submit(_save, context, placed)
            del items, placed  # nobody but the writer holds what it writes
        if written is not None:
            written.result()


def _place(items: _Items, trained: dict[str, TrainedSpace], dealing: Dealing) -> _Placed:
    lists = {name: _lists(space, items.vectors[name], items.has[name]) for name, space in trained.items()}
    primary = next(iter(trained.values()))
    own_lists = lists[primary.spec.name]
    shard_of = dealing.shards_of(items.ids, items.payloads, own_lists, primary.list_starts)
    order = np.lexsort((own_lists, shard_of))
    starts = np.searchsorted(shard_of[order], np.arange(dealing.shards + 1)).astype(np.int64)
    return _Placed(items, lists, order, starts)


def _save(context: BuildContext, placed: _Placed) -> None:
    items, order = placed.items, placed.order
    arrays: dict[str, npt.NDArray[np.generic]] = {"shard_starts": placed.shard_starts}
    for name, lists in placed.lists.items():
        arrays[f"lists/{name}"] = lists[order].astype(np.int32)
        arrays[f"vectors/{name}"] = items.vectors[name][order]
    for name, strings in (("id", items.ids), ("payload", items.payloads)):
        ordered = strings.ordered(order)
        arrays[f"{name}_offsets"] = ordered.offsets.astype(np.uint64)
        arrays[name] = np.frombuffer(ordered.data, np.uint8)
    context.save(part_name(items.number), arrays, {"rows": len(order)})


def _gather(context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], number: int) -> _Items:
    segments = found.parts[number]
    rows = sum(int(found.live[segment].sum()) for segment in segments)
    vectors = {name: np.zeros((rows, space.spec.dimension), np.float32) for name, space in trained.items()}
    has = {name: np.zeros(rows, bool) for name in trained}
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
            rows_of_part = new_row[part.rows[keep]]
            vectors[name][rows_of_part] = prepare(part.vectors if keep.all() else part.vectors[keep], space.spec.metric)
            has[name][rows_of_part] = True
        first += len(numbers)
    return _Items(number, Strings.joined(ids), Strings.joined(payloads), vectors, has)


def _lists(space: TrainedSpace, vectors: Float32Array, has: npt.NDArray[np.bool_]) -> Int64Array:
    if has.all():
        return training.assign(vectors, space.centroids, space.spec.metric)
    lists = np.full(len(vectors), NO_LIST, np.int64)
    rows = np.flatnonzero(has)
    for start in range(0, len(rows), ASSIGN_ROWS):
        chunk = rows[start : start + ASSIGN_ROWS]
        lists[chunk] = training.assign(vectors[chunk], space.centroids, space.spec.metric)
    return lists
