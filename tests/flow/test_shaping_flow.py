"""Shaping through the router and the leaves: the same in one shard and in many, and what plain arithmetic says."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake import limits
from shardlake.contracts.answers import SearchAnswer
from shardlake.query.laws import broken
from shardlake.types import AttributeType
from tests.flow.shaped_lake import QUERY, ROWS, SEMANTIC, VISUAL, items, many_shards, one_shard, pages, values
from tests.lake import Lake, item, schema, space, unit_rows

VISUAL_QUERY = {"vector": {"visual": QUERY["visual"]}}
BOTH = {"vector": QUERY}
MATCH = {"title": "red leather boots"}
FILTER = {"on_sale": True, "price": {"$gt": 10}}
SCORES = VISUAL @ np.array(QUERY["visual"], np.float32)

SHAPES: list[dict[str, Any]] = [
    {"query": VISUAL_QUERY},
    {"query": BOTH},
    {"query": BOTH, "fusion": "max"},
    {"query": {**BOTH, "space_weights": {"visual": 3, "semantic": 1}}, "fusion": "weighted"},
    {"query": BOTH, "fusion": "rrf", "k": 30},
    {"match": MATCH},
    {"match": {"title": 'warm "red leather"'}},
    {"match": MATCH, "query": VISUAL_QUERY},
    {"match": MATCH, "query": BOTH, "fusion": "rrf"},
    {"match": MATCH, "query": {**VISUAL_QUERY, "weights": {"match": 0.3, "vector": 0.7}}, "fusion": "weighted"},
    {"query": VISUAL_QUERY, "rank": "score + 0.1 * log(1 + stock)"},
    {"query": BOTH, "match": MATCH, "rank": "score * decay_gauss(price, 40, 10) + exists(brand)"},
    {"rank": "-price"},
    {"rank": 'stock + is(brand, "acme")', "k": 100},
    {"query": VISUAL_QUERY, "group_by": {"attribute": "brand"}},
    {"query": VISUAL_QUERY, "group_by": {"attribute": "brand", "size": 3}, "k": 3},
    {"query": VISUAL_QUERY, "group_by": {"attribute": "stock", "size": 20}, "k": 2},
    {"match": MATCH, "group_by": {"attribute": "on_sale", "size": 7}, "rank": "price"},
    {"group_by": {"attribute": "brand", "size": 2}},
    {"query": {"like": ["0001", "0002"], "unlike": ["0003"]}},
    {"query": {"unlike": ["0003"]}, "group_by": {"attribute": "brand", "size": 2}},
    {"query": {"like": ["0001"], "spaces": ["visual", "semantic"], **BOTH}},
    {"query": {"like": ["0010"]}, "match": MATCH, "rank": "score + stock / 10"},
    {"query": {"text": "boots"}},
    {"query": VISUAL_QUERY, "diversity": 0.5},
    {"query": BOTH, "match": MATCH, "diversity": 0.9, "k": 25},
    {"match": MATCH, "diversity": 0.3},
]
FACETS: list[Any] = [
    "brand",
    "on_sale",
    {"attribute": "stock", "stats": True},
    {"attribute": "price", "bins": 7, "stats": True},
    "created",
]


def _name(shape: dict[str, Any]) -> str:
    parts = []
    for key, value in shape.items():
        inner = "-".join(value) if key == "query" else str(value.get("size", "")) if key == "group_by" else ""
        parts.append(f"{key}-{inner or (value if key in {'fusion', 'rank', 'k'} else '')}".strip("-"))
    return " ".join(parts) or "nothing"


def _ids(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


@pytest.mark.parametrize("filtered", [False, True], ids=["all", "filtered"])
@pytest.mark.parametrize("shape", SHAPES, ids=_name)
def test_many_shards_answer_what_one_answers(shape: dict[str, Any], filtered: bool) -> None:
    body = {"recall": 1, "facets": FACETS, **shape, **({"filter": FILTER} if filtered else {})}

    one, many = one_shard().search(**body), many_shards().search(**body)

    assert one["hits"], "a law of nothing says nothing"
    assert _ids(many) == _ids(one)
    for mine, theirs in zip(many["hits"], one["hits"], strict=True):
        # Sums of float32 products depend on how many rows stand beside a row, in their last bits.
        assert (mine["score"] or 0) == pytest.approx(theirs["score"] or 0, rel=1e-5, abs=1e-6)
        assert (mine.get("scores") or {}) == pytest.approx(theirs.get("scores") or {}, rel=1e-5, abs=1e-6)
        assert mine.get("group") == theirs.get("group")
    assert many["facets"] == one["facets"]
    assert many["facet_stats"] == one["facet_stats"]
    SearchAnswer.model_validate(many)


RANKS = [
    "score",
    "-score",
    "stock",
    "score * saturation(price, 20)",
    "if(on_sale, 1, 0) + score / 10",
    "created - now()",
    "-distance(place, 10, 10)",
]
QUERIES = [None, VISUAL_QUERY, BOTH, {"like": ["0003"]}, {"like": ["0011"], "unlike": ["0012"], **VISUAL_QUERY}]
CONDITIONS = [{}, FILTER, {"brand": {"$exists": False}}, {"stock": {"$in": [1, 3]}, "$not": {"brand": "acme"}}]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape_is_the_same_in_one_shard_and_in_many(data: st.DataObject) -> None:
    def maybe(strategy: st.SearchStrategy[Any]) -> Any:
        return data.draw(st.none() | strategy)

    grouped = st.builds(
        lambda attribute, size: {"attribute": attribute, "size": size},
        st.sampled_from(["brand", "stock", "on_sale"]),
        st.integers(1, 4),
    )
    body = {
        "query": data.draw(st.sampled_from(QUERIES)),
        "match": maybe(st.sampled_from([MATCH, {"title": "coat"}, {"title": '"old hat" new'}])),
        "filter": data.draw(st.sampled_from(CONDITIONS)),
        "rank": maybe(st.sampled_from(RANKS)),
        "group_by": maybe(grouped),
        "facets": data.draw(st.lists(st.sampled_from(["brand", "stock", "price", "created"]), unique=True)),
        "k": data.draw(st.integers(1, 40)),
        "fusion": data.draw(st.sampled_from(["mean", "weighted", "max"])),
        "recall": 1,
        "include": [],
    }
    asked = {name: value for name, value in body.items() if value is not None}

    one, many = one_shard().search(**asked), many_shards().search(**asked)

    assert [(hit["id"], hit.get("group")) for hit in many["hits"]] == [(h["id"], h.get("group")) for h in one["hits"]]
    assert many["facets"] == one["facets"]


@pytest.mark.parametrize("shape", SHAPES, ids=_name)
def test_the_default_recall_finds_most_of_what_exact_search_finds(shape: dict[str, Any]) -> None:
    exact, default = many_shards().search(recall=1, **shape), many_shards().search(**shape)

    assert len(default["hits"]) == len(exact["hits"])
    assert len(set(_ids(default)) & set(_ids(exact))) >= 0.6 * len(exact["hits"])


# Pages -------------------------------------------------------------------------------------------------

PAGED = [shape for shape in SHAPES if not {"group_by", "diversity"} & shape.keys() and shape.get("fusion") != "rrf"]


@pytest.mark.parametrize("lake", [one_shard, many_shards])
@pytest.mark.parametrize("shape", [*PAGED, {}, {"filter": FILTER}], ids=_name)
def test_pages_one_after_the_other_are_one_long_search(lake: Any, shape: dict[str, Any]) -> None:
    body = {"recall": 1, "include": [], **shape}
    whole = _ids(lake().search(**{**body, "k": limits.MAX_K}))

    found = pages(lake().search, **{**body, "k": 47})

    assert [hit for page in found for hit in page][: limits.MAX_K] == whole
    assert all(len(page) == 47 for page in found[:-1])


@pytest.mark.parametrize("shape", [{"query": VISUAL_QUERY}, {"query": BOTH, "match": MATCH}], ids=_name)
@pytest.mark.parametrize("more", [{}, {"filter": FILTER}, {"nprobe": 1}], ids=_name)
def test_pages_of_a_scan_never_show_an_item_twice_and_come_to_an_end(
    shape: dict[str, Any], more: dict[str, Any]
) -> None:
    found = [hit for page in pages(many_shards().search, recall=0.9, k=50, **shape, **more) for hit in page]
    passing = [n for n in range(ROWS) if not more.get("filter") or _passes(values()[n])]

    assert len(set(found)) == len(found)
    # What a deeper probe finds before the place where a page ended comes too late, and is shown on no page.
    assert len(found) >= (0.85 if "nprobe" in more else 0.95) * len(passing)


def _passes(value: dict[str, Any]) -> bool:
    return bool(value["on_sale"]) and value.get("price", 0) > 10


def test_scores_that_rounding_moves_show_no_item_twice() -> None:
    lake = many_shards()
    leaf = lake.invoker.functions["shard-search"]
    rng = np.random.default_rng(81)

    def rounding(payload: bytes) -> bytes:
        """Moves every score by as much as sums of float32 may differ, anew each time."""
        body = orjson.loads(leaf(payload))
        for found in body["answers"]:
            for hit in found["hits"]:
                hit[1] *= 1 + rng.uniform(-2e-6, 2e-6)
            found["hits"].sort(key=lambda hit: (-hit[1], hit[0]))
        return orjson.dumps(body)

    lake.invoker.functions["shard-search"] = rounding
    try:
        found = [hit for page in pages(lake.search, query=VISUAL_QUERY, recall=0.9, k=3) for hit in page]
    finally:
        lake.invoker.functions["shard-search"] = leaf

    assert len(set(found)) == len(found)
    assert len(found) >= 0.9 * ROWS


def test_a_page_may_have_another_size_and_the_next_goes_on_where_it_ended() -> None:
    lake, body = many_shards(), {"query": VISUAL_QUERY, "recall": 1, "filter": FILTER}
    whole = _ids(lake.search(**body, k=30))

    first = lake.search(**body, k=7)
    second = lake.search(**body, k=20, cursor=first["cursor"], include=[], facets=["brand"])

    assert _ids(first) + _ids(second) == whole[:27]


def test_a_cursor_is_refused_with_another_search_and_where_hits_have_no_pages() -> None:
    lake = many_shards()
    cursor = lake.search(query=VISUAL_QUERY)["cursor"]

    refused = lake.post("search", {"query": VISUAL_QUERY, "filter": FILTER, "cursor": cursor})

    assert (refused.status, refused.kind) == (400, "invalid-cursor")
    for shape in SHAPES:
        if shape not in PAGED:
            assert lake.search(**shape)["cursor"] is None
    assert lake.search(query=VISUAL_QUERY, filter={"price": {"$lt": 0}})["cursor"] is None


# What plain arithmetic says -----------------------------------------------------------------------------


def test_a_rank_expression_orders_all_items_that_pass() -> None:
    def rank(number: int) -> float:
        return float(SCORES[number]) + 0.1 * math.log(1 + values()[number].get("stock", 0))

    hits = many_shards().search(query=VISUAL_QUERY, rank="score + 0.1 * log(1 + stock)", recall=1, k=20)["hits"]

    expected = sorted(range(ROWS), key=lambda number: (-rank(number), number))[:20]
    assert [int(hit["id"]) for hit in hits] == expected
    for hit in hits:
        assert hit["score"] == pytest.approx(rank(int(hit["id"])), rel=1e-5)
        assert hit["scores"] == {"visual": pytest.approx(float(SCORES[int(hit["id"])]), rel=1e-5, abs=1e-6)}


def test_items_are_sorted_by_an_attribute_without_any_query() -> None:
    answer = many_shards().search(rank="default(price, -1)", k=limits.MAX_K)

    prices = [hit["attributes"].get("price", -1) for hit in answer["hits"]]
    assert prices == sorted(prices, reverse=True)
    assert len(prices) == limits.MAX_K
    assert all("scores" not in hit for hit in answer["hits"])


def test_facets_count_all_that_pass_and_not_the_hits_alone() -> None:
    answer = many_shards().search(query=VISUAL_QUERY, filter=FILTER, facets=FACETS, k=1)

    passing = [value for value in values() if _passes(value)]
    assert len(answer["hits"]) == 1
    assert answer["facets"]["brand"] == Counter(value["brand"] for value in passing if "brand" in value)
    assert answer["facets"]["on_sale"] == {"true": len(passing)}
    prices = [value["price"] for value in passing]
    assert answer["facet_stats"]["price"] == {
        "count": len(prices),
        "min": min(prices),
        "max": max(prices),
        "avg": pytest.approx(sum(prices) / len(prices), rel=1e-12),
    }
    assert sum(entry["count"] for entry in answer["facets"]["price"]) == len(prices)


def test_facets_of_a_match_alone_count_what_matches() -> None:
    answer = many_shards().search(match={"title": "leather"}, facets=["on_sale"])

    matching = [value for value in values() if "leather" in value["title"]]
    assert answer["facets"]["on_sale"] == {
        key: sum(value["on_sale"] is (key == "true") for value in matching) for key in answer["facets"]["on_sale"]
    }
    assert sum(answer["facets"]["on_sale"].values()) == len(matching)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_groups_have_the_best_hits_of_each_value_and_of_none(size: int) -> None:
    answer = many_shards().search(query=VISUAL_QUERY, group_by={"attribute": "brand", "size": size}, k=3, recall=1)

    ranked = sorted(range(ROWS), key=lambda number: -SCORES[number])
    brands = list(dict.fromkeys(values()[number].get("brand") for number in ranked))[:3]
    expected = [
        (number, brand)
        for brand in brands
        for number in [n for n in ranked if values()[n].get("brand") == brand][:size]
    ]
    assert [(int(hit["id"]), hit["group"]) for hit in answer["hits"]] == expected
    assert (
        broken(
            requested=answer["shards"]["requested"],
            searched=answer["shards"]["searched"],
            failed=0,
            partial=False,
            hits=[(hit["id"], hit["score"]) for hit in answer["hits"]],
            k=3,
            by_id=False,
            groups=[hit["group"] for hit in answer["hits"]],
            size=size,
        )
        == []
    )


@pytest.mark.parametrize("attribute", ["brand", "stock"])
def test_a_scan_finds_k_groups_and_fills_them_wherever_they_lie(attribute: str) -> None:
    lake = many_shards()
    body = {"query": VISUAL_QUERY, "group_by": {"attribute": attribute, "size": 4}, "k": 5, "nprobe": 1}
    found = lake.search(**body)["hits"]
    filtered = lake.search(**body, filter=FILTER)["hits"]

    assert len({hit["group"] for hit in found}) == len({hit["group"] for hit in filtered}) == 5
    assert len(found) == len(filtered) == 20
    assert all(hit["attributes"].get(attribute) == hit["group"] for hit in found)


def test_a_group_that_lies_far_from_the_query_is_found_by_a_scan() -> None:
    # One brand is everywhere, the other one on the far side only.
    rows = unit_rows(1500, 4, 80)
    far = set(np.argsort(rows[:, 0])[:5].tolist())
    items = [item(f"{n:04d}", {"v": row}, brand="far" if n in far else "near") for n, row in enumerate(rows)]
    brand = {"brand": AttributeType.KEYWORD}
    lake = Lake(schema(space(4), target_rows=400, attributes=brand), Path(mkdtemp(prefix="shardlake-test-")))
    lake.built(items)

    answer = lake.search(query={"vector": {"v": [1, 0, 0, 0]}}, group_by={"attribute": "brand", "size": 2}, k=2)

    assert [hit["group"] for hit in answer["hits"]] == ["near", "near", "far", "far"]


def test_examples_are_a_direction_and_no_hits() -> None:
    answer = many_shards().search(query={"like": ["0005", "0006"], "unlike": ["0007"]}, recall=1, k=limits.MAX_K)

    direction = VISUAL[[5, 6]].mean(axis=0) - VISUAL[7]
    scores = VISUAL @ (direction / np.linalg.norm(direction))
    expected = [n for n in np.argsort(-scores, kind="stable").tolist() if n not in {5, 6, 7}]
    assert [int(hit["id"]) for hit in answer["hits"]] == expected[: limits.MAX_K]


def test_an_example_that_nobody_knows_is_named() -> None:
    answer = many_shards().post("search", {"query": {"like": ["0001", "nobody"]}})

    assert (answer.status, answer.kind) == (404, "item-not-found")
    assert answer.json["error"]["details"]["ids"] == ["nobody"]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ({"like": ["0009"], "spaces": ["semantic"]}, "invalid-request"),
        ({"like": ["0001"], "unlike": ["0001"]}, "invalid-vector"),
    ],
)
def test_examples_that_make_no_direction_are_refused(query: dict[str, Any], kind: str) -> None:
    answer = many_shards().post("search", {"query": query})

    assert (answer.status, answer.kind) == (400, kind)


def test_ranks_are_fused_from_the_ranks_of_all_shards() -> None:
    answer = many_shards().search(query=VISUAL_QUERY, match={"title": "boots"}, fusion="rrf", recall=1)

    first = answer["hits"][0]
    by_score = _ids(many_shards().search(query=VISUAL_QUERY, recall=1, k=100))
    by_match = _ids(many_shards().search(match={"title": "boots"}, k=100))
    places = [ids.index(first["id"]) + 1 for ids in (by_score, by_match) if first["id"] in ids]
    assert first["score"] == pytest.approx(sum(1 / (60 + place) for place in places), rel=1e-6)


def test_diversity_begins_with_the_best_and_shows_hits_less_alike() -> None:
    plain = many_shards().search(query=VISUAL_QUERY, recall=1)
    diverse = many_shards().search(query=VISUAL_QUERY, recall=1, diversity=0.8)

    def alike(answer: dict[str, Any]) -> float:
        rows = VISUAL[[int(hit["id"]) for hit in answer["hits"]]]
        return float((rows @ rows.T).mean())

    assert _ids(diverse)[0] == _ids(plain)[0]
    assert alike(diverse) < alike(plain) - 0.05
    assert all("vectors" not in hit for hit in diverse["hits"])
    assert _ids(many_shards().search(query=VISUAL_QUERY, recall=1, diversity=0)) == _ids(plain)


def test_vectors_come_without_a_query_too() -> None:
    hits = many_shards().search(include=["vectors"], k=10)["hits"]

    assert [set(hit["vectors"]) for hit in hits] == [
        {"visual"} if int(hit["id"]) % 9 == 0 else {"visual", "semantic"} for hit in hits
    ]
    np.testing.assert_allclose(hits[1]["vectors"]["semantic"], SEMANTIC[1], atol=1e-6)


def test_a_batch_answers_every_shape_as_alone_and_pages_of_an_older_version_beside_the_new() -> None:
    lake = many_shards()
    searches = [{"recall": 1, **shape} for shape in SHAPES]
    alone = [lake.search(**search) for search in searches]

    results = lake.post("search:batch", {"searches": searches}).json["results"]

    assert [_ids(result) for result in results] == [_ids(answer) for answer in alone]


def test_the_items_of_these_laws_are_of_many_kinds() -> None:
    assert len(items()) == ROWS
    assert any("price" not in value for value in values())
    assert any("brand" not in value for value in values())
