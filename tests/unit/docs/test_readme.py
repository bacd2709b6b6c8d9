"""The README says what the code does: its figures, its list of what is not served, its links and its commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs import generate
from shardlake.contracts.routes import ROUTES
from shardlake.contracts.search import SearchRequest, refuse_unserved
from shardlake.errors import NotImplementedYet

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNSERVED = README.partition("## Not served yet")[2].partition("\n## ")[0]


@pytest.mark.parametrize("path", sorted(generate.pages()), ids=lambda path: path.name)
def test_a_generated_page_is_what_its_generator_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.pages()[path]()


def test_each_route_that_is_not_served_is_listed() -> None:
    for route in ROUTES:
        if not route.served:
            tail = route.path.removeprefix("/v1/collections/{name}/").replace("+}", "}")
            assert f"`{route.method} …/{tail}`" in UNSERVED


@pytest.mark.parametrize(
    "body",
    [
        {"query": {"audio": {"s3": "x"}}},
        {"query": {"video": {"s3": "x"}}},
    ],
    ids=str,
)
def test_each_search_field_that_is_refused_is_listed(body: dict[str, object]) -> None:
    with pytest.raises(NotImplementedYet) as refused:
        refuse_unserved(SearchRequest.model_validate(body))

    field = str(refused.value.context["field"])
    assert f"`{field}`" in UNSERVED


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("https:"):
            assert (ROOT / target).exists(), target


def test_the_answer_shown_is_json_of_the_contracts_form() -> None:
    (shown,) = re.findall(r"```json\n(.+?)\n```", README, re.DOTALL)
    answer = json.loads(shown)

    assert answer["partial"] is False
    assert answer["shards"]["requested"] == answer["shards"]["searched"] + len(answer["shards"]["failed"])
    assert answer["hits"]
