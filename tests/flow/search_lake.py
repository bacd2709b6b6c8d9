"""A built collection for the flows of search: three shards, a coded space with an encoder, numbers by cluster."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from shardlake.contracts.shard import LeafSearch
from shardlake.core.vectors import score_exact
from shardlake.query.laws import broken
from shardlake.types import AttributeType
from tests.lake import Lake, item, schema, space, unit_rows
from tests.small_world import FakeEncode

ROWS, DIMENSION = 1200, 8
SCHEMA = schema(
    space(DIMENSION, encoder="clip"),
    target_rows=400,
    attributes={"number": AttributeType.INT, "side": AttributeType.KEYWORD, "note": AttributeType.TEXT},
)
QUERY = unit_rows(1, DIMENSION, 50)[0].tolist()


@cache
def vectors() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Returns the items' vectors."""
    return unit_rows(ROWS, DIMENSION)


@cache
def _built() -> Lake:
    items = [
        item(
            f"{i:05d}", {"v": row}, number=i, side="left" if row[0] < 0 else "right", **({"note": "x"} if i % 5 else {})
        )
        for i, row in enumerate(vectors())
    ]
    return Lake(SCHEMA, Path(mkdtemp(prefix="shardlake-test-"))).built(items)


def fresh() -> Lake:
    """Returns the collection with functions and containers of its own, so that a test may break them."""
    base = _built()
    lake = Lake(SCHEMA, base.scratch, store=base.store, catalog=base.catalog)
    lake.invoker.functions["encode"] = FakeEncode(lake.store)
    return lake


def nearest(query: Any, k: int, among: Any = None) -> list[str]:
    """Returns the ids of the k nearest items, by exact search over those `among`."""
    numbers = np.arange(ROWS) if among is None else np.asarray(among)
    unit = np.asarray(query, np.float32) / np.linalg.norm(query)
    scores = score_exact(unit.astype(np.float32), vectors()[numbers], SCHEMA.spaces[0].metric)
    return [f"{n:05d}" for n in numbers[np.argsort(-scores, kind="stable")][:k]]


def rows_of(lake: Lake, shard: int) -> list[int]:
    """Returns the numbers of the items of a shard."""
    found = lake.opened(shard).search(LeafSearch(k=10 * ROWS))
    return sorted(int(hit.id) for hit in found.hits)


def laws(answer: Mapping[str, Any], k: int, *, by_id: bool = False) -> list[str]:
    """Returns the laws that an answer breaks."""
    return broken(
        requested=answer["shards"]["requested"],
        searched=answer["shards"]["searched"],
        failed=len(answer["shards"]["failed"]),
        partial=answer["partial"],
        hits=[(hit["id"], hit["score"] or 0.0) for hit in answer["hits"]],
        k=k,
        by_id=by_id,
    )
