"""What decides the shard of an item changes where it lies and nothing of what is found."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from shardlake.types import AttributeType, IndexType, Sharding
from tests.lake import Lake, item, schema, space, unit_rows
from tests.leaf_searches import leaf_search

ROWS, DIMENSION = 2000, 8
BY: tuple[tuple[Sharding, str | None], ...] = (
    ("cluster", None),
    ("hash", None),
    ("attribute", "place"),
    ("attribute", "year"),
    ("attribute", "new"),
    ("attribute", "seen"),
)
ATTRIBUTES = {
    "place": AttributeType.KEYWORD,
    "year": AttributeType.INT,
    "new": AttributeType.BOOL,
    "seen": AttributeType.DATETIME,
}
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"filter": {"place": "p3"}},
    {"filter": {"place": {"$in": ["p0", "p9"]}}},
    {"filter": {"year": {"$gte": 1990}, "new": True}},
    {"filter": {"year": {"$exists": False}}},
    {"filter": {"seen": {"$lt": "2026-01-10T00:00:00Z"}}},
)


def _items() -> list[Any]:
    vectors = unit_rows(ROWS, DIMENSION, 3)
    rng = np.random.default_rng(4)
    made = []
    for i, row in enumerate(vectors):
        # Half of all lie in one place: more than a shard shall hold. Some have no value, some no vector.
        values: dict[str, Any] = {
            "place": "p0" if rng.random() < 0.5 else f"p{rng.integers(1, 12)}",
            "year": int(rng.integers(1950, 2020)),
            "new": bool(rng.random() < 0.3),
            "seen": f"2026-01-{rng.integers(1, 28):02d}T00:00:00Z",
        }
        made.append(
            item(
                f"{i:05d}",
                {} if i % 50 == 0 else {"v": row},
                **{name: value for name, value in values.items() if rng.random() > 0.02},
            )
        )
    return made


@cache
def lake(sharding: Sharding, by: str | None, target_rows: int = 400, index: IndexType = IndexType.IVF_PQ) -> Lake:
    """Returns a built collection."""
    target = schema(
        space(DIMENSION, index=index), target_rows=target_rows, attributes=ATTRIBUTES, sharding=sharding, by=by
    )
    items = _items()
    return Lake(target, Path(mkdtemp(prefix="shardlake-test-"))).built(items[:1200], items[1200:], part_rows=700)


def stored_ids(found: Lake, shard: int) -> list[str]:
    """Returns the ids of the items of a shard."""
    return [hit.id for hit in found.opened(shard).search(leaf_search(k=ROWS)).hits]


def _ids(found: Lake, query: Any, **more: Any) -> list[str]:
    return found.ids(query={"vector": {"v": query.tolist()}}, k=30, **more)


@pytest.mark.parametrize(("sharding", "by"), BY)
@pytest.mark.parametrize("more", FILTERS)
def test_shards_change_nothing_at_recall_one(sharding: Sharding, by: str | None, more: dict[str, Any]) -> None:
    one, many = lake("cluster", None, ROWS), lake(sharding, by)

    assert len(one.shards) == 1 < len(many.shards)
    for query in unit_rows(5, DIMENSION, 6):
        assert _ids(many, query, recall=1, **more) == _ids(one, query, recall=1, **more)
    assert many.ids(k=1000, **more) == one.ids(k=1000, **more)


@pytest.mark.parametrize(("sharding", "by"), BY)
def test_the_default_finds_its_share_and_answers_are_full(sharding: Sharding, by: str | None) -> None:
    one, many = lake("cluster", None, ROWS), lake(sharding, by)

    shares = []
    for query in unit_rows(20, DIMENSION, 7):
        found = _ids(many, query)
        assert len(found) == 30
        shares.append(len(set(found) & set(_ids(one, query, recall=1))) / 30)
    assert np.mean(shares) >= 0.9  # 20 queries of 30 hits: the mean of a true 0.95 varies by less than 0.02
    everything = many.ids(query={"vector": {"v": unit_rows(1, DIMENSION, 8)[0].tolist()}}, k=1000, nprobe=1)
    assert len(everything) == 1000


@pytest.mark.parametrize(("sharding", "by"), BY)
def test_every_item_is_in_one_shard_and_no_shard_is_far_over_its_rows(sharding: Sharding, by: str | None) -> None:
    found = lake(sharding, by)

    ids = [one for shard in range(len(found.shards)) for one in stored_ids(found, shard)]
    assert sorted(ids) == [f"{i:05d}" for i in range(ROWS)]
    assert max(row.rows for row in found.shards) <= 2 * 400


def test_an_attribute_s_zone_map_leaves_out_the_shards_without_the_value() -> None:
    found = lake("attribute", "place")

    answer = found.search(query={"vector": {"v": unit_rows(1, DIMENSION, 9)[0].tolist()}}, filter={"place": "p3"})
    large = found.search(filter={"place": "p0"}, k=1000, explain=True)

    assert answer["shards"]["requested"] == 1 < len(found.shards)
    assert large["shards"]["requested"] == 3, "a value with more rows than a shard takes has shards of its own"
    assert large["plan"]["shards_pruned"] == len(found.shards) - 3


def test_a_large_value_is_dealt_by_lists_so_that_near_items_lie_together() -> None:
    found = lake("attribute", "place", index=IndexType.IVF_FLAT)

    own = [number for number, row in enumerate(found.shards) if row.zone_maps.get("place") == ("p0", "p0")]
    filled = np.array([found.opened(number).header.arrays["list_rows/v"] > 0 for number in own])

    assert len(own) == 3
    assert (filled.sum(axis=0) == 1).all(), "each list of the value is in one of its shards"


def test_the_shard_of_an_id_by_hash_does_not_hang_on_what_else_is_there(tmp_path: Path) -> None:
    few = Lake(schema(space(DIMENSION), target_rows=50, sharding="hash"), tmp_path).built(_items()[:100])
    homes = [set(stored_ids(few, number)) for number in range(2)]
    other = Lake(schema(space(DIMENSION), target_rows=40, sharding="hash"), tmp_path).built(_items()[20:100])

    assert len(few.shards) == len(other.shards) == 2
    for number in range(2):
        assert set(stored_ids(other, number)) <= homes[number]
