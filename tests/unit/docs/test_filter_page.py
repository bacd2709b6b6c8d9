"""docs/filters.md: every example is run, by columns and by postings."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from shardlake.query.columns import build_column, evaluate
from shardlake.query.filter import _OPERATORS, parse
from shardlake.query.geo import EARTH_RADIUS_M
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec
from tests.architecture.sources import ROOT
from tests.attribute_file import written

PAGE = (ROOT / "docs/filters.md").read_text(encoding="utf-8")
T = AttributeType
TYPES = {"colour": T.KEYWORD, "tags": T.KEYWORD, "price": T.FLOAT, "stock": T.INT, "sale": T.BOOL,
         "made": T.DATETIME, "place": T.GEO}  # fmt: skip
SCHEMA = CollectionSchema(
    spaces=(SpaceSpec(name="v", dimension=2),),
    attributes=tuple(AttributeSpec(name=name, type=kind, multi=name == "tags") for name, kind in TYPES.items()),
)
ITEMS: list[dict[str, Any]] = [
    orjson.loads(line) for line in re.findall(r"```jsonl\n(.+?)```", PAGE, re.DOTALL)[0].splitlines()
]
EXAMPLES = re.findall(r"^\| `(\{.*\})` \| (.+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("text", "passing"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_an_example_of_the_page_is_true(text: str, passing: str) -> None:
    node = parse(orjson.loads(text), SCHEMA)
    columns = {s.name: build_column(s, [one.get(s.name) for one in ITEMS]) for s in SCHEMA.attributes}
    expected = [] if passing == "none" else passing.split(", ")

    for found in (evaluate(node, columns, len(ITEMS)), written(SCHEMA, ITEMS).passing(node)):
        assert [one["id"] for one, passes in zip(ITEMS, found, strict=True) if passes] == expected


def test_every_operator_has_a_line_and_an_example() -> None:
    assert len(EXAMPLES) >= 30
    for word in _OPERATORS:
        assert re.search(rf"^\| .*`\{word}`", PAGE, re.MULTILINE), word
        assert word == "$eq" or any(f'"{word}"' in text for text, _ in EXAMPLES), word


def test_the_radius_of_the_page_is_that_of_the_code() -> None:
    assert f"{EARTH_RADIUS_M:,.4f} m" in PAGE
