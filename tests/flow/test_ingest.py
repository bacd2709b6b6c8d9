"""Files through the ingest function in one process: what stands afterwards, and what a repetition changes."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import Any

import numpy as np
import orjson
import pytest

from functions.ingest import intake
from functions.ingest.rejects import PART_BYTES
from shardlake import limits
from shardlake.catalog.base import ReceiptState
from shardlake.errors import Unavailable
from shardlake.format import locations
from shardlake.format.container import Container
from shardlake.format.overwrites import decode_overwrites
from shardlake.format.segment import Segment, decode_segment
from shardlake.format.shard import SHARD_KIND
from shardlake.testing import FlakyStore, LostReplyStore
from tests.leaf_searches import leaf_search
from tests.small_world import PICTURES, VECTORS, SmallWorld, picture, recorded, vector_of
from tests.tiny_shard import opened

NAME = "films"
INBOX = f"inbox/{NAME}/"
BOTH = {
    "spaces": {"visual": {"encoder": "clip"}, "words": {"encoder": "minilm"}},
    "attributes": {"colour": {"type": "keyword"}},
}


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, VECTORS)
    return made


def jsonl(*items: object) -> bytes:
    return b"".join(orjson.dumps(item) + b"\n" for item in items)


def item(number: int) -> dict[str, Any]:
    return {"id": f"i{number}", "attributes": {"price": number}, "vectors": {"v": [number + 1, 0, 0, 1]}}


def uid(world: SmallWorld) -> str:
    return world.catalog.get_collection(NAME).uid


def segments(world: SmallWorld) -> list[Segment]:
    return [decode_segment(world.objects.objects[row.key]) for row in world.catalog.segments(uid(world))]


def ids(world: SmallWorld) -> list[str]:
    return [one for segment in segments(world) for one in segment.ids]


def receipt(world: SmallWorld, name: str) -> Any:
    return world.catalog.receipts(uid(world), [INBOX + name]).get(INBOX + name)


def rejects(world: SmallWorld) -> list[dict[str, Any]]:
    return [json.loads(line) for key in world.keys("rejected/") for line in world.objects.objects[key].splitlines()]


def test_lines_become_a_segment_and_a_receipt(world: SmallWorld) -> None:
    again = world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl(item(0), item(1))))

    assert again == []
    (segment,) = segments(world)
    assert segment.ids == ["i0", "i1"]
    np.testing.assert_allclose(segment.spaces["v"].vectors[0], np.array([1, 0, 0, 1]) / np.sqrt(2), rtol=1e-6)
    assert json.loads(bytes(segment.payload[: int(segment.payload_offsets[1])])) == {
        "id": "i0",
        "attributes": {"price": 0},
    }
    found = receipt(world, "a.jsonl")
    assert (found.state, found.accepted, found.rejected, found.error) == (ReceiptState.DONE, 2, 0, None)
    assert found.etag == world.objects.head(f"{INBOX}a.jsonl").etag


def test_a_segment_comes_with_its_ids_and_with_a_shard_that_can_be_searched(world: SmallWorld) -> None:
    body = jsonl(item(0), item(1), {**item(0), "attributes": {"price": 9}})
    world.deliver(world.drop(f"{INBOX}a.jsonl", body))

    (row,) = world.catalog.segments(uid(world))
    seg, ids_key, shard = row.key, locations.overwrites(row.key), locations.delta(row.key)
    assert world.keys("data/") == sorted([seg, ids_key, shard])
    assert decode_overwrites(world.objects.objects[ids_key]) == [b"i0", b"i1"]
    data = world.objects.objects[shard]
    tail = Container(data, SHARD_KIND).directory.block("list_rows/v").offset
    found = opened(data, tail).search(
        leaf_search("v", np.array([1, 0, 0, 0], np.float32), filter=["gte", "price", 1.0])
    )
    assert [hit.id for hit in found.hits] == ["i1", "i0"]


def test_an_item_that_was_refused_in_a_run_and_is_not_in_the_next_is_not_lost() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    image = {"s3": f"s3://lake/{INBOX}later.png"}
    event = world.drop(
        f"{INBOX}a.jsonl", jsonl({"id": "x", "media": {"text": "x"}}, {"id": "p", "media": {"image": image}})
    )
    world.deliver(event)
    assert (ids(world), [one["kind"] for one in rejects(world)]) == (["x"], ["invalid-media"])

    world.objects.put(f"{INBOX}later.png", picture())
    world.deliver(event)

    assert set(ids(world)) == {"x", "p"}
    assert receipt(world, "a.jsonl").accepted == 2


def test_posted_items_take_the_same_way_in(world: SmallWorld) -> None:
    posted = world.call("POST", f"/v1/collections/{NAME}/items", {"items": [item(0), item(1)]})

    world.deliver(world.event(*world.keys("inbox/")))

    assert ids(world) == ["i0", "i1"]
    assert receipt(world, f".api/{posted.json['batch_id']}.jsonl").accepted == 2
    assert world.call("GET", f"/v1/collections/{NAME}").json["pending"] == {"segments": 1, "items": 2}


def test_an_event_delivered_twice_changes_nothing(world: SmallWorld) -> None:
    event = world.drop(f"{INBOX}a.jsonl", jsonl(item(0), {"id": 7}))
    world.deliver(event)
    before = (dict(world.objects.objects), world.catalog.segments(uid(world)))

    world.deliver(event)

    assert (dict(world.objects.objects), world.catalog.segments(uid(world))) == before
    assert world.catalog.rejected_total(uid(world)) == 1


def test_the_same_bytes_dropped_again_later_win_again(world: SmallWorld) -> None:
    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl({"id": "x", "attributes": {"price": 1}})))
    world.deliver(world.drop(f"{INBOX}b.jsonl", jsonl({"id": "x", "attributes": {"price": 2}})))

    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl({"id": "x", "attributes": {"price": 1}})))

    newest = world.catalog.segments(uid(world))[-1]
    assert newest.source == f"{INBOX}a.jsonl"


def test_a_bad_line_never_stops_the_good_ones(world: SmallWorld) -> None:
    body = b"\n".join(
        [
            b"\xef\xbb\xbf" + orjson.dumps(item(0)) + b"\r",
            b"no json",
            b"",
            b"   ",
            b'{"id": "nan", "vectors": {"v": [NaN, 0, 0, 0]}}',
            b"[" * 100 + b"]" * 100,
            b'{"id": "short", "vectors": {"v": [1]}}',
            b"\xff\xfe",
            b'{"id": "long", "attributes": {"colour": "' + b"x" * limits.MAX_LINE_BYTES + b'"}}',
            b'{"id": "sound", "media": {"audio": {"s3": "s3://lake/inbox/a.wav"}}}',
            orjson.dumps(item(1)),
        ]
    )

    assert world.deliver(world.drop(f"{INBOX}a.jsonl", body)) == []

    assert ids(world) == ["i0", "i1"]
    assert [(one["line"], one["id"], one["kind"]) for one in rejects(world)] == [
        (2, None, "invalid-json"),
        (5, None, "invalid-json"),
        (6, None, "invalid-json"),
        (7, "short", "invalid-vector-dimension"),
        (8, None, "invalid-json"),
        (9, None, "payload-too-large"),
        (10, "sound", "not-implemented"),
    ]
    assert all(set(one) == {"line", "id", "kind", "message"} for one in rejects(world))
    (key,) = world.keys("rejected/")
    assert key.startswith(f"rejected/{NAME}/a.jsonl-")
    found = receipt(world, "a.jsonl")
    assert (found.state, found.accepted, found.rejected) == (ReceiptState.DONE, 2, 7)
    assert world.call("GET", f"/v1/collections/{NAME}").json["rejected"] == 7


def test_many_refused_lines_are_written_away_in_parts(world: SmallWorld) -> None:
    number = 120_000

    world.deliver(world.drop(f"{INBOX}a.jsonl", b"7\n" * number))

    assert len(world.keys("rejected/")) == 2
    assert sorted(one["line"] for one in rejects(world)) == list(range(1, number + 1))
    assert all(len(world.objects.objects[key]) <= PART_BYTES + 1_000 for key in world.keys("rejected/"))
    assert receipt(world, "a.jsonl").rejected == number


def test_compressed_lines_are_read(world: SmallWorld) -> None:
    world.deliver(world.drop(f"{INBOX}a.jsonl.gz", gzip.compress(jsonl(*map(item, range(3))))))

    assert ids(world) == ["i0", "i1", "i2"]


def test_a_compressed_file_cut_short_keeps_what_was_whole_and_says_so(world: SmallWorld) -> None:
    body = gzip.compress(jsonl(*({"id": f"i{n}", "attributes": {"colour": f"{n * n}"}} for n in range(300_000))))

    again = world.deliver(world.drop(f"{INBOX}a.jsonl.gz", body[: len(body) // 2]))

    found = receipt(world, "a.jsonl.gz")
    assert again == []
    assert found.state is ReceiptState.FAILED
    assert found.error.startswith("invalid-file")
    assert 0 < found.accepted == len(ids(world)) < 300_000


def test_what_is_no_gzip_fails_with_its_kind(world: SmallWorld) -> None:
    world.deliver(world.drop(f"{INBOX}a.jsonl.gz", b"hello"))

    assert receipt(world, "a.jsonl.gz").error.startswith("invalid-file")


def test_segments_are_cut_at_their_bound(world: SmallWorld) -> None:
    number = limits.MAX_SEGMENT_ROWS + 5

    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl(*map(item, range(number)))))

    rows = world.catalog.segments(uid(world))
    assert [row.rows for row in rows] == [limits.MAX_SEGMENT_ROWS, 5]
    assert ids(world) == [f"i{n}" for n in range(number)]
    assert receipt(world, "a.jsonl").accepted == number


def test_a_chunk_is_smaller_than_a_segment() -> None:
    assert intake.CHUNK_ITEMS <= limits.MAX_SEGMENT_ROWS


def test_an_empty_file_has_a_receipt_of_nothing(world: SmallWorld) -> None:
    world.deliver(world.drop(f"{INBOX}a.jsonl", b""))

    assert (receipt(world, "a.jsonl").state, receipt(world, "a.jsonl").accepted) == (ReceiptState.DONE, 0)
    assert ids(world) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("notes.txt", "invalid-file"),
        ("notes.json", "invalid-file"),
        ("deletes/a.parquet", "invalid-file"),
        ("a.wav", "not-implemented"),
        ("film.MP4", "not-implemented"),
    ],
)
def test_a_file_that_is_not_taken_in_has_a_receipt_that_says_why(world: SmallWorld, name: str, kind: str) -> None:
    assert world.deliver(world.drop(INBOX + name, b"{}")) == []

    assert receipt(world, name).state is ReceiptState.FAILED
    assert receipt(world, name).error.startswith(kind)


@pytest.mark.parametrize("collection", ["none", "NO", "%"])
def test_a_file_of_no_collection_is_named_in_rejected_and_not_tried_again(collection: str) -> None:
    world = SmallWorld()

    again = world.deliver(world.drop(f"inbox/{collection}/a.jsonl", jsonl(item(0))))

    assert again == []
    assert [one["kind"] for one in rejects(world)] == ["collection-not-found"]
    assert world.lines()[-1]["files_refused"] == 1


def test_a_file_of_a_dropped_collection_goes_to_no_other(world: SmallWorld) -> None:
    event = world.drop(f"{INBOX}a.jsonl", jsonl(item(0)))
    world.call("DELETE", f"/v1/collections/{NAME}")

    assert world.deliver(event) == []
    assert world.keys("data/") == []


def test_a_file_that_is_gone_again_is_nothing(world: SmallWorld) -> None:
    assert world.deliver(world.event(f"{INBOX}a.jsonl", "elsewhere/a.jsonl", "inbox/a.jsonl")) == []

    assert world.lines()[-1]["files_gone"] == 1
    assert world.lines()[-1]["files_ignored"] == 2


def test_keys_come_url_encoded(world: SmallWorld) -> None:
    name = "my films & more, ünïcode+plus.jsonl"

    world.deliver(world.drop(INBOX + name, jsonl(item(0))))

    assert receipt(world, name).accepted == 1


def test_the_test_event_of_s3_is_nothing(world: SmallWorld) -> None:
    event = recorded("sqs")
    event["Records"][0]["body"] = json.dumps(recorded("s3_test"))

    assert world.deliver(event) == []
    assert world.lines()[-1]["outcome"] == "ok"


def test_the_recorded_event_of_s3_is_read(world: SmallWorld) -> None:
    world.objects.put(f"{INBOX}my films & more.jsonl", jsonl(item(0)))
    event = recorded("sqs")
    event["Records"][0]["body"] = json.dumps(recorded("s3_put"))

    assert world.deliver(event) == []
    (row,) = world.catalog.segments(uid(world))
    assert row.order == "2026-11-23T12:00:00.123Z#0055AED6DCD90281E500000000000000#000000"


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", '{"Records": [{}]}', '{"Records": [7]}'])
def test_a_message_that_is_no_notification_is_delivered_again_and_holds_up_no_other(
    world: SmallWorld, body: str
) -> None:
    event = world.drop(f"{INBOX}a.jsonl", jsonl(item(0)))
    broken = json.loads(json.dumps(event["Records"][0])) | {"messageId": "broken", "body": body}
    event["Records"].insert(0, broken)

    assert world.deliver(event) == ["broken"]
    assert ids(world) == ["i0"]
    assert world.lines()[-1]["outcome"] == "malformed-file"


@pytest.mark.parametrize("fault", [FlakyStore, LostReplyStore])
@pytest.mark.parametrize("operation", ["head", "open", "put_if_absent", "put"])
def test_a_store_that_fails_is_tried_again_and_then_nothing_is_twice(fault: type[FlakyStore], operation: str) -> None:
    world = SmallWorld(wrap=lambda inner: fault(inner, when=lambda doing, key: doing == operation))
    world.create(NAME, VECTORS)
    event = world.drop(f"{INBOX}a.jsonl", jsonl(item(0), 7, item(1)))

    while world.deliver(event):
        assert receipt(world, "a.jsonl") is None

    assert ids(world) == ["i0", "i1"]
    assert receipt(world, "a.jsonl").accepted == 2
    assert world.store.left == 0 or fault is LostReplyStore


def test_without_time_the_message_is_delivered_again() -> None:
    world = SmallWorld(remaining_ms=0)
    world.create(NAME, VECTORS)

    assert world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl(item(0)))) == ["m-0"]
    assert world.lines()[-1]["outcome"] == "deadline-exceeded"


def test_an_encode_function_that_fails_loses_nothing() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    world.deliver(world.drop(f"{INBOX}warm.jsonl", jsonl({"id": "w", "media": {"text": "warm"}})))
    event = world.drop(f"{INBOX}a.jsonl", jsonl({"id": "a", "media": {"text": "red"}}))
    world.encode.broken = Unavailable("busy").to_body()

    first = world.deliver(event)
    world.encode.broken = None
    second = world.deliver(event)

    assert (first, second) == (["m-0"], [])
    assert ids(world) == ["w", "a"]


def test_media_of_several_kinds_in_one_space_are_the_mean_of_their_unit_vectors() -> None:
    world = SmallWorld()
    world.create(NAME, BOTH)
    data = picture()
    image = {"base64": b64encode(data).decode()}

    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl({"id": "a", "media": {"text": "red", "image": image}})))

    (segment,) = segments(world)
    mean = (vector_of(b"red", 8) + vector_of(data, 8)) / 2
    np.testing.assert_allclose(segment.spaces["visual"].vectors[0], mean / np.linalg.norm(mean), rtol=1e-5)
    np.testing.assert_allclose(segment.spaces["words"].vectors[0], vector_of(b"red", 4), rtol=1e-5)
    assert json.loads(bytes(segment.payload)) == {"id": "a", "attributes": {}}, "bytes of media are not kept"


def test_a_vector_that_is_brought_stands_and_the_other_space_is_encoded() -> None:
    world = SmallWorld()
    world.create(NAME, BOTH)
    own = [1.0, *[0.0] * 7]

    world.deliver(
        world.drop(f"{INBOX}a.jsonl", jsonl({"id": "a", "media": {"text": "red"}, "vectors": {"visual": own}}))
    )

    (segment,) = segments(world)
    assert segment.spaces["visual"].vectors[0].tolist() == own
    np.testing.assert_allclose(segment.spaces["words"].vectors[0], vector_of(b"red", 4), rtol=1e-5)
    assert sum(world.encode.batches) == 1


def test_media_are_encoded_in_batches_that_fit_an_invocation() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    items = [{"id": f"{n}", "media": {"text": f"word {n}"}} for n in range(limits.MAX_INPUTS_PER_ENCODE * 2 + 3)]

    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl(*items)))

    assert sorted(world.encode.batches) == [3, limits.MAX_INPUTS_PER_ENCODE, limits.MAX_INPUTS_PER_ENCODE]
    (segment,) = segments(world)
    np.testing.assert_allclose(segment.spaces["visual"].vectors[300], vector_of(b"word 300", 8), rtol=1e-5)


def test_large_pictures_travel_in_batches_by_bytes() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    # A long tail after the end of a picture is no harm to a decoder and makes it large.
    large = [{"image": {"base64": b64encode(picture(kind="JPEG") + bytes(3_000_000 + n)).decode()}} for n in range(3)]

    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl(*({"id": f"{n}", "media": m} for n, m in enumerate(large)))))

    assert world.encode.batches == [1, 1, 1]
    assert ids(world) == ["0", "1", "2"]


def test_a_picture_that_cannot_be_decoded_refuses_its_item_and_no_other() -> None:
    world = SmallWorld()
    world.create(NAME, PICTURES)
    good, bad = picture(kind="JPEG", size=(32, 32)), bytearray(picture(kind="JPEG", size=(32, 32)))
    bad[20:60] = bytes(40)  # its tables are gone, which only a decoder sees

    items = [
        {"id": f"{n}", "media": {"image": {"base64": b64encode(bytes(bad) if n % 3 == 1 else good).decode()}}}
        for n in range(9)
    ]
    world.deliver(world.drop(f"{INBOX}a.jsonl", jsonl(*items)))

    assert ids(world) == [f"{n}" for n in range(9) if n % 3 != 1]
    assert [(one["line"], one["id"], one["kind"]) for one in rejects(world)] == [
        (2, "1", "invalid-media"),
        (5, "4", "invalid-media"),
        (8, "7", "invalid-media"),
    ]


def test_what_arrives_late_gives_way_to_what_was_written_after_it(world: SmallWorld) -> None:
    late = world.drop(f"{INBOX}a.jsonl", jsonl(item(1), item(2), item(3)))
    later = world.drop(f"{INBOX}b.jsonl", jsonl(item(2)))

    world.deliver(later)
    world.deliver(late)
    world.deliver(late)

    rows = world.catalog.segments(uid(world))
    assert [row.source for row in rows] == [f"{INBOX}b.jsonl", f"{INBOX}a.jsonl"]
    assert [decode_segment(world.objects.objects[row.key]).ids for row in rows] == [["i2"], ["i1", "i3"]]
