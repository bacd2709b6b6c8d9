"""The commands for single items: get, scan, delete."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.fake_api import FakeApi, hit


def test_an_item_is_printed_as_stored(shell: Shell) -> None:
    assert shell("items", "get", "a/b", "--json").json == {"id": "a/b", "attributes": {}, "vectors": {"v": [0.6, 0.8]}}
    assert '"v": "2 numbers"' in shell("items", "get", "a/b").out
    refused = shell("items", "get", "z", "--json")
    assert (refused.code, refused.error["kind"]) == (1, "item-not-found")


def test_items_are_scanned_page_by_page_to_the_end_or_to_a_limit(shell: Shell) -> None:
    lines = shell("items", "scan").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a/b", "c", "d"]
    assert shell("items", "scan", "--limit", 2, "--json").json == {
        "items": [{"id": "a/b", "attributes": {}}, {"id": "c", "attributes": {}}]
    }
    assert [json.loads(line)["id"] for line in shell("items", "scan", "--after", "c").out.splitlines()] == ["d"]


def test_an_item_is_traced_over_all_pages(shell: Shell) -> None:
    found = shell("items", "trace", "a", "--json").json
    assert (found["is_gone"], found["looked_through"], len(found["holders"])) == (False, 4, 2)
    out = shell("items", "trace", "a").out
    assert "segments/r written again without it, as segments/q" in out
    assert "the item" in out
    assert "segments/s" in out
    assert "2026-12-09" in out
    assert "still in the bucket: 4 objects looked through" in out
    assert "3 files of requests" in out
    assert "before 2026-11-20T00:00:00Z is left out" in out
    assert "1 collections that had this name" in out
    assert "no object has the item: 4 objects" in shell("items", "trace", "gone").out


def test_items_are_deleted_by_their_ids(shell: Shell, api: FakeApi) -> None:
    assert shell("items", "delete", "a", "b").out == "2 deleted: within seconds no search finds them\n"
    assert (api.body(), api.seen[-1].url.query) == ({"ids": ["a", "b"]}, b"")
    waited = shell("items", "delete", "a", "--wait", "--json").json
    assert (waited["accepted"], waited["searchable"]) == (1, "now")
    assert api.seen[-1].url.query == b"wait=true"


def test_items_are_deleted_by_a_filter(shell: Shell, api: FakeApi) -> None:
    api.hits = [hit("a", 1.0)]
    assert shell("items", "delete", "--filter", '{"colour": "red"}', "--json").json["batch_id"] == "d1"
    assert api.body() == {"filter": {"colour": "red"}}
    api.hits = []
    assert shell("items", "delete", "--filter", '{"colour": "red"}', "--json").json["batch_id"] is None


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ([], "invalid-request"),
        (["a", "--filter", "{}"], "invalid-request"),
        (["--filter", "red"], "invalid-filter"),
        (["--filter", "[]"], "invalid-filter"),
    ],
)
def test_what_shall_be_deleted_is_said_in_one_way(shell: Shell, arguments: list[str], kind: str) -> None:
    refused = shell("items", "delete", *arguments, "--json")

    assert (refused.code, refused.error["kind"]) == (1, kind)
