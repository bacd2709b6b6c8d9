"""What examples/ shows is right."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from shardlake.contracts.collection import parse_collection
from shardlake.demo.collection import SCHEMA
from tests.unit.in_process import InProcess

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize("path", sorted((EXAMPLES / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_one_that_the_api_takes(path: Path) -> None:
    assert parse_collection(path.read_bytes()).spaces


def test_the_demo_s_schema_is_one_that_the_api_takes() -> None:
    assert parse_collection(json.dumps(SCHEMA).encode()).spaces


def test_films_become_items_with_ids_of_their_own(tmp_path: Path) -> None:
    films = [
        {"title": "The Thing!", "year": 1982, "genres": ["Horror"], "cast": [], "extract": "Ice."},
        {"title": "The Thing", "year": 1982},
        {"title": "…", "year": 1999},
    ]
    items = list(runpy.run_path(str(EXAMPLES / "films.py"))["items"](films))

    assert [item["id"] for item in items] == ["1982-the-thing", "1982-the-thing-2", "1999-untitled"]
    assert items[0]["media"] == {"text": "The Thing!. Ice."}


def test_the_readme_names_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text()

    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in readme] == []


def test_vectors_of_one_s_own_fit_their_schema(tmp_path: Path) -> None:
    import numpy as np

    own = runpy.run_path(str(EXAMPLES / "own_vectors.py"))
    items = own["items"](np.ones((3, own["DIMENSION"]), dtype=np.float32))

    with InProcess(scratch=tmp_path).client() as client:
        client.collections.create("vectors", json.loads(own["SCHEMA"].read_text()))
        assert client.collection("vectors").upsert(items).accepted == 3
