"""Every endpoint against its table of wrong requests, in process: the right status and kind, and nothing stored."""

from __future__ import annotations

import pytest

from tests.bad_requests import ALL, GOOD, Bad
from tests.small_world import SmallWorld


@pytest.fixture(scope="module")
def world() -> SmallWorld:
    made = SmallWorld()
    for name, schema in GOOD.items():
        made.create(name, schema)
    return made


def test_every_wrong_request_has_a_name_of_its_own() -> None:
    assert len({bad.name for bad in ALL}) == len(ALL)


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_a_wrong_request_is_refused_by_kind_and_stores_nothing(world: SmallWorld, bad: Bad) -> None:
    before = (dict(world.objects.objects), world.catalog.list_collections())

    answer = world.call(bad.method, bad.path, bad.data(), query=dict(bad.query))

    assert (answer.status, answer.kind) == (bad.status, bad.kind), answer.text[:500]
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"kind", "message", "details"}
    if bad.item_kind is not None:
        (item,) = answer.json["error"]["details"]["items"]
        assert set(item) == {"index", "id", "kind", "message"}
        assert item["kind"] == bad.item_kind
    assert (dict(world.objects.objects), world.catalog.list_collections()) == before
    assert len(answer.text) < 10_000, "an error repeats what was sent"


@pytest.mark.parametrize("bad", [bad for bad in ALL if bad.body is not None], ids=lambda bad: bad.name)
def test_a_body_in_base64_is_refused_just_the_same(world: SmallWorld, bad: Bad) -> None:
    answer = world.call(bad.method, bad.path, bad.data(), query=dict(bad.query), base64=True)

    assert (answer.status, answer.kind) == (bad.status, bad.kind), answer.text[:500]
