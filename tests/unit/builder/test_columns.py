"""The attributes of a shard from its items: the same whatever the batches, and nothing left on the disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from builder.columns import ColumnFacts, collect, write_columns
from shardlake.format.attributes import AttributeWriter
from shardlake.format.container import ContainerWriter
from tests.property.random_filters import SCHEMA, item

ITEMS = [item(np.random.default_rng(5)) for _ in range(1)] + [item(np.random.default_rng(i)) for i in range(199)]


def _written(batch: int, scratch: Path) -> tuple[bytes, ColumnFacts]:
    payloads = [orjson.dumps({"id": str(i), "attributes": attributes}) for i, attributes in enumerate(ITEMS)]
    sink = io.BytesIO()
    container = ContainerWriter(sink, b"TEST")
    writer = AttributeWriter(container, len(ITEMS))
    batches = (payloads[at : at + batch] for at in range(0, len(payloads), batch))
    facts = write_columns(writer, collect(SCHEMA.attributes, batches, scratch))
    writer.add_tail()
    container.finish({})
    return sink.getvalue(), facts


@pytest.mark.parametrize("batch", [1, 7, 64, 199])
def test_a_shard_has_the_same_attributes_whatever_the_batches(batch: int, tmp_path: Path) -> None:
    whole, facts = _written(len(ITEMS), tmp_path)

    assert _written(batch, tmp_path) == (whole, facts)
    assert list(tmp_path.iterdir()) == []


def test_the_shard_map_is_told_of_every_attribute(tmp_path: Path) -> None:
    _, facts = _written(50, tmp_path)
    there = {name: [one[name] for one in ITEMS if one.get(name) not in (None, [])] for name in facts.summaries}

    assert set(facts.summaries) == {spec.name for spec in SCHEMA.attributes}
    assert {name: len(values) for name, values in there.items()} == {
        name: summary["present"] for name, summary in facts.summaries.items()
    }
    assert facts.zone_maps["int"] == (min(there["int"]), max(there["int"]))
    assert facts.summaries["keyword"].get("values") == sorted(set(there["keyword"]))
    assert "never" not in facts.zone_maps


def test_no_items_are_no_error(tmp_path: Path) -> None:
    container = ContainerWriter(io.BytesIO(), b"TEST")
    nothing: list[list[Any]] = [[]]
    facts = write_columns(AttributeWriter(container, 0), collect(SCHEMA.attributes, nothing, tmp_path))

    assert facts.zone_maps == {}
    assert all(summary["present"] == summary["missing"] == 0 for summary in facts.summaries.values())
