"""What functions say to the encode function and hear back, errors of the wire included."""

from __future__ import annotations

import pickle
from base64 import b64encode
from typing import Any

import numpy as np
import orjson
import pytest

from shardlake.contracts.encode import decode_description, decode_encode_answer, encode_message
from shardlake.errors import (
    ErrorKind,
    FormatError,
    InternalError,
    InvalidInput,
    ShardlakeError,
    Unavailable,
    class_of,
    from_body,
)


def answer(**changes: Any) -> bytes:
    vectors = b64encode(np.eye(2, 3, dtype="<f4").tobytes()).decode()
    return orjson.dumps({"vectors": vectors, "count": 2, "dimension": 3, "model": {"encoder": "clip"}} | changes)


def test_vectors_come_back_in_order_and_may_be_written_to() -> None:
    found = decode_encode_answer(answer(), count=2)

    assert found.vectors.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert found.vectors.flags.writeable
    assert found.model == {"encoder": "clip"}


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": "%"}, {"vectors": "AAAA"}, {"vectors": None}, {"count": 3}, {"count": "x"}, {"dimension": 2},
        {"model": None}, {"vectors": b64encode(np.full((2, 3), np.nan, "<f4").tobytes()).decode()},
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_format_error(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        decode_encode_answer(answer(**changes), count=2)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{}", b'{"encoders": [{}]}', b'{"encoders": 3}'])
def test_a_description_that_is_none_is_a_format_error(payload: bytes) -> None:
    with pytest.raises(FormatError):
        decode_description(payload)


def test_another_number_of_vectors_than_asked_for_is_a_format_error() -> None:
    with pytest.raises(FormatError):
        decode_encode_answer(answer(), count=3)


def test_an_error_is_raised_again_on_this_side_as_itself() -> None:
    sent = InvalidInput("no picture", kind=ErrorKind.INVALID_MEDIA, index=3)

    with pytest.raises(InvalidInput) as caught:
        decode_encode_answer(orjson.dumps(sent.to_body()), count=2)

    assert (caught.value.kind, caught.value.context["index"]) == (ErrorKind.INVALID_MEDIA, 3)


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_survives_the_wire_and_a_process_border(kind: ErrorKind) -> None:
    sent = class_of(kind)("a message", kind=kind, at="here")

    for received in (from_body(orjson.loads(orjson.dumps(sent.to_body()))), pickle.loads(pickle.dumps(sent))):
        assert type(received) is type(sent)
        assert received.to_body() == sent.to_body()


@pytest.mark.parametrize("body", [None, [], {}, {"error": 3}, {"error": {"kind": "new"}}, {"error": {"kind": 7}}])
def test_an_error_of_another_shape_is_our_bug(body: object) -> None:
    assert isinstance(from_body(body), InternalError)


def test_details_cannot_take_the_place_of_the_error_itself() -> None:
    body = {
        "error": {"kind": "throttled", "message": "m", "details": {"message": "x", "kind": "y", "self": "z", "a": 1}}
    }

    assert from_body(body).context == {"a": 1}


def test_a_message_says_whole_milliseconds() -> None:
    message = orjson.loads(encode_message("clip", [{"text": "red"}], timeout_ms=12.7))

    assert message == {"encoder": "clip", "inputs": [{"text": "red"}], "timeout_ms": 12}


def test_what_may_be_tried_again_says_so() -> None:
    assert issubclass(class_of(ErrorKind.ENCODER_UNAVAILABLE), Unavailable)
    assert {cls.retryable for cls in map(class_of, ErrorKind)} == {True, False}
    assert all(issubclass(class_of(kind), ShardlakeError) for kind in ErrorKind)
