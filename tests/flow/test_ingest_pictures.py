"""Dropped pictures and their sidecars: whatever comes first, the item has its attributes in the end."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from shardlake import limits
from shardlake.catalog.base import ReceiptState
from shardlake.format.segment import decode_segment
from tests.small_world import PICTURES, VECTORS, SmallWorld, picture, vector_of

NAME = "photos"
INBOX = f"inbox/{NAME}/"
KEY = f"{INBOX}shoes/red one.png"
SIDECAR = f"{KEY}.json"
RED = json.dumps({"colour": "red"}).encode()


@pytest.fixture
def world() -> SmallWorld:
    made = SmallWorld()
    made.create(NAME, PICTURES)
    return made


def payloads(world: SmallWorld) -> list[dict[str, Any]]:
    """Returns what each segment holds, oldest first."""
    found = []
    for row in world.catalog.segments(world.catalog.get_collection(NAME).uid):
        segment = decode_segment(world.objects.objects[row.key])
        assert segment.rows == 1
        found.append(json.loads(bytes(segment.payload)))
    return found


def receipt(world: SmallWorld, key: str) -> Any:
    return world.catalog.receipts(world.catalog.get_collection(NAME).uid, [key]).get(key)


def test_a_picture_is_an_item_named_by_its_key(world: SmallWorld) -> None:
    data = picture()

    world.deliver(world.drop(KEY, data))

    assert payloads(world) == [
        {"id": "shoes/red one.png", "attributes": {}, "media": {"image": {"s3": f"s3://lake/{KEY}"}}}
    ]
    (row,) = world.catalog.segments(world.catalog.get_collection(NAME).uid)
    segment = decode_segment(world.objects.objects[row.key])
    np.testing.assert_allclose(segment.spaces["visual"].vectors[0], vector_of(data, 8), rtol=1e-5)
    assert receipt(world, KEY).accepted == 1


@pytest.mark.parametrize("body", [RED, json.dumps({"attributes": {"colour": "red"}}).encode()])
def test_a_sidecar_that_stands_gives_the_attributes(world: SmallWorld, body: bytes) -> None:
    side = world.drop(SIDECAR, body)
    main = world.drop(KEY, picture())

    world.deliver(side)
    world.deliver(main)

    assert [one["attributes"] for one in payloads(world)] == [{"colour": "red"}]
    assert receipt(world, SIDECAR).state is ReceiptState.DONE


def test_a_sidecar_read_with_its_picture_is_not_read_again(world: SmallWorld) -> None:
    side = world.drop(SIDECAR, RED)
    main = world.drop(KEY, picture())

    world.deliver(main)
    world.deliver(side)

    assert len(payloads(world)) == 1


def test_a_sidecar_that_comes_later_has_the_picture_taken_in_again(world: SmallWorld) -> None:
    world.deliver(world.drop(KEY, picture()))
    world.deliver(world.drop(SIDECAR, RED))

    assert [one["attributes"] for one in payloads(world)] == [{}, {"colour": "red"}]
    assert receipt(world, KEY).accepted == 1


def test_a_changed_sidecar_changes_the_item(world: SmallWorld) -> None:
    world.deliver(world.drop(SIDECAR, RED))
    world.deliver(world.drop(KEY, picture()))
    event = world.drop(SIDECAR, b'{"colour": "blue"}')

    world.deliver(event)
    world.deliver(event)

    assert [one["attributes"] for one in payloads(world)] == [{"colour": "red"}, {"colour": "blue"}]


def test_a_sidecar_written_while_its_picture_is_taken_in_is_not_lost(world: SmallWorld) -> None:
    main = world.drop(KEY, picture())
    inner = world.invoker.functions["encode"]
    events: list[dict[str, Any]] = []

    def encode(payload: bytes) -> bytes:
        if b"describe" not in payload and not events:
            events.append(world.drop(SIDECAR, RED))
        return inner(payload)

    world.invoker.functions["encode"] = encode
    world.deliver(main)
    world.deliver(events[0])

    assert [one["attributes"] for one in payloads(world)] == [{}, {"colour": "red"}]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no json", "invalid-json"),
        (b"[]", "invalid-request"),
        (b'{"size": 3}', "invalid-item"),
        (b'{"colour": 3}', "invalid-item"),
        (b'{"attributes": {"colour": 3}}', "invalid-item"),
        (b'{"attributes": {}, "media": "x"}', "invalid-item"),
    ],
)
def test_a_wrong_sidecar_refuses_its_picture_by_kind(world: SmallWorld, body: bytes, kind: str) -> None:
    world.deliver(world.drop(SIDECAR, body))
    world.deliver(world.drop(KEY, picture()))

    assert payloads(world) == []
    (line,) = [json.loads(world.objects.objects[key]) for key in world.keys("rejected/")]
    assert line["kind"] == kind
    assert receipt(world, KEY).rejected == 1


@pytest.mark.parametrize("data", [b"", b"hello", picture(kind="JPEG", size=(64, 64))[:200]])
def test_what_is_no_whole_picture_is_refused(world: SmallWorld, data: bytes) -> None:
    assert world.deliver(world.drop(KEY, data)) == []

    assert payloads(world) == []
    assert (receipt(world, KEY).accepted, receipt(world, KEY).rejected) == (0, 1)


def test_a_picture_beyond_its_bound_is_refused_unread(world: SmallWorld) -> None:
    world.deliver(world.drop(KEY, picture() + bytes(limits.MAX_IMAGE_BYTES)))

    (line,) = [json.loads(world.objects.objects[key]) for key in world.keys("rejected/")]
    assert line["kind"] == "media-too-large"
    assert world.encode.batches == []


def test_a_picture_in_a_collection_that_reads_none_is_refused(world: SmallWorld) -> None:
    world.create("numbers", VECTORS)

    world.deliver(world.drop("inbox/numbers/a.png", picture()))

    (line,) = [json.loads(world.objects.objects[key]) for key in world.keys("rejected/numbers/")]
    assert line["kind"] == "unknown-modality"
