"""What the router decides by itself: which space, which shards, which versions it keeps."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from functions.router import http
from functions.router import versions as versions_module
from functions.router.versions import Versions
from shardlake.catalog.base import Snapshot
from shardlake.deadline import Deadline
from shardlake.errors import FormatError
from shardlake.format.routing import Routing, encode_routing
from shardlake.format.segment import SegmentItem
from shardlake.observability import Observer
from shardlake.testing import CountingStore, ManualClock
from shardlake.types import AttributeType
from tests.lake import UID, Lake, by_shard, item, items_of, schema, space, unit_rows
from tests.small_world import FakeEncode, picture, recorded, vector_of

DEADLINE = Deadline.after(1e9, clock=ManualClock())


@pytest.fixture
def bilingual(tmp_path: Path) -> Lake:
    """Two spaces whose encoders both read text, of which one reads pictures too."""
    spaces = space(8, "visual", encoder="clip"), space(4, "semantic", encoder="minilm")
    lake = Lake(schema(*spaces), tmp_path)
    items = [item(f"i{i}", {"visual": unit_rows(9, 8)[i], "semantic": unit_rows(9, 4)[i]}) for i in range(9)]
    lake.invoker.functions["encode"] = FakeEncode(lake.store)
    return lake.built(items)


def _fused(lake: Lake, **weights: float) -> dict[str, float]:
    texts = {name: vector_of(b"boots", dimension) for name, dimension in (("visual", 8), ("semantic", 4))}
    shares = {name: weights.get(name, 1.0) / sum(weights.get(n, 1.0) for n in texts) for name in texts}
    rows = {"visual": unit_rows(9, 8), "semantic": unit_rows(9, 4)}
    return {f"i{i}": sum(shares[n] * float(rows[n][i] @ texts[n]) for n in texts) for i in range(9)}


def test_a_text_that_several_spaces_read_is_looked_for_in_each_and_fused(bilingual: Lake) -> None:
    answer = bilingual.search(query={"text": "boots"}, explain=True)

    expected = _fused(bilingual)
    assert [hit["id"] for hit in answer["hits"]] == sorted(expected, key=lambda name: -expected[name])
    assert all(set(hit["scores"]) == {"visual", "semantic"} for hit in answer["hits"])
    # Refine rows have 8 bits: scores are right to some thousandths.
    assert {hit["id"]: hit["score"] for hit in answer["hits"]} == pytest.approx(expected, abs=5e-3)
    assert [one["space"] for one in answer["plan"]["sources"]] == ["visual", "semantic"]
    assert bilingual.invoker.calls["encode"] == 3  # what there is, and once an encoder


def test_weights_of_spaces_count_in_a_weighted_fusion(bilingual: Lake) -> None:
    weights = {"visual": 9.0, "semantic": 1.0}

    answer = bilingual.search(query={"text": "boots", "space_weights": weights}, fusion="weighted")

    assert {hit["id"]: hit["score"] for hit in answer["hits"]} == pytest.approx(_fused(bilingual, **weights), abs=5e-3)


def test_a_text_and_a_picture_go_each_to_the_spaces_that_read_them(bilingual: Lake) -> None:
    image = {"base64": b64encode(picture()).decode()}

    hits = bilingual.search(query={"text": "boots", "image": image})["hits"]

    assert all(set(hit["scores"]) == {"visual", "semantic"} for hit in hits)


def test_a_space_in_which_nothing_counts_is_not_searched(bilingual: Lake) -> None:
    image = {"base64": b64encode(picture()).decode()}

    hits = bilingual.search(query={"text": "boots", "image": image, "weights": {"text": 0}})["hits"]

    assert all(set(hit["scores"]) == {"visual"} for hit in hits)


def test_vectors_of_several_spaces_are_searched_and_fused(bilingual: Lake) -> None:
    vectors = {name: vector_of(b"boots", dimension).tolist() for name, dimension in (("visual", 8), ("semantic", 4))}

    by_vector = bilingual.search(query={"vector": vectors}, recall=1)
    by_text = bilingual.search(query={"text": "boots"}, recall=1)

    assert [hit["id"] for hit in by_vector["hits"]] == [hit["id"] for hit in by_text["hits"]]
    refused = bilingual.post("search", {"query": {"vector": vectors, "spaces": ["visual"]}})
    assert (refused.status, refused.kind) == (400, "invalid-request")


@pytest.mark.parametrize("name", ["visual", "semantic"])
def test_a_named_space_is_searched_with_its_own_encoder(bilingual: Lake, name: str) -> None:
    hits = bilingual.search(query={"text": "boots", "spaces": [name]})["hits"]

    assert all(set(hit["scores"]) == {name} for hit in hits)
    assert len(hits) == 9


def test_a_picture_goes_to_the_space_whose_encoder_reads_pictures(bilingual: Lake) -> None:
    image = {"base64": b64encode(picture()).decode()}
    for _ in range(2):
        hits = bilingual.search(query={"image": image})["hits"]
        assert all(set(hit["scores"]) == {"visual"} for hit in hits)
    assert bilingual.invoker.calls["encode"] == 3, "what encoders there are is asked once"


def test_a_space_without_an_encoder_is_not_searched_by_text(tmp_path: Path) -> None:
    lake = Lake(schema(), tmp_path).built(items_of(unit_rows(3, 4)))

    unnamed, named = ({"query": {"text": "x", **more}} for more in ({}, {"spaces": ["v"]}))
    for body in (unnamed, named):
        answer = lake.post("search", body)
        assert (answer.status, answer.kind) == (400, "unknown-modality")


def test_shards_that_no_probe_names_are_asked_when_the_others_have_too_few_rows(tmp_path: Path) -> None:
    target = schema(space(4), target_rows=400, attributes={"number": AttributeType.INT})
    lake = Lake(target, tmp_path).built(items_of(unit_rows(1200, 4)))
    query = {"vector": {"v": unit_rows(1, 4, 3)[0].tolist()}}

    narrow = lake.search(query=query, nprobe=1, k=5)
    wide = [lake.search(query=query, nprobe=1, k=k) for k in (450, 1000)]

    assert narrow["shards"]["requested"] == 1
    assert [len(answer["hits"]) for answer in wide] == [450, 1000]
    assert [answer["shards"]["requested"] for answer in wide] == [2, 3]


def test_media_of_an_item_come_with_its_attributes(tmp_path: Path) -> None:
    media = {"image": {"s3": "s3://lake/inbox/films/a.png"}}
    payload = orjson.dumps({"id": "a", "attributes": {}, "media": media})
    lake = Lake(schema(), tmp_path).built([SegmentItem(id="a", payload=payload, vectors={})])

    assert lake.search()["hits"] == [{"id": "a", "score": None, "attributes": {}, "media": media}]
    assert lake.search(include=[])["hits"] == [{"id": "a", "score": None}]


def test_an_answer_that_breaks_a_law_is_not_given(tmp_path: Path) -> None:
    lake = Lake(schema(target_rows=2), tmp_path).built([item(f"i{i}", {"v": [i, 1, 0, 0]}) for i in range(4)])

    def twice(payload: bytes) -> bytes:
        body = orjson.loads(lake.leaf(payload))
        body["answers"][0]["hits"] *= 2
        return orjson.dumps(body)

    lake.invoker.functions["shard-search"] = by_shard(lake.leaf, {0: twice})
    answer = lake.post("search", {"k": 10})

    assert (answer.status, answer.kind) == (500, "invariant-broken")


def test_a_version_is_read_once_and_the_least_used_is_dropped_first(tmp_path: Path) -> None:
    lake = Lake(schema(), tmp_path)
    pointers = []
    for number in range(versions_module.MAX_VERSIONS_KEPT + 1):
        lake.add([item(f"i{number}", {"v": [1, 0, 0, number]})])
        lake.build(f"build-{number}")
        pointers.append(lake.catalog.pointer(UID))
    store = CountingStore(lake.store)
    kept = Versions(lake.catalog, store)

    def gets(*numbers: int) -> int:
        before = store.operations.get("get", 0)
        for number in numbers:
            pointer = pointers[number]
            assert pointer is not None
            assert kept.get(UID, Snapshot(pointer=pointer), lake.schema, DEADLINE).pointer is pointer
        return store.operations.get("get", 0) - before

    assert gets(0, 0, 0) == 1
    assert gets(*range(len(pointers))) == versions_module.MAX_VERSIONS_KEPT
    assert gets(*range(2, len(pointers))) == 0
    assert gets(0) == 1
    assert gets(1) == 1


def test_a_routing_file_of_another_shape_than_the_manifest_says_is_a_format_error(tmp_path: Path) -> None:
    target = schema(space(2), target_rows=500, attributes={"number": AttributeType.INT})
    lake = Lake(target, tmp_path).built(items_of(unit_rows(1000, 2)))
    key = next(key for key in lake.store.objects if key.endswith("v.router"))
    lake.store.objects[key] = encode_routing(Routing(centroids=np.ones((3, 5), np.float32)))

    answer = lake.post("search", {"query": {"vector": {"v": [1, 0]}}, "nprobe": 1})

    assert (answer.status, answer.kind) == (500, FormatError.default_kind)


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"method": "GET"}, 405, "method-not-allowed"),
        ({"query": {"k": "3"}}, 400, "invalid-request"),
        ({"name": "none"}, 404, "collection-not-found"),
        ({"name": "NO"}, 404, "collection-not-found"),
        ({"name": "%2e%2e"}, 404, "collection-not-found"),
        ({"body": ""}, 400, "invalid-json"),
        ({"body": "{"}, 400, "invalid-json"),
        ({"body": "[" * 100_000}, 400, "invalid-json"),
    ],
)
def test_a_wrong_route_is_answered_with_its_kind(
    tmp_path: Path, change: dict[str, Any], status: int, kind: str
) -> None:
    lake = Lake(schema(), tmp_path)
    event = recorded("http_api_v2")
    path = f"/v1/collections/{change.get('name', 'films')}/search"
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["http"]["method"] = change.get("method", "POST")
    event["queryStringParameters"] = change.get("query")
    event["body"] = change.get("body", "{}")

    observer = Observer("wrong-routes", stream=lake.log)
    raw = http.respond(event, lake.router, observer=observer, request_id="r", deadline=DEADLINE)

    assert (raw["statusCode"], orjson.loads(raw["body"])["error"]["kind"]) == (status, kind)
