"""The Lambda handler and the SageMaker container give the same answers to the same requests."""

from __future__ import annotations

import http.client
import io
import subprocess
import sys
from typing import Any

import orjson
import pytest
from encode_requests import BUCKET, base64_picture

from functions.encode.doors import respond
from functions.encode.server import EncodeServer
from functions.encode.service import EncodeService
from shardlake.observability import Observer


def post(server: EncodeServer, body: bytes, path: str = "/invocations", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.request("POST", path, body=body, headers={"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())
    finally:
        connection.close()


def lambda_answer(service: EncodeService, request: object) -> tuple[int, Any]:
    return respond(service, request, observer=Observer("encode", stream=io.StringIO()), request_id="1")


REQUESTS: dict[str, Any] = {
    "texts and pictures": {"encoder": "clip", "inputs": [{"text": "a red circle"}, base64_picture()]},
    "an object": {"encoder": "clip", "inputs": [{"image": {"s3": f"s3://{BUCKET}/inbox/shop/a.png"}}]},
    "a description": {"describe": True},
    "an unknown encoder": {"encoder": "clap", "inputs": [{"text": "a"}]},
    "a bad input": {"encoder": "clip", "inputs": [{"text": "a"}, base64_picture(b"hello")]},
    "a forbidden place": {"encoder": "clip", "inputs": [{"image": {"s3": "s3://other/a.png"}}]},
    "a missing model": {"encoder": "absent", "inputs": [{"text": "a"}]},
    "no request": {},
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_both_doors_give_the_same_answer(server: EncodeServer, service: EncodeService, name: str) -> None:
    by_lambda = lambda_answer(service, REQUESTS[name])
    by_http = post(server, orjson.dumps(REQUESTS[name]))

    assert by_http == by_lambda
    assert (by_http[0] == 200) == ("error" not in by_http[1])


BAD_BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "invalid-json"),
    "no json": (b"{", 400, "invalid-json"),
    "a list": (b"[]", 400, "invalid-request"),
    "nan": (b'{"encoder": NaN}', 400, "invalid-json"),
    "no utf-8": (b'{"encoder": "\xff"}', 400, "invalid-json"),
    "half a surrogate pair": (b'{"encoder": "clip", "inputs": [{"text": "\\ud800"}]}', 400, "invalid-json"),
    "deep": (b'{"a":' * 500 + b"1" + b"}" * 500, 400, "invalid-json"),
}


@pytest.mark.parametrize("name", sorted(BAD_BODIES))
def test_a_bad_body_is_answered_by_kind(server: EncodeServer, name: str) -> None:
    body, status, kind = BAD_BODIES[name]
    found, answer = post(server, body)

    assert (found, answer["error"]["kind"]) == (status, kind)


def test_a_body_too_large_is_refused_before_it_is_read(server: EncodeServer) -> None:
    status, answer = post(server, b"", **{"Content-Length": str(10**12)})

    assert (status, answer["error"]["kind"]) == (400, "payload-too-large")


def test_a_body_without_a_length_is_refused(server: EncodeServer) -> None:
    status, answer = post(server, b"", **{"Transfer-Encoding": "chunked", "Content-Length": "5"})

    assert (status, answer["error"]["kind"]) == (400, "invalid-request")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("POST", "/other", 404, "route-not-found"),
        ("GET", "/invocations", 404, "route-not-found"),
        ("DELETE", "/invocations", 405, "method-not-allowed"),
    ],
)
def test_another_place_or_method_is_answered_in_our_form(
    server: EncodeServer, method: str, path: str, status: int, kind: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()

    assert (answer.status, orjson.loads(answer.read())["error"]["kind"]) == (status, kind)
    connection.close()


def test_ping_answers_and_a_connection_serves_many_requests(server: EncodeServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    for _ in range(3):
        connection.request("GET", "/ping")
        ping = connection.getresponse()
        ping.read()
        connection.request("POST", "/invocations", body=b'{"describe": true}')
        described = connection.getresponse()
        described.read()
        assert (ping.status, described.status) == (200, 200)
    connection.close()


def test_a_bug_becomes_an_answer_without_its_message(service: EncodeService) -> None:
    class Broken(EncodeService):
        def answer(self, request: object) -> dict[str, Any]:
            raise RuntimeError("secret detail")

    broken = Broken(registry=service.registry, store=service.store, bucket=BUCKET, clock=service.clock)
    status, body = lambda_answer(broken, {"describe": True})

    assert (status, body["error"]["kind"]) == (500, "internal")
    assert "secret" not in str(body)


def test_one_line_is_logged_and_it_holds_neither_text_nor_vectors(service: EncodeService) -> None:
    stream = io.StringIO()
    observer = Observer("encode-of-this-test", stream=stream)  # Powertools keeps one stream a service name
    respond(service, {"encoder": "clip", "inputs": [{"text": "secretword"}]}, observer=observer, request_id="r-1")
    (line,) = stream.getvalue().splitlines()
    fields = orjson.loads(line)

    assert (fields["encoder"], fields["count"], fields["outcome"]) == ("clip", 1, "ok")
    assert "secretword" not in line
    assert "vectors" not in fields


def test_the_handlers_import_brings_no_model_code() -> None:
    code = (
        "import sys; import functions.encode.handler\n"
        "print(sorted({'torch', 'transformers', 'onnxruntime', 'tokenizers', 'onnx', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
