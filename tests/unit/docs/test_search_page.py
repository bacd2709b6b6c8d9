"""The page about searching: each of its examples is run, and answers what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from shardlake.contracts.collection import CollectionModel, schema_of
from shardlake.contracts.search import SearchRequest
from shardlake.format.segment import SegmentItem
from tests.lake import Lake

PAGE = (Path(__file__).resolve().parents[3] / "docs/search.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.+?)\n```", PAGE, re.DOTALL)]
SCHEMA, *EXAMPLES = BLOCKS
PAIRS = list(zip(EXAMPLES[::2], EXAMPLES[1::2], strict=True))


def _items() -> list[SegmentItem]:
    (lines,) = re.findall(r"```jsonl\n(.+?)\n```", PAGE, re.DOTALL)
    items = []
    for raw in map(json.loads, lines.splitlines()):
        vectors = {name: np.asarray(vector, np.float32) for name, vector in raw.pop("vectors", {}).items()}
        items.append(SegmentItem(id=raw["id"], payload=orjson.dumps(raw), vectors=vectors))
    return items


@pytest.fixture(scope="module", params=[1_000_000, 2], ids=["one shard", "many"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The collection of the page."""
    body = {**SCHEMA, "sharding": {"target_rows": request.param}}
    schema = schema_of(CollectionModel.model_validate(body), {})
    return Lake(schema, tmp_path_factory.mktemp("page")).built(_items())


def _holds(said: Any, true: Any) -> bool:
    """Whether what the page says is true: of objects it says a part, of lists all."""
    if isinstance(said, dict):
        return isinstance(true, dict) and all(name in true and _holds(said[name], true[name]) for name in said)
    if isinstance(said, list):
        return isinstance(true, list) and len(said) == len(true) and all(map(_holds, said, true))
    return bool(true == (pytest.approx(said, rel=1e-5, abs=1e-6) if isinstance(said, float) else said))


@pytest.mark.parametrize(("request_body", "said"), PAIRS, ids=[json.dumps(asked)[:60] for asked, _ in PAIRS])
def test_an_example_answers_what_the_page_says(lake: Lake, request_body: dict[str, Any], said: dict[str, Any]) -> None:
    answer = lake.search(**request_body)

    assert _holds(said, answer), json.dumps({name: answer[name] for name in said})


def test_every_field_of_a_search_has_its_place_on_the_page() -> None:
    headings = " ".join(re.findall(r"^## (.+)$", PAGE, re.MULTILINE))

    assert [name for name in SearchRequest.model_fields if name not in re.split(r"[ ,]+", headings)] == []
