"""One collection built twice, into one shard and into many, with all that shapes hits: words, values, two spaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from shardlake.format.segment import SegmentItem
from shardlake.types import AttributeType
from tests.lake import Lake, item, schema, space, unit_rows
from tests.small_world import FakeEncode

ROWS = 1300  # enough for codes
WORDS = ["red", "blue", "leather", "boots", "coat", "hat", "old", "new", "warm", "light"]
BRANDS = ["acme", "bolt", "corn", "dusk", None]
ATTRIBUTES = {
    "title": AttributeType.TEXT,
    "brand": AttributeType.KEYWORD,
    "stock": AttributeType.INT,
    "price": AttributeType.FLOAT,
    "on_sale": AttributeType.BOOL,
    "created": AttributeType.DATETIME,
    "place": AttributeType.GEO,
}
VISUAL, SEMANTIC = unit_rows(ROWS, 8, 70), unit_rows(ROWS, 4, 71)
QUERY = {"visual": unit_rows(1, 8, 72)[0].tolist(), "semantic": unit_rows(1, 4, 73)[0].tolist()}


@cache
def values() -> list[dict[str, Any]]:
    """Returns the items' attributes; most values stand often, and some are missing."""
    rng = np.random.default_rng(74)
    places = np.random.default_rng(75).uniform((-90, -180), (90, 180), (ROWS, 2)).round(3).tolist()
    found = []
    for number in range(ROWS):
        drawn: dict[str, Any] = {
            "title": " ".join(rng.choice(WORDS, int(rng.integers(1, 6)))),
            "brand": BRANDS[int(rng.integers(len(BRANDS)))],
            "stock": int(rng.integers(0, 5)),
            "price": round(float(rng.gamma(2, 20)), 2),
            "on_sale": bool(rng.integers(2)),
            "created": f"2026-{int(rng.integers(1, 13)):02d}-01T00:00:00Z",
            "place": places[number],
        }
        found.append(
            {k: v for k, v in drawn.items() if v is not None and (number % 7 or k not in {"price", "stock", "place"})}
        )
    return found


def items() -> list[SegmentItem]:
    """Returns the items; each ninth has no vector in the second space."""
    made = []
    for number, attributes in enumerate(values()):
        vectors = {"visual": VISUAL[number]} | ({"semantic": SEMANTIC[number]} if number % 9 else {})
        made.append(item(f"{number:04d}", vectors, **attributes))
    return made


@cache
def built(target_rows: int) -> Lake:
    """Returns the collection in shards of that many rows."""
    spaces = space(8, "visual", encoder="clip"), space(4, "semantic", encoder="minilm")
    target = schema(*spaces, target_rows=target_rows, attributes=ATTRIBUTES)
    lake = Lake(target, Path(mkdtemp(prefix="shardlake-test-")))
    lake.invoker.functions["encode"] = FakeEncode(lake.store)
    return lake.built(items())


def one_shard() -> Lake:
    """Returns the collection in one shard."""
    return built(1_000_000)


def many_shards() -> Lake:
    """Returns the collection in five shards or so."""
    lake = built(260)
    assert len(lake.shards) >= 4
    return lake


def pages(search: Callable[..., dict[str, Any]], **body: Any) -> list[list[str]]:
    """Returns the ids of every page of a search, until there is no cursor."""
    found, cursor = [], None
    while True:
        answer = search(**body, **({"cursor": cursor} if cursor else {}))
        found.append([hit["id"] for hit in answer["hits"]])
        cursor = answer["cursor"]
        if cursor is None:
            return found
