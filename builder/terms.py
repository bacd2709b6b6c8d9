"""The words of a build: the terms of each shard as it is written, then, over all shards, how many texts have each.

Of each shard one artefact remains, its terms with their numbers of rows in chunks; merging the shards reads one chunk
of each at a time. Memory: while a shard is written, a run of `builder.inversion` and the artefact, some 16 bytes a
term of the shard; while shards are merged, CHUNK_TERMS terms a shard, about 1 MB each.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from builder.context import ARTEFACT_KIND, BuildContext
from builder.gather import ShardRows
from builder.inversion import Inverter
from builder.ranged import RangedFile
from shardlake.format import locations
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.manifest import ManifestTerms
from shardlake.format.term_stats import TERM_KIND, StatisticsWriter, TextTotals
from shardlake.format.terms import TermWriter, text_ordinals
from shardlake.types import AttributeType, CollectionSchema, Int64Array

NAME = "term-statistics"
CHUNK_TERMS = 16_384


def terms_name(shard_id: int) -> str:
    """Returns the artefact's name of a shard's terms."""
    return f"terms-{shard_id:05d}"


def write_terms(
    context: BuildContext, writer: ContainerWriter, shard_id: int, rows: ShardRows, order: Int64Array
) -> TermWriter | None:
    """Writes the terms of a shard, and the artefact that the statistics are made of.

    Args:
        writer: of the shard; the terms go where it stands.
        rows: as they arrived. order: which of them each row of the shard is.

    Returns:
        What is to be added to the tail; None where no attribute is a text.
    """
    ordinals = text_ordinals(context.schema.attributes)
    if not ordinals:
        return None
    languages = [spec.language for spec in context.schema.attributes if spec.name in ordinals]
    inverter = Inverter(context.scratch, languages, len(order))
    _take_in(inverter, ordinals, rows, order)
    terms, chunks = TermWriter(writer), _Chunks()
    for batch in inverter.terms():
        terms.add(batch)
        chunks.add(batch.keys, batch.counts.tolist())
    terms.flush()
    totals = [
        {"name": name, "docs": int(np.count_nonzero(lengths)), "tokens": int(lengths.sum(dtype=np.int64))}
        for name, lengths in zip(ordinals, inverter.lengths, strict=True)
    ]
    context.save(terms_name(shard_id), chunks.finish(), {"chunks": chunks.count, "attributes": totals})
    return terms


def _take_in(inverter: Inverter, ordinals: Mapping[str, int], rows: ShardRows, order: Int64Array) -> None:
    for row, arrived in enumerate(order.tolist()):
        values = orjson.loads(rows.payloads[arrived])["attributes"]
        for name, ordinal in ordinals.items():
            if text := values.get(name):
                inverter.add(row, ordinal, text)


class _Chunks:
    """Terms and their numbers of rows, as blocks of an artefact."""

    def __init__(self) -> None:
        self.count = 0
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._keys: list[bytes] = []
        self._df: list[int] = []

    def add(self, keys: Sequence[bytes], counts: Sequence[int]) -> None:
        self._keys.extend(keys)
        self._df.extend(counts)
        while len(self._keys) >= CHUNK_TERMS:
            self._close()

    def finish(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the blocks."""
        self._close()
        return self._arrays

    def _close(self) -> None:
        if self._keys:
            keys = self._keys[:CHUNK_TERMS]
            self._arrays[f"keys/{self.count}"] = np.frombuffer(b"".join(keys), np.uint8)
            self._arrays[f"ends/{self.count}"] = np.cumsum([0, *map(len, keys)]).astype(np.uint32)
            self._arrays[f"df/{self.count}"] = np.asarray(self._df[:CHUNK_TERMS], np.uint32)
            self.count += 1
        del self._keys[:CHUNK_TERMS], self._df[:CHUNK_TERMS]


def merge(context: BuildContext, version: str, shards: int) -> ManifestTerms | None:
    """Writes the statistics of all shards' terms, where they do not stand yet; None where no attribute is a text."""
    if not text_ordinals(context.schema.attributes):
        return None
    context.report("terms", 0.8)
    stored = context.load(NAME) or _merge(context, version, shards)
    return ManifestTerms(**stored.meta)


def _merge(context: BuildContext, version: str, shards: int) -> Container:
    keys = [context.artefact_key(terms_name(shard_id)) for shard_id in range(shards)]
    files = [RangedFile(context.store, key, ARTEFACT_KIND) for key in keys]
    key, path = locations.term_statistics(context.uid, version), context.scratch / "terms.bin"
    with path.open("wb") as sink:
        writer = StatisticsWriter(ContainerWriter(sink, TERM_KIND))
        for term, parts in groupby(heapq.merge(*map(_read, files)), key=itemgetter(0)):
            writer.add(term, sum(df for _, df in parts))
        tail_offset, size = writer.finish(_totals(context.schema, files))
    context.store.upload_file(key, path)
    return context.save(NAME, {}, {"key": key, "bytes": size, "tail_offset": tail_offset})


def _read(file: RangedFile) -> Iterator[tuple[bytes, int]]:
    for number in range(file.meta["chunks"]):
        keys, ends, df = file.arrays(f"keys/{number}", f"ends/{number}", f"df/{number}")
        text = keys.tobytes()
        yield from zip((text[a:b] for a, b in pairwise(ends.tolist())), df.tolist(), strict=True)


def _totals(schema: CollectionSchema, files: list[RangedFile]) -> list[TextTotals]:
    stated = [{each["name"]: each for each in file.meta["attributes"]} for file in files]
    return [
        TextTotals(
            name=spec.name,
            docs=sum(shard[spec.name]["docs"] for shard in stated),
            tokens=sum(shard[spec.name]["tokens"] for shard in stated),
        )
        for spec in schema.attributes
        if spec.type is AttributeType.TEXT
    ]
