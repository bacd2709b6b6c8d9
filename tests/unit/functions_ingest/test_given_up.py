"""A file that fails each time: whoever waits for it is told in the end, and not before."""

from __future__ import annotations

import json

import pytest

from functions.ingest.events import MAX_DELIVERIES
from shardlake.catalog.base import Receipt, ReceiptState
from tests.small_world import PICTURES, SmallWorld

KEY = "inbox/shots/a.jsonl"
DOWN = {"error": {"kind": "encoder-unavailable", "message": "the model cannot be loaded", "details": {}}}


def receipt(world: SmallWorld) -> Receipt | None:
    return world.catalog.receipts(world.catalog.get_collection("shots").uid, [KEY]).get(KEY)


@pytest.mark.parametrize(("delivery", "is_told"), [(1, False), (MAX_DELIVERIES - 1, False), (MAX_DELIVERIES, True)])
def test_the_last_delivery_that_fails_leaves_a_receipt(delivery: int, is_told: bool) -> None:
    world = SmallWorld()
    world.create("shots", PICTURES)
    event = world.drop(KEY, json.dumps({"id": "x", "media": {"text": "a boot"}}).encode())
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(delivery)
    world.encode.broken = DOWN

    assert world.deliver(event) == ["m-0"], "it is not lost: the queue keeps it among the dead letters"

    found = receipt(world)
    assert (found is not None) == is_told
    if found is not None:
        assert (found.state, found.accepted) == (ReceiptState.FAILED, 0)
        assert found.error == "encoder-unavailable: the model cannot be loaded"


def test_a_dead_letter_that_is_sent_again_is_taken_in_after_all() -> None:
    world = SmallWorld()
    world.create("shots", PICTURES)
    event = world.drop(KEY, json.dumps({"id": "x", "media": {"text": "a boot"}}).encode())
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(MAX_DELIVERIES)
    world.encode.broken = DOWN
    world.deliver(event)
    world.encode.broken = None

    assert world.deliver(event) == []

    found = receipt(world)
    assert found is not None
    assert (found.state, found.accepted) == (ReceiptState.DONE, 1)
