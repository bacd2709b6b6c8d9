"""A delta: what a build of a segment's live items would write, and what a search of it finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import xxhash

from builder.delta import Delta, reread, write_delta
from shardlake.contracts.shard import LeafAnswer, LeafSearch, MatchClause, MatchSource, VectorSource
from shardlake.core.vectors import prepare, score_exact
from shardlake.engine.shard import OpenShard
from shardlake.errors import FormatError
from shardlake.format.container import FOOTER_BYTES
from shardlake.format.segment import SegmentItem
from shardlake.query.filter import parse
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, IndexSpec, IndexType, Metric
from tests import tiny_shard
from tests.flow import shaped_lake
from tests.lake import Lake, item, items_of, schema, space, unit_rows
from tests.leaf_searches import leaf_search
from tests.property import filter_oracle, random_filters
from tests.unit.format.lies import directory_of, lying_directories, what_breaks

EVERYTHING = LeafSearch(k=100_000)
INDEXES = {
    "pq": (IndexSpec(type=IndexType.IVF_PQ), Metric.COSINE),
    "rabitq": (IndexSpec(type=IndexType.IVF_RABITQ, bits=2), Metric.L2),
    "lists": (IndexSpec(type=IndexType.IVF_FLAT), Metric.DOT),
    "hash": (IndexSpec(type=IndexType.BINARY_MIH, bits=64), Metric.COSINE),
    "flat": (IndexSpec(type=IndexType.FLAT), Metric.L2),
}
SPACES = tuple(space(5, name, index=index, metric=metric) for name, (index, metric) in INDEXES.items())
# A space that is computed from another has the vectors of that one.
COMPUTED = space(5, "computed", index=IndexSpec(type=IndexType.BINARY_MIH, bits=64), source="pq")
TEXTS = {"title": AttributeType.TEXT, "body": AttributeType.TEXT}


def _written(items: list[SegmentItem], target: CollectionSchema) -> Delta:
    made = write_delta(items, target)
    assert made is not None
    return made


def _opened(items: list[SegmentItem], target: CollectionSchema) -> OpenShard:
    made = _written(items, target)
    return tiny_shard.opened(made.data, made.footer_offset)


def _some(rows: int = 40) -> list[SegmentItem]:
    """Returns items with a vector in each space or in some, whose ids come neither ascending nor once alone."""
    rng = np.random.default_rng(rows)
    drawn = 3 * rng.standard_normal((rows, len(SPACES), 5)).astype(np.float32)
    names = [one.name for one in SPACES]
    items = []
    for row, vectors in enumerate(drawn):
        given = {name: vector for name, vector in zip(names, vectors, strict=True) if rng.random() < 0.7}
        attributes = dict(shaped_lake.values()[row]) | ({"body": "old red boots"} if row % 4 else {})
        items.append(item(f"i{row * 7 % 31}", given, **attributes))
    return items


# What it is -------------------------------------------------------------------------------------------

ALL_TYPES = schema(*SPACES, attributes=shaped_lake.ATTRIBUTES | {"body": AttributeType.TEXT})
SHAPES: dict[str, tuple[CollectionSchema, list[SegmentItem]]] = {
    "all types": (ALL_TYPES, _some()),
    "one item": (ALL_TYPES, _some(1)),
    "no attributes": (schema(*SPACES), _some()),
    "no texts": (schema(SPACES[0], attributes={"brand": AttributeType.KEYWORD}), _some()),
    "no vectors": (ALL_TYPES, [item("b", title="red"), item("a")]),
    "none in the primary space": (
        schema(space(2), space(3, "w")),
        [item("b", {"w": [1, 2, 3]}), item("a"), item("c", {"w": [0, 0, 0]})],
    ),
    "some in the primary space": (schema(space(2)), [item("b"), item("a", {"v": [1, 2]}), item("c"), item("")]),
    "many items in chunks": (
        schema(space(2), attributes={"number": AttributeType.INT}),
        [item(f"{row % 601:05d}", {"v": [row, 1]}, number=row, pad="x" * 100) for row in range(700)],
    ),
}


def _but_for_centroids(data: bytes) -> tuple[bytes, Any]:
    """Returns the bytes before the directory, and the directory: a build finds centroids by k-means."""
    directory = directory_of(data)
    body = bytearray(data[: int.from_bytes(data[-FOOTER_BYTES + 16 :][:8], "little")])
    for name, (offset, size, *_) in directory["blocks"].items():
        if name.startswith("centroids/"):
            body[offset : offset + size] = bytes(size)
            directory["blocks"][name][2] = ""
    return bytes(body), directory


@pytest.mark.parametrize("shape", SHAPES)
def test_a_delta_is_what_a_build_of_its_items_writes_but_for_centroids(shape: str, tmp_path: Path) -> None:
    target, items = SHAPES[shape]
    lake = Lake(target, tmp_path).built(items)
    (row,) = lake.shards

    made = _written(items, target)

    assert _but_for_centroids(made.data) == _but_for_centroids(lake.store.objects[row.key])
    assert (made.rows, made.footer_offset, len(made.data)) == (row.rows, row.footer_offset, row.bytes)
    assert orjson.dumps([made.zone_maps, made.summaries]) == orjson.dumps([row.zone_maps, row.summaries])
    assert made.checksum == xxhash.xxh3_64_hexdigest(made.data)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_items_give_the_same_bytes(shape: str) -> None:
    target, items = SHAPES[shape]
    again = [replace(one, vectors=dict(reversed(one.vectors.items()))) for one in items]

    assert _written(items, target) == _written(again, target)


def test_of_each_id_the_last_item_is_there_and_none_that_was_deleted_last() -> None:
    gone = {"payload": b"", "vectors": {}}
    items = [
        item("twice", {"v": [1, 0]}, n=1),
        item("deleted", {"v": [1, 0]}, n=2),
        SegmentItem(id="back", **gone),
        item("twice", {"v": [0, 1]}, n=3),
        SegmentItem(id="deleted", **gone),
        item("back", n=4),
        SegmentItem(id="never there", **gone),
    ]

    found = _opened(items, schema(space(2), attributes={"n": AttributeType.INT})).search(
        replace(EVERYTHING, include_vectors=("v",))
    )

    assert [(hit.id, orjson.loads(hit.payload)["attributes"]["n"]) for hit in found.hits] == [("back", 4), ("twice", 3)]
    assert [{name: v.tolist() for name, v in (hit.vectors or {}).items()} for hit in found.hits] == [{}, {"v": [0, 1]}]


def test_a_segment_in_which_nothing_lives_has_no_delta() -> None:
    gone = SegmentItem(id="a", payload=b"", vectors={})

    assert write_delta([], ALL_TYPES) is None
    assert write_delta([item("a", title="red"), gone], ALL_TYPES) is None


# What is found in it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*INDEXES, "computed"])
@pytest.mark.parametrize("stock", [None, 2])
def test_every_space_is_searched_exactly(name: str, stock: int | None) -> None:
    target = replace(ALL_TYPES, spaces=(*SPACES, COMPUTED))
    items = {one.id: one for one in _some(120)}
    spec = target.space(name)
    assert spec is not None
    stored = spec.source or name
    query = prepare(unit_rows(1, 5, 3), spec.metric)[0]
    there = [one for one in items.values() if stored in one.vectors]
    if stock is not None:
        there = [one for one in there if orjson.loads(one.payload)["attributes"].get("stock") == stock]
    scores = score_exact(query, prepare(np.stack([one.vectors[stored] for one in there]), spec.metric), spec.metric)
    expected = sorted(((-float(s), one.id) for s, one in zip(scores, there, strict=True)))[:7]

    # Told nothing of lists, or much of them, and of depths that a calibration of other shards has found.
    for asked in ({}, {"nprobe": 3, "candidates": 2}, {"exact": True}, {"depth": 50}):
        filter_ = None if stock is None else ["eq", "stock", stock]
        found = _opened(_some(120), target).search(leaf_search(name, query, k=7, filter=filter_, vectors=True, **asked))

        assert [hit.id for hit in found.hits] == [item_id for _, item_id in expected]
        np.testing.assert_allclose([hit.score for hit in found.hits], [-s for s, _ in expected], rtol=1e-6, atol=1e-6)
        for hit in found.hits:
            assert hit.vectors is not None
            own = prepare(items[hit.id].vectors[stored][None], spec.metric)[0]
            np.testing.assert_array_equal(hit.vectors[name], own)


@pytest.mark.parametrize("seed", range(4))
def test_a_filter_lets_pass_what_the_contract_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [random_filters.item(rng) for _ in range(60)]
    shard = _opened([item(f"{row:02d}", **one) for row, one in enumerate(values)], random_filters.SCHEMA)
    wrong = []
    for _ in range(150):
        raw = random_filters.tree(rng)
        if any(filter_oracle.is_close(raw, one) for one in values):
            continue
        node = orjson.loads(orjson.dumps(parse(raw, random_filters.SCHEMA)))
        expected = [
            f"{row:02d}" for row, one in enumerate(values) if filter_oracle.passes(raw, one, random_filters.SCHEMA)
        ]
        found = [hit.id for hit in shard.search(replace(EVERYTHING, filter=node)).hits]
        wrong += [] if found == expected else [(raw, found, expected)]

    assert wrong == []


VISUAL = VectorSource(space="visual", query=unit_rows(1, 8, 72)[0], exact=True, weight=2.0)
SEMANTIC = VectorSource(space="semantic", query=unit_rows(1, 4, 73)[0], exact=True)
MATCH = MatchSource(
    clauses=(
        MatchClause(
            attribute="title",
            terms=("red", "boot"),
            phrases=(("red", "boot"),),
            docs=1300,
            mean_length=3.0,
            df=(400, 380),
        ),
    ),
    bound=9.0,
)
FACETS = (
    ["brand", "keyword", None, False],
    ["price", "float", [0, 10, 50, 400], True],
    ["on_sale", "bool", None, False],
    ["stock", "int", None, True],
)
CHEAP = ["and", ["lt", "price", 40.0], ["not", ["eq", "brand", "acme"]]]
SEARCHES = {
    "by id": LeafSearch(k=9),
    "by id, the next page": LeafSearch(k=9, after=(0.0, "0008"), filter=CHEAP),
    "lookup": LeafSearch(ids=("0007", "none", "1299", "0000"), include_vectors=("visual", "semantic")),
    "vector": LeafSearch(vectors=(VISUAL,), k=20, include_vectors=("semantic",)),
    "vector without attributes": LeafSearch(vectors=(SEMANTIC,), k=5, attributes=False),
    "filter": LeafSearch(vectors=(VISUAL,), k=20, filter=CHEAP),
    "near": LeafSearch(vectors=(SEMANTIC,), k=20, filter=["near", "place", 10.0, 20.0, 4e6]),
    "since": LeafSearch(k=20, filter=["gte", "created", 1_780_000_000_000_000], facets=FACETS),
    "nothing passes": LeafSearch(vectors=(VISUAL,), filter=["lt", "price", -1.0], facets=FACETS),
    "match": LeafSearch(match=MATCH, k=30),
    "match, filter": LeafSearch(match=MATCH, k=30, filter=CHEAP, facets=FACETS),
    "facets": LeafSearch(vectors=(VISUAL,), k=3, facets=FACETS),
    "rank": LeafSearch(vectors=(VISUAL,), k=30, rank=["*", ["score"], ["log", ["value", "price"]]]),
    "group": LeafSearch(vectors=(SEMANTIC,), k=4, group_by=("brand", 3)),
    **{
        fusion: LeafSearch(vectors=(VISUAL, SEMANTIC), match=MATCH, k=12, fusion=fusion, filter=some)
        for fusion, some in (("mean", None), ("weighted", CHEAP), ("max", None), ("rrf", CHEAP))
    },
}


def _plain(answer: LeafAnswer) -> list[Any]:
    hits = [(hit.id, hit.payload, hit.group, sorted(hit.vectors or {})) for hit in answer.hits]
    return [hits, answer.facets]


def _by_id(answer: LeafAnswer) -> LeafAnswer:
    return replace(answer, hits=tuple(sorted(answer.hits, key=lambda hit: hit.id)))


def _numbers(answer: LeafAnswer) -> np.ndarray[Any, Any]:
    vectors = [v for hit in answer.hits for _, v in sorted((hit.vectors or {}).items())]
    scores = [[np.nan if s is None else s for s in (hit.score, *hit.scores)] for hit in answer.hits]
    return np.concatenate([np.empty(0), *vectors, *scores])


@pytest.mark.parametrize("name", SEARCHES)
def test_a_delta_answers_as_a_built_shard_of_the_same_items(name: str) -> None:
    lake = shaped_lake.one_shard()
    delta = _opened(shaped_lake.items(), lake.schema)

    found, expected = delta.search(SEARCHES[name]), lake.opened().search(SEARCHES[name])
    if name == "rrf":  # the router ranks: until then hits have no order
        found, expected = _by_id(found), _by_id(expected)

    assert _plain(found) == _plain(expected)
    # Its rows have other numbers, so products of matrices may add up in another order.
    np.testing.assert_allclose(_numbers(found), _numbers(expected), rtol=2e-6, atol=2e-6)
    assert found.hits or name == "nothing passes"


# What is wrong with it --------------------------------------------------------------------------------


def test_no_flipped_byte_of_a_delta_goes_unnoticed_where_it_is_read() -> None:
    target = schema(SPACES[0], COMPUTED, attributes={"title": AttributeType.TEXT, "brand": AttributeType.KEYWORD})
    made = _written(_some(3), target)
    query = prepare(unit_rows(1, 5, 3), Metric.COSINE)[0]
    clause = replace(MATCH.clauses[0], terms=("red", "old", "warm"), phrases=(), df=(1, 1, 1))
    searches = [
        leaf_search("pq", query, vectors=True),
        leaf_search("computed", query, filter=["gte", "brand", "b"]),
        LeafSearch(match=MatchSource(clauses=(clause,), bound=9.0)),
        LeafSearch(ids=("i0", "i7")),
        LeafSearch(facets=(["brand", "keyword", None, False],)),
    ]

    def answers(data: bytes) -> list[Any]:
        shard = tiny_shard.opened(data, made.footer_offset)
        return [[_plain(answer), _numbers(answer).tolist()] for answer in map(shard.search, searches)]

    expected = answers(made.data)
    silent = []
    for at in range(len(made.data)):
        try:
            flipped = answers(made.data[:at] + bytes([made.data[at] ^ 0xFF]) + made.data[at + 1 :])
            silent += [] if flipped == expected else [at]
        except FormatError:
            pass

    assert silent == []


# What another release wrote ---------------------------------------------------------------------------


def test_a_delta_that_was_laid_down_otherwise_is_known_by_its_own_bytes(tmp_path: Path) -> None:
    items = items_of(unit_rows(700, 4))  # enough for codes, which no delta has
    lake = Lake(schema(space(4), attributes={"number": AttributeType.INT}), tmp_path).built(items)
    (row,) = lake.shards
    made, other = _written(items, lake.schema), lake.store.objects[row.key]
    assert row.footer_offset != made.footer_offset

    found = reread(other, made)

    assert (found.data, found.footer_offset, found.checksum) == (other, row.footer_offset, row.checksum)
    assert (found.rows, found.zone_maps, found.summaries) == (made.rows, made.zone_maps, made.summaries)
    assert reread(made.data, made) == made


def test_what_is_no_delta_of_these_items_is_a_format_error() -> None:
    target = schema(space(2))
    made, more = _written([item("a")], target), _written([item("a"), item("b")], target)

    for data in (b"", made.data[:-1], more.data):
        with pytest.raises(FormatError):
            reread(data, made)
    assert what_breaks(lambda lied: reread(lied, made), lying_directories(made.data)) == []


def test_languages_are_those_of_the_schema() -> None:
    spec = AttributeSpec(name="title", type=AttributeType.TEXT, language="german")
    shard = _opened([item("a", title="Die Häuser")], replace(schema(space(2)), attributes=(spec,)))
    clause = MatchClause(attribute="title", terms=("haus",), phrases=(), docs=1, mean_length=2.0, df=(1,))

    assert [hit.id for hit in shard.search(LeafSearch(match=MatchSource(clauses=(clause,)))).hits] == ["a"]
