"""Keys of the bucket."""

from __future__ import annotations

import pytest

from shardlake.format import locations


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("inbox/films/a.jsonl", ("films", "a.jsonl")),
        ("inbox/films/2026/a b/ü.png", ("films", "2026/a b/ü.png")),
        ("inbox/films/.api/0f.jsonl", ("films", ".api/0f.jsonl")),
        ("inbox/films/", None),
        ("inbox//a", None),
        ("inbox/films", None),
        ("data/u/segments/s.seg", None),
        ("xinbox/films/a", None),
        ("", None),
    ],
)
def test_an_inbox_key_is_a_collection_and_a_name(key: str, found: tuple[str, str] | None) -> None:
    assert locations.parse_inbox(key) == found
    assert found is None or locations.inbox(*found) == key


def test_everything_of_one_incarnation_lies_below_its_root() -> None:
    root = locations.collection_root("u")
    keys = [
        locations.segment("u", "s"),
        locations.manifest("u", "v"),
        locations.routing("u", "v", "space"),
        locations.shard("u", "v", 7),
        locations.build_artefact("u", "b", "train-x"),
    ]

    assert all(key.startswith(root) for key in keys)
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(locations.version_root("u", "v")) for key in keys[1:4])
    assert locations.rejected("films", "a.jsonl", "e") == "rejected/films/a.jsonl-e.jsonl"
    assert locations.api_batch("films", "0f") == "inbox/films/.api/0f.jsonl"
    assert locations.model_root("clip") == "models/clip/"
