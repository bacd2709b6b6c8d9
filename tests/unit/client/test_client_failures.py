from __future__ import annotations

import httpx
import orjson
import pytest

from shardlake import errors
from shardlake.client.failures import network_errors, refused
from shardlake.errors import (
    CommitUnknown,
    DeadlineExceeded,
    ErrorKind,
    Forbidden,
    FormatError,
    InternalError,
    InvalidInput,
    NotFound,
    ShardlakeError,
    Unavailable,
)

CLASSES = sorted(
    (one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ShardlakeError)),
    key=lambda one: one.__name__,
)


def all_request_errors() -> list[type[httpx.RequestError]]:
    found: list[type[httpx.RequestError]] = []
    queue: list[type[httpx.RequestError]] = [httpx.RequestError]
    while queue:
        one = queue.pop()
        found.append(one)
        queue.extend(one.__subclasses__())
    return sorted(found, key=lambda one: one.__name__)


@pytest.mark.parametrize("cls", [one for one in CLASSES if one is not ShardlakeError])
def test_an_error_survives_the_journey_with_its_class_kind_and_details(cls: type[ShardlakeError]) -> None:
    sent = cls("what went wrong", place="filter.price", index=3)

    got = refused(cls.http_status, {}, orjson.dumps(sent.to_body()))

    assert (type(got), got.kind, got.message, got.context) == (cls, sent.kind, sent.message, sent.context)


def test_a_kind_of_a_newer_server_keeps_its_class_and_its_name() -> None:
    got = refused(403, {}, b'{"error": {"kind": "quota-spent", "message": "no", "details": {"quota": 3}}}')

    assert isinstance(got, Forbidden)
    assert got.context == {"quota": 3, "server_kind": "quota-spent"}


def test_details_named_like_the_error_s_own_fields_are_kept() -> None:
    body = {"error": {"kind": "invalid-items", "message": "bad", "details": {"kind": "x", "message": "y", "self": 1}}}

    assert refused(400, {}, orjson.dumps(body)).context == body["error"]["details"]


@pytest.mark.parametrize("kind", ["checksum-mismatch", "bad-magic"])
def test_two_classes_of_one_status_are_told_apart_by_kind(kind: str) -> None:
    assert type(refused(500, {}, orjson.dumps({"error": {"kind": kind, "message": "m"}}))) is FormatError


def test_a_lost_commit_is_not_a_dependency_that_is_away() -> None:
    assert type(refused(503, {}, b'{"error": {"kind": "commit-unknown", "message": "m"}}')) is CommitUnknown


@pytest.mark.parametrize(
    ("status", "cls", "kind"),
    [
        (404, NotFound, ErrorKind.ROUTE_NOT_FOUND),
        (413, InvalidInput, ErrorKind.PAYLOAD_TOO_LARGE),
        (418, InvalidInput, ErrorKind.INVALID_REQUEST),
        (500, InternalError, ErrorKind.INTERNAL),
        (502, Unavailable, ErrorKind.API_UNREACHABLE),
        (504, DeadlineExceeded, ErrorKind.DEADLINE_EXCEEDED),
        (599, InternalError, ErrorKind.INVARIANT_BROKEN),
    ],
)
@pytest.mark.parametrize("content", [b"", b'{"message": "Not Found"}', b"<xml/>", b"[]", b'"error"', b"\xff"])
def test_an_answer_that_is_not_ours_still_becomes_an_error(
    status: int, cls: type[ShardlakeError], kind: ErrorKind, content: bytes
) -> None:
    got = refused(status, {"content-type": "text/html"}, content)

    assert (type(got), got.kind) == (cls, kind)


@pytest.mark.parametrize("cls", all_request_errors())
def test_every_network_failure_of_httpx_becomes_ours(cls: type[httpx.RequestError]) -> None:
    late = {httpx.ReadTimeout, httpx.WriteTimeout}
    wrong = {httpx.UnsupportedProtocol}
    expected = DeadlineExceeded if cls in late else InvalidInput if cls in wrong else Unavailable

    with pytest.raises(ShardlakeError) as caught, network_errors("http://a.test/v1/x?secret=1", timeout_s=2):
        raise cls("it broke")

    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, cls)
    if cls not in wrong:
        assert "secret" not in str(caught.value.to_body())


def test_an_unreachable_api_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match="shardlake up") as caught, network_errors("http://a.test", timeout_s=2):
        raise httpx.ConnectError("refused")

    assert caught.value.kind == ErrorKind.API_UNREACHABLE
