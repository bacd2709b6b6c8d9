"""The routing file of a space: what the router reads once a version and keeps. A container of kind ROUT.

It says which lists are near, and where each list lies in its shard, so that a leaf that holds nothing reads its tail
and its lists at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.core.vectors import quantize_rows
from shardlake.errors import FormatError
from shardlake.format.container import Container, ContainerWriter, expect
from shardlake.types import Float32Array

ROUTING_KIND = b"ROUT"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListExtents:
    """Where the list blocks of a space lie: shard after shard, the lists of each in order.

    Attributes:
        offsets: (n,) uint64 within the shard. bytes: (n,) uint32. checksums: (n,) uint64, xxh3-64. rows: (n,) uint32.
    """

    offsets: npt.NDArray[np.uint64]
    bytes: npt.NDArray[np.uint32]
    checksums: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.uint32]

    @classmethod
    def of_shards(cls, shards: Sequence[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]]) -> ListExtents:
        """Returns those of shards, each given as its tables `lists` (lists, 3) and `list_rows` (lists,)."""
        tables = np.concatenate([np.empty((0, 3), np.uint64), *(table for table, _ in shards)])
        return cls(
            offsets=tables[:, 0],
            bytes=tables[:, 1].astype(np.uint32),
            checksums=tables[:, 2],
            rows=np.concatenate([np.empty(0, np.uint32), *(rows for _, rows in shards)]),
        )

    def row(self, number: int) -> tuple[int, int, int]:
        """Returns offset, bytes and checksum of one list."""
        return int(self.offsets[number]), int(self.bytes[number]), int(self.checksums[number])


_EXTENT_BLOCKS: tuple[tuple[str, type[np.unsignedinteger[Any]]], ...] = (
    ("offsets", np.uint64),
    ("bytes", np.uint32),
    ("checksums", np.uint64),
    ("rows", np.uint32),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routing:
    """What the router needs of one space.

    Attributes:
        centroids: (lists, d) float32, over all shards: what 8 bits a component tell of them.
        extents: of the lists of all shards; None in a file of version 1.
    """

    centroids: Float32Array
    extents: ListExtents | None = None


def encode_routing(routing: Routing) -> bytes:
    """Returns a routing file.

    Centroids are kept as 8-bit rows around their mean, which the offset of all vectors cannot blur: a quarter of the
    bytes, and on 200,000 rows of the seeded corpus the lists probed hold the neighbours as often as those of exact
    centroids do, to 0.001 (docs/format.md).
    """
    sink = BytesIO()
    writer = ContainerWriter(sink, ROUTING_KIND)
    centroids = np.ascontiguousarray(routing.centroids, np.float32)
    centre = centroids.sum(axis=0, dtype=np.float64).astype(np.float32) / np.float32(max(len(centroids), 1))
    codes, scales = quantize_rows(centroids - centre)
    writer.add_array("centre", centre)
    writer.add_array("codes", codes)
    writer.add_array("scales", scales)
    if routing.extents is not None:
        for name, _ in _EXTENT_BLOCKS:
            writer.add_array(f"lists/{name}", getattr(routing.extents, name))
    writer.finish({"lists": len(centroids)})
    return sink.getvalue()


def decode_routing(data: bytes) -> Routing:
    """Returns what a routing file says, of this version or an earlier one. Raises FormatError."""
    file = Container(data, ROUTING_KIND)
    if "centroids" in file.directory.blocks:  # version 1
        centroids = file.array("centroids")
        if centroids.ndim != 2 or centroids.dtype != np.float32:
            raise FormatError("the centroids of a routing file have the wrong shape")
        return Routing(centroids=centroids)
    codes = expect("codes", file.array("codes"), np.int8, (None, None))
    scales = expect("scales", file.array("scales"), np.float32, (len(codes),))
    centre = expect("centre", file.array("centre"), np.float32, (codes.shape[1],))
    centroids = codes * scales[:, None] + centre
    if not np.isfinite(centroids).all():
        raise FormatError("the centroids of a routing file are no numbers")
    return Routing(centroids=centroids, extents=_extents(file))


def _extents(file: Container) -> ListExtents | None:
    if "lists/offsets" not in file.directory.blocks:
        return None
    count = file.directory.block("lists/offsets").shape[0]
    arrays = {
        name: expect(f"lists/{name}", file.array(f"lists/{name}"), dtype, (count,)) for name, dtype in _EXTENT_BLOCKS
    }
    return ListExtents(**arrays)
