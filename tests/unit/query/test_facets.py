"""Facets: what is counted, by value and by bin, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.columns import build_column
from shardlake.query.facets import edges, merged, parse, partial
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema

SPECS = (
    AttributeSpec(name="tags", type=AttributeType.KEYWORD, multi=True),
    AttributeSpec(name="brand", type=AttributeType.KEYWORD),
    AttributeSpec(name="stock", type=AttributeType.INT),
    AttributeSpec(name="price", type=AttributeType.FLOAT),
    AttributeSpec(name="on_sale", type=AttributeType.BOOL),
    AttributeSpec(name="created", type=AttributeType.DATETIME),
    AttributeSpec(name="title", type=AttributeType.TEXT),
    AttributeSpec(name="place", type=AttributeType.GEO),
)
SCHEMA = CollectionSchema(spaces=(), attributes=SPECS)
ITEMS: list[dict[str, Any]] = [
    {"tags": ["a", "b"], "brand": "x", "stock": 3, "price": 0.0, "on_sale": True, "created": "2026-01-01T00:00:00Z"},
    {"tags": ["b"], "brand": "y", "stock": 3, "price": 10.0, "on_sale": False, "created": "2026-01-03T00:00:00Z"},
    {"tags": [], "stock": -1, "price": 5.0, "created": "2026-01-02T00:00:00Z"},
    {"tags": ["b", "c"], "brand": "x", "price": 4.9},
]


def _counted(raw: Any, *shards: list[dict[str, Any]]) -> tuple[Any, Any]:
    (facet,) = parse([raw], SCHEMA)
    spec = SCHEMA.attribute(facet.attribute)
    assert spec is not None
    columns = [build_column(spec, [item.get(spec.name) for item in shard]) for shard in shards]
    zones = [{} if (zone := column.zone()) is None else {spec.name: zone} for column in columns]
    bounds = edges(facet, zones)
    wire = json.loads(json.dumps(facet.wire(bounds)))
    parts = [partial(wire, column, np.arange(len(shard))) for column, shard in zip(columns, shards, strict=True)]
    return merged(facet, bounds, json.loads(json.dumps(parts)))


@pytest.mark.parametrize("shards", [(ITEMS,), (ITEMS[:1], ITEMS[1:3], ITEMS[3:])], ids=["one shard", "three"])
def test_values_are_counted_the_most_frequent_first(shards: tuple[list[dict[str, Any]], ...]) -> None:
    assert list(_counted("tags", *shards)[0].items()) == [("b", 3), ("a", 1), ("c", 1)]
    assert list(_counted("brand", *shards)[0].items()) == [("x", 2), ("y", 1)]
    assert list(_counted("stock", *shards)[0].items()) == [("3", 2), ("-1", 1)]
    assert list(_counted("on_sale", *shards)[0].items()) == [("false", 1), ("true", 1)]
    assert _counted({"attribute": "tags", "limit": 2}, *shards)[0] == {"b": 3, "a": 1}


def test_bins_are_of_one_width_and_the_last_has_its_upper_edge() -> None:
    bins, stats = _counted({"attribute": "price", "bins": 2, "stats": True}, ITEMS[:2], ITEMS[2:])

    assert bins == [{"from": 0.0, "to": 5.0, "count": 2}, {"from": 5.0, "to": 10.0, "count": 2}]
    assert stats == {"count": 4, "min": 0.0, "max": 10.0, "avg": pytest.approx(4.975)}


def test_bins_of_times_are_moments() -> None:
    bins, stats = _counted({"attribute": "created", "bins": 2, "stats": True}, ITEMS)

    assert [entry["count"] for entry in bins] == [1, 2]
    assert bins[0]["from"] == "2026-01-01T00:00:00Z"
    assert bins[1] == {"from": "2026-01-02T00:00:00Z", "to": "2026-01-03T00:00:00Z", "count": 2}
    assert stats["avg"] == "2026-01-02T00:00:00Z"


def test_bins_of_ints_are_whole_and_no_more_than_there_are_numbers() -> None:
    bins, _ = _counted({"attribute": "stock", "bins": 100}, ITEMS)

    assert [(entry["from"], entry["to"]) for entry in bins] == [(-1, 0), (0, 1), (1, 2), (2, 3)]
    assert sum(entry["count"] for entry in bins) == 3


def test_one_value_is_one_bin_and_no_value_is_none() -> None:
    assert _counted("price", [{"price": 2.0}] * 3)[0] == [{"from": 2.0, "to": 2.0, "count": 3}]
    assert _counted({"attribute": "price", "stats": True}, [{}]) == (
        [],
        {"count": 0, "min": None, "max": None, "avg": None},
    )
    assert _counted("brand", [{}])[0] == {}


def test_the_largest_floats_have_bins_and_an_average() -> None:
    huge = [{"price": -1.7e308}, {"price": 1.7e308}, {"price": 1.7e308}]

    bins, stats = _counted({"attribute": "price", "bins": 4, "stats": True}, huge)

    assert sum(entry["count"] for entry in bins) == 3
    assert stats["avg"] == pytest.approx(1.7e308 / 3)


def test_only_the_rows_that_pass_are_counted() -> None:
    (facet,) = parse(["tags"], SCHEMA)
    column = build_column(SPECS[0], [item.get("tags") for item in ITEMS])

    part = partial(facet.wire(None), column, np.array([0, 3]))

    assert part["values"] == [("a", 1), ("b", 2), ("c", 1)]


def test_more_distinct_values_than_the_limit_are_refused_by_one_shard_and_by_all_together() -> None:
    half = limits.MAX_FACET_VALUES // 2 + 1
    shards = [[{"stock": first + i} for i in range(half)] for first in (0, half)]
    for refused in ([shards[0] + shards[1]], shards):
        with pytest.raises(InvalidInput) as error:
            _counted("stock", *refused)
        assert error.value.kind is ErrorKind.FACET_TOO_LARGE

    assert len(_counted({"attribute": "stock", "limit": limits.MAX_FACET_VALUES}, shards[0])[0]) == half


BAD: list[Any] = [
    "unknown",
    "title",
    "place",
    3,
    None,
    {},
    {"attribute": ["tags"]},
    {"attribute": "tags", "bins": 3},
    {"attribute": "tags", "stats": True},
    {"attribute": "price", "bins": 0},
    {"attribute": "price", "bins": True},
    {"attribute": "price", "bins": limits.MAX_FACET_BINS + 1},
    {"attribute": "price", "limit": 3},
    {"attribute": "stock", "stats": 1},
    {"attribute": "brand", "limit": limits.MAX_FACET_VALUES + 1},
    {"attribute": "brand", "most": 3},
]


@pytest.mark.parametrize("raw", BAD, ids=str)
def test_a_facet_that_cannot_be_counted_is_refused_at_its_place(raw: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(["brand", raw], SCHEMA)

    assert error.value.kind is ErrorKind.INVALID_FACET
    assert str(error.value.context["place"]).startswith("facets[1]")


def test_facets_are_few_and_each_attribute_stands_once() -> None:
    for raw in (["brand", {"attribute": "brand"}], ["brand"] * (limits.MAX_FACETS + 1)):
        with pytest.raises(InvalidInput):
            parse(raw, SCHEMA)
