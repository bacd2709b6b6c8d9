"""Aliases, from the request that sets one to the searches that follow it and the collection that spares its version."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from builder.collect import Collector, Patience
from functions.build.service import Builds
from shardlake.catalog.base import BuildState
from shardlake.errors import Conflict, ErrorKind
from shardlake.limits import MAX_ALIASES
from shardlake.testing import WrappedCatalog
from tests.lake import queued
from tests.small_world import VECTORS, SmallWorld

NAME = "films"
BASE = f"/v1/collections/{NAME}"


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def grown(world: SmallWorld, number: int, scratch: Path) -> str:
    """Takes one item more in, builds, and returns the version."""
    item = {"id": f"i{number}", "attributes": {"price": number}, "vectors": {"v": [number, 0, 0, 1]}}
    assert world.deliver(world.drop(f"inbox/{NAME}/{number}.jsonl", orjson.dumps(item))) == []
    uid = world.catalog.get_collection(NAME).uid
    world.catalog.put_build(uid, queued(f"b{number}"))
    builds = Builds(
        store=world.store,
        catalog=world.catalog,
        part_rows=100,
        threads=1,
        clock=lambda: world.now().isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    row = builds.run(NAME, f"b{number}", scratch=scratch)
    assert (row.state, row.error) == (BuildState.DONE, None)
    assert row.version is not None
    return row.version


def put(world: SmallWorld, alias: str, version: str | None = None) -> dict[str, Any]:
    answer = world.call("PUT", f"{BASE}/aliases/{alias}", {} if version is None else {"version": version})
    assert answer.status == 200, answer.text
    body: dict[str, Any] = answer.json
    return body


def found(world: SmallWorld, reference: str = NAME) -> tuple[str, list[str]]:
    """Returns the version that answered, and the ids."""
    answer = world.call("POST", f"/v1/collections/{reference}/search", {"k": 100})
    assert answer.status == 200, answer.text
    return answer.json["version"], [hit["id"] for hit in answer.json["hits"]]


def test_searches_follow_an_alias_and_go_on_when_it_changes(world: SmallWorld, tmp_path: Path) -> None:
    first = grown(world, 1, tmp_path)
    put(world, "live")
    second = grown(world, 2, tmp_path)

    assert found(world, f"{NAME}@live") == (first, ["i1"])
    assert found(world) == (second, ["i1", "i2"])
    assert world.call("GET", f"/v1/collections/{NAME}@live/items/i2").kind == "item-not-found"

    put(world, "live", second)

    assert found(world, f"{NAME}@live") == (second, ["i1", "i2"])
    listed = world.call("GET", f"{BASE}/aliases").json["aliases"]
    assert [(one["alias"], one["version"]) for one in listed] == [("live", second)]
    history = world.call("GET", f"{BASE}/versions").json["versions"]
    assert [(one["version"], one["aliases"], one["started_by"]) for one in history] == [
        (second, ["live"], "request"),
        (first, [], "request"),
    ]


def test_pages_are_of_the_version_that_the_first_one_was_of(world: SmallWorld, tmp_path: Path) -> None:
    grown(world, 1, tmp_path)
    first = grown(world, 2, tmp_path)
    put(world, "live")
    path = f"/v1/collections/{NAME}@live/search"
    page = world.call("POST", path, {"k": 1}).json

    put(world, "live", grown(world, 3, tmp_path))
    rest = world.call("POST", path, {"k": 5, "cursor": page["cursor"]}).json

    assert (page["version"], rest["version"]) == (first, first)
    assert [hit["id"] for hit in [*page["hits"], *rest["hits"]]] == ["i1", "i2"]


def test_what_an_alias_names_outlives_every_collection_of_garbage(world: SmallWorld, tmp_path: Path) -> None:
    first = grown(world, 1, tmp_path)
    put(world, "live")
    second = grown(world, 2, tmp_path)
    grown(world, 3, tmp_path)
    uid = world.catalog.get_collection(NAME).uid
    collector = Collector(
        world.store,
        world.catalog,
        world.now() + timedelta(days=40),
        Patience(versions=1, grace=timedelta(0), segments=timedelta(days=60)),
    )

    assert collector.collect(uid, NAME).versions == (second,)

    world.router.versions._kept.clear()  # as a container that begins
    assert found(world, f"{NAME}@live") == (first, ["i1"])
    assert world.call("DELETE", f"{BASE}/aliases/live").json["version"] == first
    assert collector.collect(uid, NAME).versions == (first,)
    assert world.call("POST", f"/v1/collections/{NAME}@live/search", {}).kind == "alias-not-found"


def test_a_collection_without_a_version_has_nothing_to_name(world: SmallWorld) -> None:
    answer = world.call("PUT", f"{BASE}/aliases/live")

    assert (answer.status, answer.kind) == (404, "version-not-found")


def test_there_are_so_many_aliases_and_no_more(world: SmallWorld, tmp_path: Path) -> None:
    version = grown(world, 1, tmp_path)
    for number in range(MAX_ALIASES):
        put(world, f"a{number}")

    assert world.call("PUT", f"{BASE}/aliases/one-more", {"version": version}).kind == "invalid-request"
    put(world, "a0", version)


class Contested(WrappedCatalog):
    """Another writer is faster, so many times."""

    times = 0

    def before(self, operation: str) -> None:
        if operation in {"set_alias", "drop_alias"} and self.times:
            self.times -= 1
            raise Conflict("another writer changed the alias", kind=ErrorKind.COMMIT_CONFLICT)


@pytest.mark.parametrize(("times", "status"), [(2, 200), (50, 409)])
def test_the_last_writer_wins_unless_others_never_end(
    world: SmallWorld, tmp_path: Path, times: int, status: int
) -> None:
    grown(world, 1, tmp_path)
    contested = Contested(world.catalog)
    object.__setattr__(world.api, "catalog", contested)

    contested.times = times
    assert world.call("PUT", f"{BASE}/aliases/live").status == status
    contested.times = 0
    put(world, "live")
    contested.times = times
    assert world.call("DELETE", f"{BASE}/aliases/live").status == status
