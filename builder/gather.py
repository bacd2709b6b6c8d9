"""What one shard needs of all parts: ids and payloads on local disk, vectors as they are asked for: memory stays
bounded, whatever the size of the shard."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import FileIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builder.context import BuildContext
from builder.parts import open_part
from builder.ranged import RangedFile
from builder.strings import Strings, offsets_of
from shardlake.types import Float32Array, Int64Array

_READERS = 8  # parts that are read at once: each read is a request, which waits


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardVectors:
    """The vectors of one space in a shard: each part's by list, one part behind another.

    Attributes:
        name: of the space. dimension: of a vector.
        shard_rows: how many items the shard has.
        rows: (m,) int64: the row of each, as it arrived or, once placed, in the shard. lists: (m,) int64: its list.
        parts: in which they lie. starts: (parts + 1,) the first of each part here. first: (parts,) which of the part's
            that is.
    """

    name: str
    dimension: int
    shard_rows: int
    rows: Int64Array
    lists: Int64Array
    parts: Sequence[RangedFile]
    starts: Int64Array
    first: Int64Array

    def read(self, wanted: Int64Array) -> Float32Array:
        """Returns some vectors, by their places. Cost: a read for those that stand one behind another in a part."""
        order = np.argsort(wanted, kind="stable")
        places = wanted[order]
        begins = (np.diff(places, prepend=-2) != 1) | np.isin(places, self.starts)
        cuts = [*np.flatnonzero(begins).tolist(), len(places)]
        found = np.empty((len(places), self.dimension), np.float32)

        def read(run: tuple[int, int]) -> None:
            start, stop = run
            part = int(np.searchsorted(self.starts, places[start], side="right")) - 1
            first = int(places[start] - self.starts[part] + self.first[part])
            rows = self.parts[part].rows(f"vectors/{self.name}", first, first + stop - start)
            found[order[start:stop]] = rows

        with ThreadPoolExecutor(_READERS, thread_name_prefix="vectors") as pool:
            list(pool.map(read, pairwise(cuts)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """The items of one shard, in the order they arrived; texts are scratch files.

    Attributes:
        labels: (n, 2) part number and row in the part: which row of the whole build each is.
        spaces: {space: its vectors}.
        ids, payloads: n strings each, mapped.
    """

    labels: Int64Array
    spaces: dict[str, ShardVectors]
    ids: Strings
    payloads: Strings

    @property
    def rows(self) -> int:
        """How many items."""
        return len(self.labels)

    def placed(self, order: Int64Array) -> dict[str, ShardVectors]:
        """Returns the vectors of each space with rows of the shard; `order` says which arrived row each of them is."""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return {name: replace(vectors, rows=place[vectors.rows]) for name, vectors in self.spaces.items()}


def gather(context: BuildContext, shard_id: int, parts: int, spaces: Sequence[str]) -> ShardRows:
    """Reads one shard's slice of every part, but for the vectors.

    Args:
        shard_id: which shard.
        parts: how many parts there are.
        spaces: their names.
    """
    files = [open_part(context, number) for number in range(parts)]
    slices = [_slice(file.array("shard_starts"), shard_id) for file in files]
    paths = {name: context.scratch / f"{name}.bin" for name in ("id", "payload")}
    with ExitStack() as opened:
        handles = {name: opened.enter_context(path.open("wb", buffering=0)) for name, path in paths.items()}
        lengths = [_copied(file, there, handles) for file, there in zip(files, slices, strict=True)]
    first_rows = np.cumsum([0, *(stop - start for start, stop in slices)])
    labels = [np.stack([np.full(b - a, i), np.arange(a, b)], axis=1) for i, (a, b) in enumerate(slices)]
    moved = [int(first) - start for first, (start, _) in zip(first_rows[:-1], slices, strict=True)]
    strings = {
        name: Strings.of(_map(path), offsets_of(np.concatenate([of_part[name] for of_part in lengths])))
        for name, path in paths.items()
    }
    return ShardRows(
        labels=np.concatenate(labels).astype(np.int64),
        spaces={name: _vectors(files, shard_id, name, moved, int(first_rows[-1])) for name in spaces},
        ids=strings["id"],
        payloads=strings["payload"],
    )


def _slice(starts: Int64Array, shard_id: int) -> tuple[int, int]:
    return int(starts[shard_id]), int(starts[shard_id + 1])


def _copied(file: RangedFile, there: tuple[int, int], handles: dict[str, FileIO]) -> dict[str, Int64Array]:
    """Appends a part's ids and payloads to the files; returns the length of each."""
    start, stop = there
    lengths = {}
    for name, handle in handles.items():
        offsets = file.rows(f"{name}_offsets", start, stop + 1).astype(np.int64)
        file.copy(name, int(offsets[0]), int(offsets[-1]), handle)
        lengths[name] = np.diff(offsets)
    return lengths


def _vectors(
    files: Sequence[RangedFile], shard_id: int, name: str, moved: Sequence[int], shard_rows: int
) -> ShardVectors:
    slices = [_slice(file.array(f"starts/{name}"), shard_id) for file in files]

    def column(block: str) -> list[npt.NDArray[np.int64]]:
        return [file.rows(f"{block}/{name}", a, b).astype(np.int64) for file, (a, b) in zip(files, slices, strict=True)]

    return ShardVectors(
        name=name,
        dimension=files[0].directory.block(f"vectors/{name}").shape[1],
        shard_rows=shard_rows,
        rows=np.concatenate([rows + by for rows, by in zip(column("rows"), moved, strict=True)]),
        lists=np.concatenate(column("lists")),
        parts=files,
        starts=np.cumsum([0, *(stop - start for start, stop in slices)]).astype(np.int64),
        first=np.array([start for start, _ in slices], np.int64),
    )


def _map(path: Path) -> npt.NDArray[np.uint8]:
    return np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
