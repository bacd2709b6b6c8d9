"""What every stage of a build is given, and the artefacts by which a restarted build finds what stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from shardlake.catalog.base import Catalog
from shardlake.errors import Conflict, NotFound, Unavailable
from shardlake.format import locations
from shardlake.format.container import Container, ContainerWriter
from shardlake.limits import MAX_BLOCK_BYTES
from shardlake.store.base import ObjectStore
from shardlake.types import CollectionSchema, Float32Array

ARTEFACT_KIND = b"ARTE"

Report = Callable[[str, float], None]
"""Takes the stage and the progress of the whole build in [0, 1]."""

EncodeTexts = Callable[[str, list[str]], Float32Array]
"""Takes an encoder's name and texts; returns (n, dimension) float32. Raises what the encode function fails with."""


class _Pieces:
    """What was written, not copied until it is joined. Requires: what is written does not change before."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []

    def write(self, data: bytes | memoryview, /) -> int:
        self.pieces.append(data)
        return len(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """One build.

    Attributes:
        part_rows: rows that a stage holds at a time; memory is proportional to it.
        scratch: a local folder that the build may fill with one shard and its parts.
        threads: that the build may keep busy; with several, a stage does two things beside each other.
        seed: of everything random.
        encode_texts: makes queries of texts, as a search would; None where a build has no encoder to ask.
        clock: returns the time as RFC 3339, UTC.
    """

    store: ObjectStore
    catalog: Catalog
    collection: str
    uid: str
    body: str
    schema: CollectionSchema
    build_id: str
    part_rows: int
    scratch: Path
    report: Report
    clock: Callable[[], str]
    threads: int = 1
    seed: int = 0
    encode_texts: EncodeTexts | None = None

    def artefact_key(self, name: str) -> str:
        """Returns the key of an artefact of this build."""
        return locations.build_artefact(self.uid, self.build_id, name)

    def load(self, name: str) -> Container | None:
        """Returns an artefact, or None where the stage has not made it."""
        try:
            data = self.store.get(self.artefact_key(name), max_bytes=MAX_BLOCK_BYTES)
        except NotFound:
            return None
        return Container(data, ARTEFACT_KIND)

    def standing(self, name: str) -> Container:
        """Returns an artefact that an earlier stage has made.

        Raises:
            Unavailable: when it is not there, since another run has finished: run this one again, and it finds the
                commit.
        """
        stored = self.load(name)
        if stored is None:
            raise Unavailable("another run of this build has finished meanwhile", artefact=name)
        return stored

    def has(self, name: str) -> bool:
        """Returns whether an artefact stands."""
        try:
            self.store.head(self.artefact_key(name))
        except NotFound:
            return False
        return True

    def save(self, name: str, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> Container:
        """Writes an artefact and returns it; where another run of this build was faster, returns what that one made.

        Raises:
            Unavailable: when the other run has even finished: run this one again, and it finds the commit.
        """
        sink = _Pieces()
        writer = ContainerWriter(sink, ARTEFACT_KIND)
        for block, array in arrays.items():
            writer.add_array(block, array)
        writer.finish(meta)
        data = b"".join(sink.pieces)
        try:
            self.store.put_if_absent(self.artefact_key(name), data)
        except Conflict:
            return self.standing(name)
        return Container(data, ARTEFACT_KIND)
