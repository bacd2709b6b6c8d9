"""Which snapshot a search sees: the current one, one that is named, or one that may be a little old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shardlake.limits import EVENTUAL_MAX_AGE_S
from shardlake.testing import ManualClock, WrappedCatalog
from tests.lake import UID, Lake, item, schema


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(schema(), tmp_path)


def put(lake: Lake, *names: str) -> None:
    lake.add([item(name, {"v": [1, 0, 0, 0]}) for name in names])


def at(lake: Lake, name: str, **body: Any) -> list[str]:
    """Returns the ids in a snapshot that is named."""
    answer = lake.post(f"@{name}/search", {"k": 100, **body})
    assert answer.status == 200, answer.text
    assert answer.json["version"] == name
    return [hit["id"] for hit in answer.json["hits"]]


def test_the_version_of_every_answer_can_be_asked_for_again(lake: Lake) -> None:
    seen: dict[str, list[str]] = {}

    def look() -> None:
        answer = lake.search(k=100)
        seen[answer["version"]] = [hit["id"] for hit in answer["hits"]]

    put(lake, "a")
    look()
    put(lake, "b")
    look()
    first = lake.build("build-1").version
    assert first is not None
    look()
    put(lake, "c")
    look()
    lake.delete("a")
    look()
    second = lake.build("build-2").version
    assert second is not None
    look()
    lake.catalog.roll_back(UID, expected=second, version=first)
    put(lake, "d")
    look()

    assert list(seen.values()) == [
        ["a"],
        ["a", "b"],
        ["a", "b"],
        ["a", "b", "c"],
        ["b", "c"],
        ["b", "c"],
        ["a", "b", "d"],
    ]
    assert list(seen)[-1] == f"{first}~6+7"
    for name, ids in seen.items():
        assert at(lake, name) == ids
        assert at(lake, name, query={"vector": {"v": [1, 0, 0, 0]}}) == ids
        assert [one["id"] for one in lake.get(f"@{name}/items").json["items"]] == ids
    assert lake.get(f"@{first}/items/a").status == 200
    assert lake.get(f"@{second}/items/a").status == 404


@pytest.mark.parametrize("name", ["000009-nothing", "000001", "~", "+", "a+b", "000000+99x", "%2F"])
def test_a_version_that_never_was_is_not_found(lake: Lake, name: str) -> None:
    put(lake, "a")

    for answer in (lake.post(f"@{name}/search", {}), lake.get(f"@{name}/items"), lake.get(f"@{name}/items/a")):
        assert (answer.status, answer.kind) == (404, "version-not-found")


def test_an_at_without_a_version_names_no_collection(lake: Lake) -> None:
    assert lake.post("@/search", {}).kind == "collection-not-found"


class Reads(WrappedCatalog):
    """Counts what is asked of the catalog."""

    count = 0

    def before(self, operation: str) -> None:
        """Counts."""
        self.count += 1


def test_eventual_goes_by_what_was_read_a_little_while_ago_and_strong_never(lake: Lake) -> None:
    clock = ManualClock()
    lake.clock = clock
    reads = Reads(lake.catalog)
    lake.catalog = reads  # type: ignore[assignment]  # a catalog by shape
    put(lake, "a")
    assert lake.ids(consistency="eventual") == ["a"]
    put(lake, "b")

    before = reads.count
    assert lake.ids(consistency="eventual") == ["a"]
    assert reads.count == before
    assert lake.ids() == ["a", "b"]
    assert lake.ids(consistency="strong") == ["a", "b"]
    put(lake, "c")
    clock.advance(EVENTUAL_MAX_AGE_S / 2)
    assert lake.ids(consistency="eventual") == ["a", "b"]
    clock.advance(EVENTUAL_MAX_AGE_S / 2 + 0.1)
    assert lake.ids(consistency="eventual") == ["a", "b", "c"]


def test_a_batch_is_as_strong_as_its_strongest_search(lake: Lake) -> None:
    put(lake, "a")
    lake.ids()
    put(lake, "b")

    bodies = [{"consistency": "eventual"}, {}]
    answer = lake.post("search:batch", {"searches": bodies})

    assert [[hit["id"] for hit in one["hits"]] for one in answer.json["results"]] == [["a", "b"], ["a", "b"]]
