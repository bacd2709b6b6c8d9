"""Corners that were once wrong: spaces from an empty one, pages out of small lists, items that are large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from shardlake.contracts.shard import LeafSearch, LeafStats
from shardlake.engine.items import ANSWERED_BYTES, CHUNKS_BYTES
from shardlake.types import IndexSpec, IndexType, Metric
from tests.lake import Lake, item, items_of, schema, space


def test_a_space_from_one_that_has_no_vectors_is_built_and_finds_nothing(tmp_path: Path) -> None:
    hashed = IndexSpec(type=IndexType.BINARY_MIH, bits=64)
    derived = space(16, "s", index=hashed, source="v")

    lake = Lake(schema(space(16), derived), tmp_path).built([item("a", {}), item("b", {})])

    assert lake.ids(query={"vector": {"s": [1.0] * 16}}) == []
    assert lake.ids() == ["a", "b"]


def test_pages_go_on_where_the_nearest_lists_are_smaller_than_the_pages_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    near = np.concatenate(
        [np.eye(8, dtype=np.float32)[0] * (500 + 200 * j) + 0.1 * rng.normal(size=(3, 8)) for j in range(12)]
    )
    rows = np.concatenate([near, rng.normal(size=(20_000, 8))]).astype(np.float32)
    lake = Lake(schema(space(8, metric=Metric.L2)), tmp_path).built(items_of(rows))
    asked = {"query": {"vector": {"v": [2700.0, *[0.0] * 7]}}, "k": 4, "nprobe": 1, "include": []}

    seen: list[str] = []
    answer = lake.search(**asked)
    for _ in range(12):
        assert len(answer["hits"]) == 4
        seen += [hit["id"] for hit in answer["hits"]]
        answer = lake.search(**asked, cursor=answer["cursor"])

    assert len(set(seen)) == 48


@pytest.mark.parametrize("rounds", [5])
def test_items_that_were_answered_are_bounded_by_their_bytes_and_counted(tmp_path: Path, rounds: int) -> None:
    items = [item(f"{i:04d}", {"v": [1.0, i, 0.0, 0.0]}, text="x" * 20_000) for i in range(3_000)]
    opened = Lake(schema(space(4)), tmp_path).built(items).opened()

    for number in range(rounds):
        hits = opened.search(LeafSearch(k=1_000, after=(0.0, f"{400 * number:04d}"))).hits
        assert [len(orjson.loads(hit.payload)["attributes"]["text"]) for hit in hits[:3]] == [20_000] * 3

    held = opened._items
    assert held.resident_bytes <= ANSWERED_BYTES + CHUNKS_BYTES + 4 * len(items) + (1 << 20)
    assert sum(len(payload) for _, payload in held._answered.values()) <= ANSWERED_BYTES
    assert opened.reader(LeafStats()) is not None
