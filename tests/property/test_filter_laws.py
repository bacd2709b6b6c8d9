"""Filters on columns against the oracle, over random schemas, items and filters."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.query.columns import Column, build_column, evaluate
from shardlake.query.filter import attributes_of, parse
from shardlake.query.summaries import can_match, summarize
from shardlake.types import CollectionSchema, Summary
from tests.attribute_file import written
from tests.property import filter_oracle as oracle

LAW = settings(max_examples=50, deadline=None)
worlds = (
    oracle.schemas()
    .flatmap(lambda s: st.tuples(st.just(s), oracle.items(s), oracle.filters(s)))
    .filter(lambda world: not any(oracle.is_close(world[2], item) for item in world[1]))
)
World = tuple[CollectionSchema, list[dict[str, Any]], dict[str, Any]]


def _columns(schema: CollectionSchema, items: list[dict[str, Any]]) -> dict[str, Column]:
    return {s.name: build_column(s, [item.get(s.name) for item in items]) for s in schema.attributes}


def _without_values(summary: Summary) -> Summary:
    return Summary(present=summary["present"], missing=summary["missing"])


@LAW
@given(worlds)
def test_columns_let_pass_what_the_contract_says(world: World) -> None:
    schema, items, raw = world
    node = parse(raw, schema)

    found = evaluate(node, _columns(schema, items), len(items))

    assert found.tolist() == [oracle.passes(raw, item, schema) for item in items]


@LAW
@given(worlds)
def test_a_filter_means_the_same_after_its_journey_to_the_leaf(world: World) -> None:
    schema, items, raw = world
    node = parse(raw, schema)
    arrived = orjson.loads(orjson.dumps(node))

    assert arrived == node
    assert attributes_of(arrived) <= {spec.name for spec in schema.attributes}
    columns = _columns(schema, items)
    assert evaluate(arrived, columns, len(items)).tolist() == evaluate(node, columns, len(items)).tolist()


@LAW
@given(worlds)
def test_zone_maps_never_prune_a_shard_with_a_row_that_passes(world: World) -> None:
    schema, items, raw = world
    node = parse(raw, schema)
    zones = {name: zone for name, column in _columns(schema, items).items() if (zone := column.zone()) is not None}
    stored = orjson.loads(orjson.dumps(zones))
    summaries = {name: summarize(column) for name, column in _columns(schema, items).items()}

    if any(oracle.passes(raw, item, schema) for item in items):
        assert can_match(node, stored)
        assert can_match(node, stored, orjson.loads(orjson.dumps(summaries)))
        assert can_match(node, stored, {name: _without_values(summary) for name, summary in summaries.items()})


@LAW
@given(worlds, st.integers(1, 5))
def test_columns_built_in_pieces_and_read_back_from_a_file_answer_the_same(world: World, size: int) -> None:
    schema, items, raw = world
    shard = written(schema, items, size)
    node = parse(raw, schema)
    expected = [oracle.passes(raw, item, schema) for item in items]

    read = {spec.name: shard.column(spec.name) for spec in schema.attributes}

    assert evaluate(node, read, len(items)).tolist() == expected
    for name, column in _columns(schema, items).items():
        assert read[name].zone() == column.zone()


@LAW
@given(worlds)
def test_postings_let_pass_what_the_contract_says(world: World) -> None:
    schema, items, raw = world

    found = written(schema, items).passing(parse(raw, schema))

    assert found.tolist() == [oracle.passes(raw, item, schema) for item in items]
