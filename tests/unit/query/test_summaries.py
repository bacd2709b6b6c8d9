"""What the shard map proves of a filter: that nothing passes, and under `not` that everything does."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shardlake.limits import MAX_SUMMARY_VALUES_BYTES
from shardlake.query.columns import build_column
from shardlake.query.filter import Node
from shardlake.query.summaries import can_match, summarize
from shardlake.types import AttributeSpec, AttributeType, Summary

T = AttributeType
SPECS = {
    "colour": AttributeSpec(name="colour", type=T.KEYWORD),
    "sku": AttributeSpec(name="sku", type=T.KEYWORD),
    "tags": AttributeSpec(name="tags", type=T.KEYWORD, multi=True),
    "kind": AttributeSpec(name="kind", type=T.KEYWORD),
    "price": AttributeSpec(name="price", type=T.FLOAT),
    "year": AttributeSpec(name="year", type=T.INT),
    "place": AttributeSpec(name="place", type=T.GEO),
    "town": AttributeSpec(name="town", type=T.GEO),
    "text": AttributeSpec(name="text", type=T.TEXT),
    "never": AttributeSpec(name="never", type=T.INT),
}
VALUES: dict[str, list[Any]] = {
    "colour": ["blue", "red", None],  # few, one missing
    "sku": [f"sku-{'x' * MAX_SUMMARY_VALUES_BYTES}-{i}" for i in range(3)],  # too long to be kept
    "tags": [["a", "b"], ["b"], ["b", "c"]],
    "kind": ["shoe", "shoe", "shoe"],
    "price": [1.5, 2.5, None],
    "year": [2020, 2020, 2020],
    "place": [[-17.0, 178.0], [-16.0, -179.0], None],  # across the date line
    "town": [[52.0, 13.0], [52.5, 13.5], [52.2, 13.2]],
    "text": ["t", "t", "t"],
    "never": [None, None, None],
}
COLUMNS = {name: build_column(SPECS[name], values) for name, values in VALUES.items()}
ZONES = {name: zone for name, column in COLUMNS.items() if (zone := column.zone()) is not None}
SUMMARIES: dict[str, Summary] = orjson.loads(orjson.dumps({name: summarize(c) for name, c in COLUMNS.items()}))

NOTHING_PASSES: list[Node] = [
    ["eq", "colour", "green"],
    ["in", "colour", ["cyan", "green"]],
    ["gt", "colour", "red"],
    ["prefix", "colour", "g"],
    ["prefix", "colour", "redd"],
    ["prefix", "sku", "skv"],
    ["prefix", "sku", "sku-xxy"],
    ["eq", "sku", "sku-"],
    ["all_of", "tags", ["a", "d"]],
    ["eq", "price", 1.0],
    ["lt", "price", 1.5],
    ["in", "price", [1.0, 3.0]],
    ["exists", "never"],
    ["eq", "never", 1],
    ["near", "place", 0.0, 0.0, 1e6],
    ["box", "place", -20.0, 0.0, -10.0, 170.0],
    ["near", "town", 40.0, 13.0, 1e5],
    ["not", ["exists", "year"]],
    ["not", ["exists", "text"]],
    ["not", ["not", ["exists", "never"]]],
    ["not", ["eq", "kind", "shoe"]],
    ["not", ["prefix", "kind", "sh"]],
    ["not", ["in", "kind", ["boot", "shoe"]]],
    ["not", ["in", "year", [2019, 2020]]],
    ["not", ["gte", "year", 2020]],
    ["not", ["eq", "year", 2020]],
    ["not", ["prefix", "sku", "sku-"]],
    ["not", ["gte", "tags", "a"]],
    ["not", ["all_of", "kind", ["shoe"]]],
    ["not", ["near", "town", 52.2, 13.2, 1e6]],
    ["not", ["near", "town", 0.0, 0.0, 2.1e7]],
    ["not", ["box", "town", 50.0, 10.0, 55.0, 15.0]],
    ["not", ["or", ["eq", "year", 1], ["exists", "text"]]],
    ["not", ["all"]],
    ["and", ["eq", "year", 2020], ["eq", "colour", "green"]],
    ["or", ["eq", "year", 2021], ["eq", "colour", "green"]],
    ["or", ["not", ["exists", "year"]], ["and", ["exists", "colour"], ["exists", "never"]]],
]
SOMETHING_MAY: list[Node] = [
    ["all"],
    ["eq", "colour", "red"],
    ["gte", "colour", "red"],
    ["prefix", "colour", "re"],
    ["prefix", "colour", ""],
    ["prefix", "sku", "sku-x"],
    ["all_of", "tags", ["a", "c"]],  # no row has both, but both are there
    ["all_of", "tags", []],
    ["not", ["exists", "colour"]],
    ["not", ["eq", "colour", "red"]],
    ["not", ["in", "colour", ["red", "blue"]]],  # the missing one
    ["not", ["eq", "tags", "a"]],
    ["not", ["all_of", "tags", ["b", "c"]]],
    ["not", ["in", "price", [1.5, 2.5]]],
    ["not", ["exists", "never"]],
    ["near", "place", -17.0, 178.0, 1.0],
    ["near", "place", -16.0, 180.0, 1e6],
    ["box", "place", -20.0, 179.0, -10.0, -170.0],
    ["not", ["near", "place", 0.0, 0.0, 2.1e7]],
    ["not", ["near", "town", 52.0, 13.0, 1e4]],
    ["eq", "unknown", 1],
    ["not", ["eq", "unknown", 1]],
]


@pytest.mark.parametrize("node", NOTHING_PASSES, ids=str)
def test_that_nothing_passes_is_proved(node: Node) -> None:
    assert not can_match(node, ZONES, SUMMARIES)


@pytest.mark.parametrize("node", SOMETHING_MAY, ids=str)
def test_what_may_pass_is_never_ruled_out(node: Node) -> None:
    assert can_match(node, ZONES, SUMMARIES)


@pytest.mark.parametrize("node", [*NOTHING_PASSES, *SOMETHING_MAY], ids=str)
def test_without_any_facts_nothing_is_ruled_out_but_what_no_row_could_pass(node: Node) -> None:
    assert can_match(node, {}) == (node != ["not", ["all"]])


def test_a_summary_keeps_the_values_of_a_keyword_when_they_are_short() -> None:
    assert SUMMARIES["colour"] == {"present": 2, "missing": 1, "values": ["blue", "red"]}
    assert SUMMARIES["tags"]["values"] == ["a", "b", "c"]
    assert "values" not in SUMMARIES["sku"]
    assert SUMMARIES["place"]["area"] == [-17.0, 178.0, -16.0, -179.0]
    assert SUMMARIES["never"] == {"present": 0, "missing": 3}
    assert len(orjson.dumps(SUMMARIES)) < 2 * MAX_SUMMARY_VALUES_BYTES
