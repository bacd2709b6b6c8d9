"""A shard of a few rows, written by the format's own writer, with a place to lie; and a reader of all in it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from shardlake.contracts.shard import LeafAnswer, LeafSearch, MatchClause, MatchSource
from shardlake.core.fast_scan import pack
from shardlake.core.ivf_pq import Codebook, encode
from shardlake.core.vectors import pad, padded_dimension, quantize_rows
from shardlake.deadline import Deadline
from shardlake.engine.shard import OpenShard, open_shard
from shardlake.errors import FormatError
from shardlake.format.attributes import AttributeWriter
from shardlake.format.container import ContainerWriter
from shardlake.format.shard import SHARD_KIND, ListBlock, ListHead, ShardSpace, ShardWriter
from shardlake.format.terms import TermBatch, TermWriter, term_key
from shardlake.query.columns import build_column
from shardlake.types import AttributeSpec, AttributeType, IndexType, Metric
from tests.leaf_searches import leaf_search

Array = npt.NDArray[Any]
Tamper = Callable[[str, Array], Array]
ROWS = 10
CODED, FLAT = 3, 2  # dimensions of the two spaces
GROUP_ROWS = 2  # so that lists of a few rows have several groups, the last one shorter
LIST_OF_ROW = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, -1])  # the last row has no vector in the primary space
FLAT_LIST = np.array([0, -1, 0, 0, -1, 0, 0, 0, 0, 0], np.int32)
ATTRIBUTES = (
    AttributeSpec(name="bool", type=AttributeType.BOOL),
    AttributeSpec(name="datetime", type=AttributeType.DATETIME),
    AttributeSpec(name="float", type=AttributeType.FLOAT),
    AttributeSpec(name="geo", type=AttributeType.GEO),
    AttributeSpec(name="int", type=AttributeType.INT),
    AttributeSpec(name="keyword", type=AttributeType.KEYWORD),
    AttributeSpec(name="tags", type=AttributeType.KEYWORD, multi=True),
    AttributeSpec(name="text", type=AttributeType.TEXT),
)


class _Writer(ContainerWriter):
    def __init__(self, sink: io.BytesIO, kind: bytes, tamper: Tamper) -> None:
        super().__init__(sink, kind)
        self._tamper = tamper

    def add_array(self, name: str, array: Array) -> None:
        super().add_array(name, self._tamper(name, array))


def item(row: int) -> dict[str, Any]:
    """Returns the item of a row; every attribute is missing somewhere."""
    values = {
        "bool": row % 2 == 0,
        "datetime": f"2026-01-0{1 + row % 9}T00:00:00Z",
        "float": row / 4,
        "geo": [9.0 * row, 40.0 * row - 180.0],
        "int": row - 3,
        "keyword": "abcé"[row % 4],
        "tags": ["x", "y", "z"][: row % 4],
        "text": f"row {row}",
    }
    return {"id": f"id-{(7 * row) % ROWS}", "attributes": {k: v for i, (k, v) in enumerate(values.items()) if i != row}}


def _rows(seed: int, count: int, dimension: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def write(
    tamper: Tamper = lambda name, array: array,
    meta: Callable[[dict[str, Any]], object] = lambda meta: meta,
    *,
    centroids_in_lists: bool = True,
) -> tuple[bytes, int]:
    """Returns the file's bytes and where its tail begins; lists that lack their centroids are laid out as of old."""
    sink = io.BytesIO()
    container = _Writer(sink, SHARD_KIND, tamper)
    writer = (ShardWriter if centroids_in_lists else _OldWriter)(container)
    coded_space, flat_space = spaces(GROUP_ROWS if centroids_in_lists else 0)
    centroids, codewords = _rows(1, 2, CODED), _rows(2, 2 * 16, 2).reshape(2, 16, 2)
    _write_coded(writer, coded_space, centroids, codewords)
    flat = np.flatnonzero(FLAT_LIST == 0)
    head = ListHead(rows=flat.astype(np.uint32), packed=np.empty(0, np.uint8))
    scales, refine = np.empty(0, np.float32), np.empty((0, FLAT), np.int8)
    writer.add_list(flat_space, ListBlock(head=head, scales=scales, refine=refine))
    writer.add_exact(flat_space, _rows(4, len(flat), FLAT))
    writer.add_array("row_lists/flat", FLAT_LIST)
    items = [item(row) for row in range(ROWS)]
    attributes = AttributeWriter(container, ROWS)
    for spec in ATTRIBUTES:
        attributes.add(spec, build_column(spec, [one["attributes"].get(spec.name) for one in items]))
    ids = [one["id"].encode() for one in items]
    writer.add_array("id_rank", np.argsort(np.argsort(np.array(ids))).astype(np.uint32))
    for first, stop in ((0, 6), (6, ROWS)):
        writer.add_items(first, ids[first:stop], [orjson.dumps(one) for one in items[first:stop]])
    writer.add_array("centroids/coded", centroids)
    writer.add_array("centroids/flat", _rows(5, 1, FLAT))
    terms = _write_terms(container, [one["attributes"].get("text", "") for one in items])
    offset = writer.begin_tail(["coded", "flat"])
    writer.add_array("codewords/coded", codewords)
    attributes.add_tail()
    terms.add_to_tail()
    container.finish(meta(_meta(coded_space.group_rows)))  # type: ignore[arg-type]  # a lie may be anything
    return sink.getvalue(), offset


def _write_terms(container: ContainerWriter, texts: Sequence[str]) -> TermWriter:
    words = [text.split() for text in texts]
    terms = sorted({word for text in words for word in text})
    places = [[(r, [p for p, w in enumerate(text) if w == term]) for r, text in enumerate(words)] for term in terms]
    there = [[(row, positions) for row, positions in of_term if positions] for of_term in places]
    batch = TermBatch(
        keys=[term_key(0, term) for term in terms],
        counts=np.array([len(of_term) for of_term in there]),
        occurrences=np.array([sum(len(positions) for _, positions in of_term) for of_term in there]),
        rows=np.array([row for of_term in there for row, _ in of_term]),
        frequencies=np.array([len(positions) for of_term in there for _, positions in of_term]),
        lengths=np.array([len(words[row]) for of_term in there for row, _ in of_term]),
        positions=np.array([position for of_term in there for _, positions in of_term for position in positions]),
    )
    writer = TermWriter(container)
    writer.add(batch)
    writer.flush()
    return writer


class _OldWriter(ShardWriter):
    """Lays lists out as version 1 did: rows that cannot be read alone, and no centroids."""

    def add_list(self, space: ShardSpace, block: ListBlock) -> None:
        parts = (block.head.rows, block.scales, block.head.packed, block.refine)
        data = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        self._lists.setdefault(space.name, []).append(self._writer.append(data))
        self._rows.setdefault(space.name, []).append(len(block.head.rows))

    def add_exact(self, space: ShardSpace, vectors: npt.NDArray[np.float32]) -> None:
        self._exact.setdefault(space.name, []).append(self._writer.append(vectors.tobytes()))


def spaces(group_rows: int = GROUP_ROWS) -> tuple[ShardSpace, ShardSpace]:
    """Returns what the shard says of its two spaces."""
    both = {"group_rows": group_rows}
    return (
        ShardSpace(
            name="coded", dimension=CODED, metric=Metric.L2, index=IndexType.IVF_PQ, lists=2, code_bytes=1, **both
        ),
        ShardSpace(name="flat", dimension=FLAT, metric=Metric.DOT, index=IndexType.FLAT, lists=1, code_bytes=0, **both),
    )


def _meta(group_rows: int = GROUP_ROWS) -> dict[str, Any]:
    described = [{name: getattr(one, name) for name in ShardSpace.__slots__} for one in spaces(group_rows)]
    return {
        "rows": ROWS,
        "spaces": described,
        "attributes": [{"name": a.name, "type": a.type, "multi": a.multi} for a in ATTRIBUTES],
    }


def _write_coded(writer: ShardWriter, space: ShardSpace, centroids: Array, codewords: Array) -> None:
    padded = padded_dimension(CODED)
    book = Codebook(centroids=pad(centroids, padded), codewords=codewords, metric=Metric.L2)
    vectors = _rows(3, ROWS, CODED)
    members = [np.flatnonzero(number == LIST_OF_ROW) for number in (0, 1)]
    for number, rows in enumerate(members):
        refine, scales = quantize_rows(vectors[rows])
        codes = encode(pad(vectors[rows], padded), np.full(len(rows), number), book)
        head = ListHead(rows=rows.astype(np.uint32), packed=pack(codes), centroid=centroids[number])
        writer.add_list(space, ListBlock(head=head, scales=scales, refine=refine))
    for rows in members:
        writer.add_exact(space, vectors[rows])


def opened(data: bytes, tail_offset: int) -> OpenShard:
    """Opens a shard held in memory."""

    def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        if any(not 0 <= start <= stop <= len(data) for start, stop in spans):
            raise FormatError("a range lies beyond the end of the object")  # as the store's port says
        return [data[start:stop] for start, stop in spans]

    return open_shard(data[tail_offset:], len(data), read)


FILTERS: tuple[list[Any], ...] = (
    ["eq", "bool", True],
    ["gt", "datetime", 1_767_400_000_000_000],
    ["lt", "float", 1.5],
    ["in", "int", [-3, 0, 4]],
    ["gte", "keyword", "b"],
    ["not", ["eq", "tags", "y"]],
    ["exists", "text"],
)


# What a shard of format version 1 cannot be asked.
PLACES: tuple[list[Any], ...] = (["near", "geo", 9.0, -140.0, 10.0], ["box", "geo", 40.0, -60.0, 70.0, 90.0])
ALL = ["or", *FILTERS, *PLACES]


def searches(filters: Sequence[list[Any]] = (ALL,)) -> list[LeafSearch]:
    """Returns searches that together read every byte which any search reads."""
    coded, flat = _rows(6, 1, CODED)[0], _rows(7, 1, FLAT)[0]
    return [
        leaf_search(space="coded", query=coded, k=4, lists=(1, 0), candidates=8, vectors=True),
        leaf_search(space="coded", query=coded, k=ROWS, exact=True),
        leaf_search(space="flat", query=flat, k=3, vectors=True),
        *(leaf_search(space="coded", query=coded, k=3, filter=node) for node in filters),
        leaf_search(k=ROWS, filter=["not", FILTERS[0]]),
    ]


def ranking() -> LeafSearch:
    """Returns a search whose lists the shard ranks itself: since version 2 only such ones read all centroids."""
    return leaf_search(space="coded", query=_rows(6, 1, CODED)[0], k=2, nprobe=1, candidates=2)


def matching() -> LeafSearch:
    """Returns a search by words, which shards have since version 2."""
    terms = ("row", "2", "5")
    clause = MatchClause(attribute="text", terms=terms, phrases=(("row", "2"),), docs=9, mean_length=2.0, df=(9, 1, 1))
    return LeafSearch(match=MatchSource(clauses=(clause,), bound=5.0), k=3)


def everything(
    data: bytes,
    tail_offset: int,
    filters: Sequence[list[Any]] = (ALL,),
    more: Sequence[LeafSearch] = (),
) -> list[Any]:
    """Returns what all searches of a shard answer, as plain values. Raises what they raise."""
    shard = opened(data, tail_offset)
    return [plain(shard.search(search)) for search in [*searches(filters), *more]]


def plain(answer: LeafAnswer) -> list[Any]:
    """Returns an answer's hits as values that can be compared and written as JSON."""
    return [
        [
            hit.id,
            round(hit.score, 5),
            hit.payload.decode("utf-8", "replace"),
            None if not hit.vectors else next(np.round(vector, 5).tolist() for vector in hit.vectors.values()),
        ]
        for hit in answer.hits
    ]
