"""What one shard needs of all parts, brought to local disk: memory stays bounded, whatever the size of the shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from builder.assign import part_name
from builder.context import ARTEFACT_KIND, BuildContext
from shardlake.format.container import Block, Directory, decode_block, directory_offset, parse_tail
from shardlake.store.base import ByteRange
from shardlake.types import Float32Array, Int64Array

_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """The items of one shard, in the order they arrived; big things are maps of scratch files.

    Attributes:
        labels: (n, 2) part number and row in the part: which row of the whole build each is.
        lists: {space: (n,) int32}.
        vectors: {space: (n, d) float32, mapped}.
        id_offsets, payload_offsets: (n + 1,) into `ids` and `payloads`.
    """

    labels: Int64Array
    lists: dict[str, npt.NDArray[np.int32]]
    vectors: dict[str, Float32Array]
    ids: npt.NDArray[np.uint8]
    id_offsets: Int64Array
    payloads: npt.NDArray[np.uint8]
    payload_offsets: Int64Array

    @property
    def rows(self) -> int:
        """How many items."""
        return len(self.labels)


def gather(context: BuildContext, shard_id: int, parts: int, spaces: dict[str, int]) -> ShardRows:
    """Reads one shard's slice of every part.

    Args:
        shard_id: which shard.
        parts: how many parts there are.
        spaces: {name: dimension}.
    """
    folder = context.scratch
    names = [*(f"vectors/{space}" for space in spaces), "id", "payload"]
    files = {name: folder / f"{name.replace('/', '-')}.bin" for name in names}
    handles: dict[str, BinaryIO] = {name: path.open("wb") for name, path in files.items()}
    try:
        slices = [_part_slice(context, number, shard_id, list(spaces), handles) for number in range(parts)]
    finally:
        for handle in handles.values():
            handle.close()
    labels = [
        np.stack([np.full(s.stop - s.start, i), np.arange(s.start, s.stop)], axis=1) for i, s in enumerate(slices)
    ]
    return ShardRows(
        labels=np.concatenate(labels).astype(np.int64),
        lists={space: np.concatenate([s.lists[space] for s in slices]) for space in spaces},
        vectors={space: _map(files[f"vectors/{space}"], np.float32, (-1, d)) for space, d in spaces.items()},
        ids=_map(files["id"], np.uint8, (-1,)),
        id_offsets=_offsets([s.lengths["id"] for s in slices]),
        payloads=_map(files["payload"], np.uint8, (-1,)),
        payload_offsets=_offsets([s.lengths["payload"] for s in slices]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    start: int
    stop: int
    lists: dict[str, npt.NDArray[np.int32]]
    lengths: dict[str, Int64Array]


def _part_slice(
    context: BuildContext, number: int, shard_id: int, spaces: Sequence[str], handles: dict[str, BinaryIO]
) -> _Slice:
    part = ArtefactFile(context, part_name(number))
    starts = part.whole("shard_starts")
    start, stop = int(starts[shard_id]), int(starts[shard_id + 1])
    for space in spaces:
        handles[f"vectors/{space}"].write(part.raw(f"vectors/{space}", start, stop))
    lengths = {}
    for name in ("id", "payload"):
        offsets = np.frombuffer(part.raw(f"{name}_offsets", start, stop + 1), "<u8").astype(np.int64)
        handles[name].write(part.raw(name, int(offsets[0]), int(offsets[-1])))
        lengths[name] = np.diff(offsets)
    lists = {space: np.frombuffer(part.raw(f"lists/{space}", start, stop), "<i4") for space in spaces}
    return _Slice(start=start, stop=stop, lists=lists, lengths=lengths)


class ArtefactFile:
    """Ranged reads of an artefact: whole blocks, and blocks by row."""

    def __init__(self, context: BuildContext, name: str) -> None:
        self._store = context.store
        self._key = context.artefact_key(name)
        tail, size = self._store.get_suffix(self._key, _TAIL_BYTES)
        offset = directory_offset(tail, size, ARTEFACT_KIND)
        if offset < size - len(tail):
            tail, size = self._store.get_suffix(self._key, size - offset)
        self.directory: Directory = parse_tail(tail, size, ARTEFACT_KIND)

    def whole(self, name: str) -> npt.NDArray[Any]:
        """Returns a block, checked."""
        block = self.directory.block(name)
        return decode_block(name, block, self._read(block, 0, block.bytes))

    def raw(self, name: str, start: int, stop: int) -> bytes:
        """Returns the bytes of rows start to stop. Slices of a block carry no checksum; the store's own covers them."""
        block = self.directory.block(name)
        row = int(np.prod(block.shape[1:], dtype=np.int64)) * np.dtype(block.dtype).itemsize
        return self._read(block, start * row, stop * row)

    def _read(self, block: Block, start: int, stop: int) -> bytes:
        if stop <= start:
            return b""
        return self._store.get_ranges(self._key, [ByteRange(block.offset + start, block.offset + stop)])[0]


def _offsets(lengths: Sequence[Int64Array]) -> Int64Array:
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)


def _map(path: Path, dtype: type, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty((0, *shape[1:]), dtype)
    return np.memmap(path, dtype, mode="r").reshape(shape)
