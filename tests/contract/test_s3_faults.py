"""The S3 adapter on a line that loses replies, meets other writers, breaks in the middle, or hangs."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from shardlake.deadline import Deadline
from shardlake.errors import Conflict, DeadlineExceeded, Forbidden, InternalError, Overloaded, Unavailable
from shardlake.store import s3
from shardlake.store.base import ByteRange
from shardlake.store.s3 import S3Store
from tests.contract.line import Call, Line, lose_reply, lose_request

IN_FLIGHT = ClientError(
    {"Error": {"Code": "ConditionalRequestConflict"}, "ResponseMetadata": {"HTTPStatusCode": 409}}, "PutObject"
)


def meet_another(call: Call, arguments: dict[str, Any]) -> Any:
    raise IN_FLIGHT


@pytest.fixture
def line(ministack: str) -> Iterator[Line]:
    client = s3.connect(endpoint_url=ministack)
    client.create_bucket(Bucket="faults")
    yield Line(client)
    for entry in client.list_objects_v2(Bucket="faults").get("Contents", ()):
        client.delete_object(Bucket="faults", Key=entry["Key"])
    client.close()


@pytest.fixture
def store(line: Line) -> Iterator[S3Store]:
    store = S3Store("faults", client=line, max_parallel=4, sleep=lambda seconds: None)  # type: ignore[arg-type]
    yield store
    line.faults = {}
    store.close()


def test_a_conditional_put_whose_reply_is_lost_is_read_back(line: Line, store: S3Store) -> None:
    line.faults = {"put_object": [lose_reply]}

    info = store.put_if_absent("k", b"ours")

    assert info == store.head("k")


def test_a_conditional_put_whose_request_is_lost_is_unavailable(line: Line, store: S3Store) -> None:
    line.faults = {"put_object": [lose_request]}

    with pytest.raises(Unavailable):
        store.put_if_absent("k", b"ours")


def test_a_lost_conditional_put_that_finds_another_body_is_a_conflict(line: Line, store: S3Store) -> None:
    store.put("k", b"theirs")
    line.faults = {"put_object": [lose_request]}

    with pytest.raises(Conflict):
        store.put_if_absent("k", b"ours")


def test_a_conditional_put_that_meets_one_in_flight_is_tried_again(line: Line, store: S3Store) -> None:
    line.faults = {"put_object": [meet_another, meet_another]}

    store.put_if_absent("k", b"ours")

    assert store.get("k", max_bytes=4) == b"ours"


def test_a_conditional_put_that_always_meets_one_in_flight_is_overloaded(line: Line, store: S3Store) -> None:
    line.faults = {"put_object": [meet_another] * 100}

    with pytest.raises(Overloaded):
        store.put_if_absent("k", b"ours")


def test_one_failing_range_fails_the_read_with_its_reason(line: Line, store: S3Store) -> None:
    store.put("k", b"0123456789")
    line.faults = {"get_object": [lose_request]}

    with pytest.raises(Unavailable):
        store.get_ranges("k", [ByteRange(at, at + 1) for at in range(10)])


def test_a_stream_that_breaks_in_the_middle_is_unavailable(line: Line, store: S3Store) -> None:
    def cut(call: Call, arguments: dict[str, Any]) -> Any:
        return {**call(**arguments), "Body": StreamingBody(io.BytesIO(b"half"), 8)}

    store.put("k", b"half+more")
    line.faults = {"get_object": [cut, cut]}

    with store.open("k") as stream, pytest.raises(Unavailable):
        stream.read()
    with pytest.raises(Unavailable):
        store.get("k", max_bytes=100)


def test_a_body_over_the_bound_is_not_read(line: Line, store: S3Store) -> None:
    class Unreadable(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("nothing may be read")

    def announce(call: Call, arguments: dict[str, Any]) -> Any:
        return {"ContentLength": 10**15, "Body": Unreadable()}

    line.faults = {"get_object": [announce, announce]}

    with pytest.raises(ValueError, match="larger than may be read"):
        store.get("k", max_bytes=100)
    with pytest.raises(Exception, match="beyond the end"):
        store.get_ranges("k", [ByteRange(0, 4)])


def test_a_store_that_hangs_does_not_hold_up_its_caller() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3Store("b", client=s3.connect(endpoint_url=endpoint))
        reads = [
            lambda deadline: store.get("k", max_bytes=1, deadline=deadline),
            lambda deadline: store.get_ranges("k", [ByteRange(0, 1), ByteRange(2, 3)], deadline=deadline),
            lambda deadline: store.get_suffix("k", 1, deadline=deadline),
        ]
        for read in reads:
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                read(Deadline.after(200, clock=time.monotonic))
            assert time.monotonic() - began < 1
    store.close()


def test_a_bucket_that_is_missing_is_our_fault(ministack: str) -> None:
    store = S3Store("no-such-bucket", client=s3.connect(endpoint_url=ministack))
    with pytest.raises(InternalError):
        store.get("k", max_bytes=1)
    store.close()


def test_without_credentials_everything_is_forbidden(monkeypatch: pytest.MonkeyPatch, ministack: str) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = S3Store("b", client=boto3.Session().client("s3", endpoint_url=ministack, region_name="us-east-1"))
    with pytest.raises(Forbidden):
        store.get("k", max_bytes=1)
    store.close()
