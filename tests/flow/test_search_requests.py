"""Every wrong search of a collection that is built: 4xx with its kind, nobody asked, nothing crashed."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from shardlake import limits
from tests.flow.search_lake import DIMENSION, fresh
from tests.lake import Lake
from tests.small_world import picture

VECTOR = [0.5] * DIMENSION
NESTED: Any = {"number": 1}
for _ in range(20):
    NESTED = {"$not": NESTED}

BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("k of nothing", {"k": 0}, 400, "k-out-of-range"),
    ("huge k", {"k": limits.MAX_K + 1}, 400, "k-out-of-range"),
    ("negative k", {"k": -1}, 400, "k-out-of-range"),
    ("k as text", {"k": "3"}, 400, "invalid-request"),
    ("k as a fraction", {"k": 3.5}, 400, "invalid-request"),
    ("recall of nothing", {"recall": 0}, 400, "invalid-request"),
    ("recall beyond one", {"recall": 1.5}, 400, "invalid-request"),
    ("no lists", {"nprobe": 0}, 400, "invalid-request"),
    ("no time", {"timeout_ms": 0}, 400, "invalid-request"),
    ("too much time", {"timeout_ms": 10**9}, 400, "invalid-request"),
    ("time as text", {"timeout_ms": "1"}, 400, "invalid-request"),
    ("an unknown field", {"limit": 3}, 400, "invalid-request"),
    ("an unknown part", {"include": ["payload"]}, 400, "invalid-request"),
    ("an empty query", {"query": {}}, 400, "invalid-request"),
    ("only weights", {"query": {"weights": {"text": 1}}}, 400, "invalid-request"),
    ("a blank text", {"query": {"text": "   "}}, 400, "invalid-media"),
    ("a text too long", {"query": {"text": "x" * (limits.MAX_TEXT_CHARS + 1)}}, 400, "invalid-request"),
    ("a vector of another dimension", {"query": {"vector": {"v": [1.0]}}}, 400, "invalid-vector-dimension"),
    ("an empty vector", {"query": {"vector": {"v": []}}}, 400, "invalid-vector-dimension"),
    ("no vector in vector", {"query": {"vector": {}}}, 400, "invalid-request"),
    ("a vector of texts", {"query": {"vector": {"v": ["1"] * DIMENSION}}}, 400, "invalid-request"),
    ("a vector of bools", {"query": {"vector": {"v": [True] * DIMENSION}}}, 400, "invalid-request"),
    ("a component too large", {"query": {"vector": {"v": [1e16, *VECTOR[1:]]}}}, 400, "invalid-vector"),
    ("a vector of an unknown space", {"query": {"vector": {"w": VECTOR}}}, 400, "unknown-space"),
    ("an unknown space", {"query": {"text": "a", "spaces": ["w"]}}, 400, "unknown-space"),
    ("a space and a vector of another", {"query": {"vector": {"v": VECTOR}, "spaces": ["w"]}}, 400, "unknown-space"),
    ("two spaces of which one is unknown", {"query": {"text": "a", "spaces": ["v", "w"]}}, 400, "unknown-space"),
    ("weights of what is not there", {"query": {"text": "a", "weights": {"image": 1}}}, 400, "invalid-request"),
    ("weights that are nothing", {"query": {"text": "a", "weights": {"text": 0}}}, 400, "invalid-request"),
    ("negative weights", {"query": {"text": "a", "weights": {"text": -1}}}, 400, "invalid-request"),
    ("no base64", {"query": {"image": {"base64": "%%%"}}}, 400, "invalid-media"),
    ("no picture", {"query": {"image": {"base64": b64encode(b"hello").decode()}}}, 400, "invalid-media"),
    ("half a picture", {"query": {"image": {"base64": b64encode(picture()[:20]).decode()}}}, 400, "invalid-media"),
    ("a picture elsewhere", {"query": {"image": {"s3": "s3://other/inbox/a.png"}}}, 403, "forbidden-location"),
    ("a picture upstairs", {"query": {"image": {"s3": "s3://lake/inbox/../data/x"}}}, 403, "forbidden-location"),
    ("a filter of an unknown attribute", {"filter": {"nope": 1}}, 400, "invalid-filter"),
    ("a filter of another type", {"filter": {"number": "1"}}, 400, "invalid-filter"),
    ("a filter too deep", {"filter": NESTED}, 400, "invalid-filter"),
    ("a filter by text", {"filter": {"note": "x"}}, 400, "invalid-filter"),
    ("a filter by place of a word", {"filter": {"side": {"$geo_box": {}}}}, 400, "invalid-filter"),
    ("audio", {"query": {"audio": {"base64": "AA=="}}}, 501, "not-implemented"),
    ("video", {"query": {"video": {"base64": "AA=="}}}, 501, "not-implemented"),
    ("nothing liked", {"query": {"like": []}}, 400, "invalid-request"),
    ("too many liked", {"query": {"like": ["a"] * (limits.MAX_LIKE + 1)}}, 400, "invalid-request"),
    ("a weight of no space", {"query": {"text": "a", "space_weights": {"w": 1}}}, 400, "invalid-request"),
    ("a weight of no match", {"query": {"text": "a", "weights": {"match": 1}}}, 400, "invalid-request"),
    ("a negative weight of a space", {"query": {"text": "a", "space_weights": {"v": -1}}}, 400, "invalid-request"),
    ("a weight of nothing", {"query": {"text": "a", "space_weights": {"v": 0}}}, 400, "invalid-request"),
    ("a match of no attribute", {"match": {"nope": "x"}}, 400, "invalid-match"),
    ("a match of a keyword", {"match": {"side": "x"}}, 400, "invalid-match"),
    ("an unknown fusion", {"fusion": "sum"}, 400, "invalid-request"),
    ("a rank of nothing", {"rank": ""}, 400, "invalid-request"),
    ("half a rank", {"rank": "score +"}, 400, "invalid-rank"),
    ("a rank by a keyword", {"rank": "side"}, 400, "invalid-rank"),
    ("a rank too long", {"rank": "1" * (limits.MAX_RANK_CHARS + 1)}, 400, "invalid-request"),
    ("a facet of no attribute", {"facets": ["nope"]}, 400, "invalid-facet"),
    ("a facet of a text", {"facets": ["note"]}, 400, "invalid-facet"),
    ("too many facets", {"facets": ["side"] * (limits.MAX_FACETS + 1)}, 400, "invalid-request"),
    ("groups of no attribute", {"group_by": {"attribute": "nope"}}, 400, "invalid-request"),
    ("groups by a text", {"group_by": {"attribute": "note"}}, 400, "invalid-request"),
    ("groups without an attribute", {"group_by": {"size": 2}}, 400, "invalid-request"),
    ("groups of nothing", {"group_by": {"attribute": "side", "size": 0}}, 400, "invalid-request"),
    ("too many hits in groups", {"group_by": {"attribute": "side", "size": 100}, "k": 11}, 400, "k-out-of-range"),
    ("a cursor of nobody", {"cursor": "x"}, 400, "invalid-cursor"),
    ("a cursor too long", {"cursor": "x" * (limits.MAX_CURSOR_CHARS + 1)}, 400, "invalid-request"),
    ("more diversity than there is", {"query": {"text": "a"}, "diversity": 1.5}, 400, "invalid-request"),
    ("diversity by id", {"diversity": 0.5}, 400, "invalid-request"),
    (
        "diversity and groups",
        {"query": {"text": "a"}, "diversity": 0.5, "group_by": {"attribute": "side"}},
        400,
        "invalid-request",
    ),
    (
        "ranks of ranks",
        {"query": {"text": "a"}, "match": {"note": "x"}, "fusion": "rrf", "rank": "score"},
        400,
        "invalid-request",
    ),
    (
        "groups of ranks",
        {"query": {"text": "a"}, "match": {"note": "x"}, "fusion": "rrf", "group_by": {"attribute": "side"}},
        400,
        "invalid-request",
    ),
]


@pytest.fixture(scope="module")
def lake() -> Lake:
    """The collection, built."""
    return fresh()


@pytest.mark.parametrize(("body", "status", "kind"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_wrong_search_is_answered_with_its_kind_and_asks_no_shard(
    lake: Lake, body: dict[str, Any], status: int, kind: str
) -> None:
    lake.invoker.calls.clear()

    answer = lake.post("search", body)
    in_batch = lake.post("search:batch", {"searches": [body]}).json["results"][0]

    assert (answer.status, answer.kind) == (status, kind)
    assert in_batch["error"]["kind"] == kind
    assert set(answer.json["error"]) == {"kind", "message", "details"}
    assert lake.invoker.calls["shard-search"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("search:batch", {}, 400, "invalid-request"),
        ("search:batch", {"searches": []}, 400, "invalid-request"),
        ("search:batch", {"searches": [1]}, 400, "invalid-request"),
        ("search:batch", {"searches": [{}] * (limits.MAX_SEARCHES_PER_BATCH + 1)}, 400, "invalid-request"),
        ("search", [], 400, "invalid-request"),
        ("search", 3, 400, "invalid-request"),
        ("searching", {}, 404, "route-not-found"),
        ("search/more", {}, 404, "route-not-found"),
    ],
)
def test_a_wrong_message_is_answered_with_its_kind(lake: Lake, path: str, body: object, status: int, kind: str) -> None:
    answer = lake.post(path, body)

    assert (answer.status, answer.kind) == (status, kind)
