from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from encode_requests import BUCKET, PICTURE, base64_picture, vectors_of

from functions.encode.service import EncodeService
from shardlake.contracts.encode import DESCRIBE, decode_description, decode_encode_answer, encode_message
from shardlake.encoders.registry import EncoderRegistry
from shardlake.errors import DeadlineExceeded, Forbidden, InvalidInput, NotFound, ShardlakeError, Unavailable
from shardlake.testing.clock import ManualClock
from shardlake.types import Float32Array, MediaInput, Modality


def ask(service: EncodeService, *inputs: Any, **more: Any) -> dict[str, Any]:
    return service.answer({"encoder": "clip", "inputs": list(inputs), **more})


def test_an_answer_is_what_the_contract_decodes(service: EncodeService) -> None:
    request = orjson.loads(encode_message("clip", [{"text": "a red circle"}, base64_picture()], timeout_ms=5_000))
    answer = decode_encode_answer(orjson.dumps(service.answer(request)), count=2)

    assert answer.vectors.shape == (2, 512)
    np.testing.assert_allclose(np.linalg.norm(answer.vectors, axis=1), 1, atol=1e-5)
    assert answer.model["encoder"] == "clip"


def test_a_description_is_what_the_contract_decodes_and_names_what_is_missing(service: EncodeService) -> None:
    answer = service.answer(orjson.loads(DESCRIBE))
    found = decode_description(orjson.dumps(answer))

    assert found["clip"].dimension == 512
    assert found["clip"].modalities == {Modality.TEXT, Modality.IMAGE}
    assert [entry["name"] for entry in answer["unavailable"]] == ["absent"]


def test_a_picture_in_the_inbox_and_its_bytes_give_the_same_vector(service: EncodeService) -> None:
    vectors = vectors_of(ask(service, {"image": {"s3": f"s3://{BUCKET}/inbox/shop/a.png"}}, base64_picture()))

    assert np.array_equal(vectors[0], vectors[1])


def test_vectors_come_in_the_order_of_the_inputs_over_many_parts(service: EncodeService) -> None:
    texts = [{"text": f"{colour} {shape}"} for colour in ("red", "blue", "green") for shape in ("boot", "cup") * 8]
    mixed = [item for text in texts for item in (text, base64_picture())]
    together = vectors_of(ask(service, *mixed))
    alone = np.concatenate([vectors_of(ask(service, item)) for item in mixed[:6]])

    assert together.shape == (96, 512)
    np.testing.assert_allclose(together[:6], alone, atol=1e-4)  # another batch adds up in another order


BAD_INPUTS: dict[str, tuple[Any, type[ShardlakeError], str]] = {
    "no kind": ({}, InvalidInput, "invalid-media"),
    "two kinds": ({"text": "a", **base64_picture()}, InvalidInput, "invalid-media"),
    "no object": ("a red circle", InvalidInput, "invalid-media"),
    "null": (None, InvalidInput, "invalid-media"),
    "an unknown kind": ({"smell": "roses"}, InvalidInput, "invalid-media"),
    "an empty text": ({"text": ""}, InvalidInput, "invalid-media"),
    "a number as text": ({"text": 5}, InvalidInput, "invalid-media"),
    "a text too long": ({"text": "x" * 32_769}, InvalidInput, "invalid-media"),
    "audio": ({"audio": {"s3": f"s3://{BUCKET}/inbox/shop/a.ogg"}}, InvalidInput, "unknown-modality"),
    "an image without a source": ({"image": {}}, InvalidInput, "invalid-media"),
    "an image with two sources": ({"image": {"base64": "aaaa", "s3": "s3://a/b"}}, InvalidInput, "invalid-media"),
    "an image by address": ({"image": {"url": "http://example.com/a.png"}}, InvalidInput, "invalid-media"),
    "wrong base64": ({"image": {"base64": "%%%%"}}, InvalidInput, "invalid-media"),
    "base64 cut short": ({"image": {"base64": "aGVsbG8"}}, InvalidInput, "invalid-media"),
    "base64 of no picture": (base64_picture(b"hello"), InvalidInput, "invalid-media"),
    "base64 of half a picture": (base64_picture(PICTURE[: len(PICTURE) // 2]), InvalidInput, "invalid-media"),
    "another bucket": ({"image": {"s3": "s3://other/inbox/shop/a.png"}}, Forbidden, "forbidden-location"),
    "another folder": ({"image": {"s3": f"s3://{BUCKET}/data/private.png"}}, Forbidden, "forbidden-location"),
    "a way out of the inbox": (
        {"image": {"s3": f"s3://{BUCKET}/inbox/../data/private.png"}},
        Forbidden,
        "forbidden-location",
    ),
    "a bucket whose name begins the same": (
        {"image": {"s3": f"s3://{BUCKET}2/inbox/a"}},
        Forbidden,
        "forbidden-location",
    ),
    "an address of the web": ({"image": {"s3": "http://169.254.169.254/latest"}}, Forbidden, "forbidden-location"),
    "a file": ({"image": {"s3": "file:///etc/passwd"}}, Forbidden, "forbidden-location"),
    "no such object": ({"image": {"s3": f"s3://{BUCKET}/inbox/shop/none.png"}}, NotFound, "object-not-found"),
    "an object of text": ({"image": {"s3": f"s3://{BUCKET}/inbox/shop/notes.txt"}}, InvalidInput, "invalid-media"),
    "an object too large": ({"image": {"s3": f"s3://{BUCKET}/inbox/shop/huge.png"}}, InvalidInput, "media-too-large"),
}


@pytest.mark.parametrize("name", sorted(BAD_INPUTS))
def test_a_bad_input_is_refused_by_kind_and_index(service: EncodeService, name: str) -> None:
    item, error, kind = BAD_INPUTS[name]
    good = [{"text": "a red circle"}] * 40  # so that the bad one is not in the first part of the work

    with pytest.raises(error) as caught:
        ask(service, *good, item)

    assert caught.value.kind == kind
    assert caught.value.context["index"] == 40
    assert [entry["index"] for entry in caught.value.context["errors"]] == [40]  # type: ignore[attr-defined]
    orjson.dumps(caught.value.to_body())


def test_every_bad_input_of_a_part_is_named_at_once(service: EncodeService) -> None:
    with pytest.raises(InvalidInput) as caught:
        ask(service, base64_picture(b"x"), {"text": "fine"}, base64_picture(PICTURE[:60]))

    assert [entry["index"] for entry in caught.value.context["errors"]] == [0, 2]  # type: ignore[attr-defined]


BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "invalid-request"),
    "no inputs": ({"encoder": "clip"}, "invalid-request"),
    "an empty list": ({"encoder": "clip", "inputs": []}, "invalid-request"),
    "too many inputs": ({"encoder": "clip", "inputs": [{"text": "a"}] * 257}, "invalid-request"),
    "inputs that are no list": ({"encoder": "clip", "inputs": {"text": "a"}}, "invalid-request"),
    "no encoder": ({"inputs": [{"text": "a"}]}, "invalid-request"),
    "an encoder that is no text": ({"encoder": 5, "inputs": [{"text": "a"}]}, "invalid-request"),
    "an unknown encoder": ({"encoder": "clap", "inputs": [{"text": "a"}]}, "unknown-encoder"),
    "an unknown field": ({"encoder": "clip", "inputs": [{"text": "a"}], "k": 1}, "invalid-request"),
    "no time": ({"encoder": "clip", "inputs": [{"text": "a"}], "timeout_ms": 0}, "invalid-request"),
    "too much time": ({"encoder": "clip", "inputs": [{"text": "a"}], "timeout_ms": 10**9}, "invalid-request"),
    "time as text": ({"encoder": "clip", "inputs": [{"text": "a"}], "timeout_ms": "5"}, "invalid-request"),
    "a description that is no yes": ({"describe": 1}, "invalid-request"),
    "a description and more": ({"describe": True, "encoder": "clip"}, "invalid-request"),
}


@pytest.mark.parametrize("name", sorted(BAD_REQUESTS))
def test_a_bad_request_is_refused_by_kind(service: EncodeService, name: str) -> None:
    request, kind = BAD_REQUESTS[name]

    with pytest.raises(InvalidInput) as caught:
        service.answer(request)

    assert caught.value.kind == kind


def test_an_encoder_that_is_not_there_is_unavailable_not_wrong(service: EncodeService) -> None:
    with pytest.raises(Unavailable) as caught:
        service.answer({"encoder": "absent", "inputs": [{"text": "a"}]})

    assert caught.value.kind == "encoder-unavailable"


def test_without_a_bucket_no_object_is_read(
    registry: EncoderRegistry, clock: ManualClock, service: EncodeService
) -> None:
    alone = EncodeService(registry=registry, store=service.store, bucket="", clock=clock)

    for place in (f"s3://{BUCKET}/inbox/shop/a.png", "s3:///inbox/shop/none.png"):
        with pytest.raises((Forbidden, NotFound)):
            ask(alone, {"image": {"s3": place}})


class SlowEncoder:
    """An encoder that takes a second a call."""

    name, dimension, digest = "slow", 4, "none"
    modalities = frozenset({Modality.TEXT})

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def encode(self, inputs: Sequence[MediaInput]) -> Float32Array:
        self.clock.advance(1)
        return np.ones((len(inputs), 4), dtype=np.float32)


class SlowRegistry(EncoderRegistry):
    """Knows the slow encoder only."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__({})
        self.encoder = SlowEncoder(clock)

    def get(self, name: str) -> SlowEncoder:
        return self.encoder


def test_work_ends_with_its_deadline_between_two_parts(service: EncodeService, clock: ManualClock) -> None:
    slow = EncodeService(registry=SlowRegistry(clock), store=service.store, bucket=BUCKET, clock=clock)
    inputs = [{"text": "a"}] * 100

    assert ask(slow, *inputs, timeout_ms=9_000)["count"] == 100
    with pytest.raises(DeadlineExceeded):
        ask(slow, *inputs, timeout_ms=1_500)


def test_vectors_travel_as_little_endian_float32(service: EncodeService) -> None:
    answer = ask(service, {"text": "a red circle"})

    assert len(base64.b64decode(answer["vectors"])) == 4 * 512
    assert (answer["count"], answer["dimension"]) == (1, 512)
