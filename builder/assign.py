"""Stage 4: each part's live items, with the list of each vector, sorted by shard: one artefact a part.

Sorted so that the next stage reads what a shard needs of a part in one range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.context import BuildContext
from builder.deal import Dealing
from builder.survey import Survey, read_segments
from builder.train import TrainedSpace
from shardlake.core import training
from shardlake.core.vectors import prepare
from shardlake.engine.spaces import NO_LIST
from shardlake.types import Float32Array, Int64Array

ASSIGN_ROWS = 65_536  # vectors given to faiss at a time


@dataclass(frozen=True, slots=True)
class _Items:
    ids: list[bytes]
    payloads: list[bytes]
    vectors: dict[str, Float32Array]
    has: dict[str, npt.NDArray[np.bool_]]


def part_name(number: int) -> str:
    """Returns the artefact's name of a part."""
    return f"part-{number:05d}"


def assign(context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], dealing: Dealing) -> None:
    """Writes the artefacts of all parts that do not stand yet. Spaces computed from others have no part in it."""
    trained = {name: space for name, space in trained.items() if space.spec.source is None}
    for number, segments in enumerate(found.parts):
        context.report("assign", 0.15 + 0.3 * number / len(found.parts))
        if not context.has(part_name(number)):
            _assign_part(context, found, trained, dealing, number, segments)


def _assign_part(  # noqa: PLR0917  # private: one caller
    context: BuildContext,
    found: Survey,
    trained: dict[str, TrainedSpace],
    dealing: Dealing,
    number: int,
    segments: tuple[int, ...],
) -> None:
    items = _gather(context, found, trained, segments)
    lists = {name: _lists(space, items.vectors[name], items.has[name]) for name, space in trained.items()}
    primary = next(iter(trained.values()))
    own_lists = lists[primary.spec.name]
    shard_of = dealing.shards_of(items.ids, items.payloads, own_lists, primary.list_starts)
    order = np.lexsort((own_lists, shard_of))
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "shard_starts": np.searchsorted(shard_of[order], np.arange(dealing.shards + 1)).astype(np.int64)
    }
    for name in trained:
        arrays[f"lists/{name}"] = lists[name][order].astype(np.int32)
        arrays[f"vectors/{name}"] = items.vectors[name][order]
    for name, strings in (("id", items.ids), ("payload", items.payloads)):
        ordered = [strings[i] for i in order.tolist()]
        arrays[f"{name}_offsets"] = np.cumsum([0, *map(len, ordered)]).astype(np.uint64)
        arrays[name] = np.frombuffer(b"".join(ordered), np.uint8)
    context.save(part_name(number), arrays, {"rows": len(order)})


def _gather(
    context: BuildContext, found: Survey, trained: dict[str, TrainedSpace], segments: tuple[int, ...]
) -> _Items:
    rows = sum(int(found.live[number].sum()) for number in segments)
    items = _Items(
        [],
        [],
        {name: np.zeros((rows, space.spec.dimension), np.float32) for name, space in trained.items()},
        {name: np.zeros(rows, bool) for name in trained},
    )
    for segment, live in read_segments(context, found, segments):
        first = len(items.ids)
        numbers = np.flatnonzero(live)
        new_row = np.full(segment.rows, -1, np.int64)
        new_row[numbers] = first + np.arange(len(numbers))
        items.ids.extend(segment.ids[i].encode() for i in numbers.tolist())
        items.payloads.extend(segment.payloads(numbers))
        for name, space in trained.items():
            part = segment.spaces[name]
            keep = live[part.rows]
            rows_of_part = new_row[part.rows[keep]]
            items.vectors[name][rows_of_part] = prepare(part.vectors[keep], space.spec.metric)
            items.has[name][rows_of_part] = True
    return items


def _lists(space: TrainedSpace, vectors: Float32Array, has: npt.NDArray[np.bool_]) -> Int64Array:
    lists = np.full(len(vectors), NO_LIST, np.int64)
    rows = np.flatnonzero(has)
    for start in range(0, len(rows), ASSIGN_ROWS):
        chunk = rows[start : start + ASSIGN_ROWS]
        lists[chunk] = training.assign(vectors[chunk], space.centroids, space.spec.metric)
    return lists
