"""Vectors of two models are never compared: a changed encoder is refused by builds and searches, and said."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from functions.build.service import Builds
from shardlake.catalog.base import BuildRow, BuildState
from tests.small_world import SmallWorld

TEXTS = {"spaces": {"meaning": {"encoder": "minilm"}}, "attributes": {}}
QUERY = {"query": {"text": "one"}, "k": 1}
PATH = "/v1/collections/texts"


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create("texts", TEXTS)
    return made


def take_in(world: SmallWorld, *ids: str, into: str = "texts") -> None:
    lines = b"\n".join(orjson.dumps({"id": one, "media": {"text": one}}) for one in ids)
    assert world.deliver(world.drop(f"inbox/{into}/{'-'.join(ids)}.jsonl", lines)) == []


def build(world: SmallWorld, number: int, scratch: Path) -> BuildRow:
    uid = world.catalog.get_collection("texts").uid
    stamp = world.now().isoformat()
    row = BuildRow(
        build_id=f"b{number}",
        state=BuildState.QUEUED,
        progress=0.0,
        stage="queued",
        version=None,
        error=None,
        created_at=stamp,
        updated_at=stamp,
    )
    world.catalog.put_build(uid, row)
    builds = Builds(store=world.store, catalog=world.catalog, part_rows=100, threads=1, clock=lambda: stamp)
    return builds.run("texts", row.build_id, scratch=scratch)


def test_a_search_encoded_by_another_model_than_the_items_is_refused(world: SmallWorld, tmp_path: Path) -> None:
    take_in(world, "one", "two")
    assert build(world, 1, tmp_path).state is BuildState.DONE
    before = world.call("POST", f"{PATH}/search", QUERY)

    world.encode.digest = "1"
    after = world.call("POST", f"{PATH}/search", QUERY)

    assert (before.status, [hit["id"] for hit in before.json["hits"]]) == (200, ["one"])
    assert (after.status, after.kind) == (409, "encoder-changed")


def test_a_build_of_items_of_two_models_fails_and_says_so(world: SmallWorld, tmp_path: Path) -> None:
    take_in(world, "one")
    world.encode.digest = "1"
    take_in(world, "two")

    ended = build(world, 1, tmp_path)

    assert ended.state is BuildState.FAILED
    assert json.loads(ended.error or "")["kind"] == "encoder-changed"


def test_items_taken_in_again_by_the_new_model_can_be_built_and_searched(world: SmallWorld, tmp_path: Path) -> None:
    take_in(world, "one")
    world.encode.digest = "1"
    take_in(world, "one", "two")

    assert build(world, 1, tmp_path).state is BuildState.DONE
    found = world.call("POST", f"{PATH}/search", QUERY)
    assert (found.status, [hit["id"] for hit in found.json["hits"]]) == (200, ["one"])


def test_vectors_that_users_bring_know_no_model(world: SmallWorld, tmp_path: Path) -> None:
    brought = orjson.dumps({"id": "own", "vectors": {"meaning": [1, 0, 0, 0]}})
    assert world.deliver(world.drop("inbox/texts/own.jsonl", brought)) == []
    assert build(world, 1, tmp_path).state is BuildState.DONE
    world.encode.digest = "1"

    found = world.call("POST", f"{PATH}/search", QUERY)
    assert (found.status, [hit["id"] for hit in found.json["hits"]]) == (200, ["own"])
