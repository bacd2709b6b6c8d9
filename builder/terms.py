"""The words of a build: the terms of each shard as it is written, then, over all shards, how many texts have each.

Of each shard one artefact remains, its terms with their numbers of rows in chunks; merging the shards reads one chunk
of each at a time. Memory: while a shard is written, a run of `builder.inversion` and the artefact, some 16 bytes a
term of the shard; while shards are merged, CHUNK_TERMS terms a shard, about 1 MB each.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from builder.context import ARTEFACT_KIND, BuildContext
from builder.inversion import Inverter
from builder.layout import ShardItems
from builder.ranged import RangedFile
from shardlake.format import locations
from shardlake.format.container import Container, ContainerWriter
from shardlake.format.manifest import ManifestTerms
from shardlake.format.term_stats import TERM_KIND, StatisticsWriter, TextTotals
from shardlake.format.terms import TermWriter, text_ordinals
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema

NAME = "term-statistics"
CHUNK_TERMS = 16_384


def terms_name(shard_id: int) -> str:
    """Returns the artefact's name of a shard's terms."""
    return f"terms-{shard_id:05d}"


class WrittenTerms(NamedTuple):
    """The terms of a shard: what is to be added to its tail, and the (rows,) words of each text of each attribute."""

    writer: TermWriter
    lengths: list[npt.NDArray[np.uint16]]


def write_terms(context: BuildContext, writer: ContainerWriter, shard_id: int, items: ShardItems) -> TermWriter | None:
    """Writes the terms of a shard, and the artefact that the statistics are made of.

    Args:
        writer: of the shard; the terms go where it stands.
        items: of the shard.

    Returns:
        What is to be added to the tail; None where no attribute is a text.
    """
    chunks = _Chunks()
    written = invert(writer, context.schema.attributes, items, context.scratch, chunks.add)
    if written is None:
        return None
    totals = [
        {"name": name, "docs": int(np.count_nonzero(lengths)), "tokens": int(lengths.sum(dtype=np.int64))}
        for name, lengths in zip(text_ordinals(context.schema.attributes), written.lengths, strict=True)
    ]
    context.save(terms_name(shard_id), chunks.finish(), {"chunks": chunks.count, "attributes": totals})
    return written.writer


def invert(
    writer: ContainerWriter,
    attributes: Sequence[AttributeSpec],
    items: ShardItems,
    scratch: Path,
    told: Callable[[Sequence[bytes], list[int]], None] = lambda keys, counts: None,
) -> WrittenTerms | None:
    """Writes the terms of a shard; None where no attribute is a text.

    Args:
        writer: of the shard; the terms go where it stands.
        attributes: of the schema. items: of the shard. scratch: a folder for files.
        told: called with some terms, ascending, and how many rows have each.
    """
    ordinals = text_ordinals(attributes)
    if not ordinals:
        return None
    languages = [spec.language for spec in attributes if spec.name in ordinals]
    inverter = Inverter(scratch, languages, len(items.order))
    _take_in(inverter, ordinals, items)
    terms = TermWriter(writer)
    for batch in inverter.terms():
        terms.add(batch)
        told(batch.keys, batch.counts.tolist())
    terms.flush()
    return WrittenTerms(terms, inverter.lengths)


def _take_in(inverter: Inverter, ordinals: Mapping[str, int], items: ShardItems) -> None:
    for row, arrived in enumerate(items.order.tolist()):
        values = orjson.loads(items.payloads[arrived])["attributes"]
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
