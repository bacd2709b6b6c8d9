"""Items as stored: by id, and in the order of ids, over all shards of the current version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tests.flow import search_lake as films
from tests.lake import Lake, by_shard


def page(lake: Lake, **query: str) -> dict[str, Any]:
    answer = lake.get("items", query)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_an_item_comes_as_it_was_stored_with_its_vectors() -> None:
    lake = films.fresh()

    for number in (0, 777, films.ROWS - 1):
        found = lake.get(f"items/{number:05d}")
        assert found.status == 200
        row = films.vectors()[number]
        assert found.json["attributes"]["number"] == number
        assert found.json["attributes"]["side"] == ("left" if row[0] < 0 else "right")
        assert np.allclose(found.json["vectors"]["v"], row / np.linalg.norm(row), atol=1e-6)
        assert found.json.keys() == {"id", "attributes", "vectors"}


def test_every_item_is_scanned_once_in_the_order_of_ids_whatever_the_pages() -> None:
    lake = films.fresh()

    for limit in ("1000", "7", None):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            query = {"after": after} | ({} if limit is None else {"limit": limit})
            answered = page(lake, **{name: value for name, value in query.items() if value})
            assert len(answered["items"]) <= int(limit or 100)
            found += [one["id"] for one in answered["items"]]
            after = answered["after"]
        assert found == [f"{number:05d}" for number in range(films.ROWS)]


def test_a_page_carries_no_vectors_and_begins_behind_any_text() -> None:
    lake = films.fresh()

    answered = page(lake, after="00003x", limit="2")
    assert [one["id"] for one in answered["items"]] == ["00004", "00005"]
    assert all("vectors" not in one and "number" in one["attributes"] for one in answered["items"])
    assert page(lake, after="\u10ff") == {"items": [], "after": None}


def test_where_a_shard_fails_nothing_is_said_to_be_absent_or_left_out() -> None:
    lake = films.fresh()
    whole = lake.invoker.functions["shard-search"]

    def broken(payload: bytes) -> bytes:
        return orjson.dumps({"error": {"kind": "function-unavailable", "message": "down", "details": {}}})

    there, elsewhere = films.rows_of(lake, 1)[0], films.rows_of(lake, 0)[0]
    lake.invoker.functions["shard-search"] = by_shard(whole, {1: broken})

    for path in ("items", "items/none", f"items/{there:05d}"):
        answer = lake.get(path)
        assert (answer.status, answer.json["error"]["kind"]) == (503, "no-shard-answered")
        assert answer.json["error"]["details"]["failed"] == [
            {"shard": "00001", "kind": "function-unavailable", "retryable": True}
        ]
    assert lake.get(f"items/{elsewhere:05d}").json["id"] == f"{elsewhere:05d}"


def test_before_the_first_build_there_is_nothing(tmp_path: Path) -> None:
    lake = Lake(films.SCHEMA, tmp_path)

    assert page(lake) == {"items": [], "after": None}
    assert lake.get("items/a").json["error"]["kind"] == "item-not-found"
