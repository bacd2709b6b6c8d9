"""What the OpenAPI document says may be sent, and what it says may not, made up by schemathesis: no answer is a 5xx.

Many examples in one process, where one costs a millisecond; some over HTTP on the embedded cloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from shardlake.contracts.openapi import document
from shardlake.errors import ErrorKind
from shardlake.local import CloudStatus
from tests.bad_requests import GOOD
from tests.small_world import SmallWorld

SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}
CHECKS = (checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance)
# What takes nothing cannot be sent anything wrong.
PAIRS = [
    (label, mode)
    for label, operation in OPERATIONS.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or "{" in operation.path or operation.method == "post"
]
each_operation = pytest.mark.parametrize(
    ("label", "mode"), PAIRS, ids=[f"{label} {mode.value}" for label, mode in PAIRS]
)
EVERYTHING = list(HealthCheck)
# Generated, never shrunk: a failure names its example, and shrinking over HTTP would take minutes.
PHASES = [Phase.explicit, Phase.generate]

in_process = settings(max_examples=20, deadline=None, suppress_health_check=EVERYTHING, phases=PHASES, derandomize=True)
over_http = settings(max_examples=5, deadline=None, suppress_health_check=EVERYTHING, phases=PHASES, derandomize=True)


def cases(label: str, mode: GenerationMode) -> st.SearchStrategy[schemathesis.Case]:
    """Returns requests for an operation: half of them about a collection that is there."""
    operation = OPERATIONS[label]
    free = operation.as_strategy(generation_mode=mode)
    if "{name}" not in operation.path:
        return free
    known = [{"name": name} | ({"id": "a"} if "{id}" in operation.path else {}) for name in GOOD]
    return free | st.one_of(
        *(operation.as_strategy(generation_mode=mode, path_parameters=parameters) for parameters in known)
    )


def assert_no_failure(status: int, text: str) -> None:
    """Checks that an answer is none of a failure on our side."""
    if status < 400:
        return
    error = orjson.loads(text)["error"]
    assert set(error) == {"kind", "message", "details"}
    assert error["kind"] in set(ErrorKind)
    assert status < 500 or (status, error["kind"]) == (501, "not-implemented"), text[:500]


@pytest.fixture(scope="module")
def world() -> SmallWorld:
    made = SmallWorld()
    for name, schema in GOOD.items():
        made.create(name, schema)
    return made


@each_operation
def test_no_answer_in_process_is_a_failure_of_ours(world: SmallWorld, label: str, mode: GenerationMode) -> None:
    @in_process
    @given(case=cases(label, mode))
    def law(case: schemathesis.Case) -> None:
        for name, schema in GOOD.items():
            world.call("PUT", f"/v1/collections/{name}", schema)
        method, path, query, body = _sent(case)
        answer = world.call(method, path, body, query=query, base64=True)
        assert_no_failure(answer.status, answer.text)

    law()


@pytest.fixture(scope="module")
def url(cloud: CloudStatus) -> Iterator[str]:
    with httpx.Client(base_url=cloud.url, timeout=60) as client:
        for name, schema in GOOD.items():
            client.put(f"/v1/collections/{name}", json=schema).raise_for_status()
        yield cloud.url
        for one in client.get("/v1/collections").json()["collections"]:
            client.delete(f"/v1/collections/{one['name']}")


@each_operation
def test_no_answer_over_http_is_a_failure_of_ours_and_all_conform(url: str, label: str, mode: GenerationMode) -> None:
    @over_http
    @given(case=cases(label, mode))
    def law(case: schemathesis.Case) -> None:
        response = case.call(base_url=url, timeout=60)
        assert_no_failure(response.status_code, response.text)
        case.validate_response(response, checks=list(CHECKS))

    law()


def _sent(case: schemathesis.Case) -> tuple[str, str, dict[str, str], bytes | None]:
    """Returns what would travel: method, path as the gateway decodes it, query, body."""
    arguments: dict[str, Any] = case.as_transport_kwargs(base_url="http://api")
    known = {"method", "url", "headers", "params", "data", "json"}
    prepared = requests.Request(**{name: value for name, value in arguments.items() if name in known}).prepare()
    body = prepared.body
    parts = urlsplit(prepared.url or "")
    query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    return (
        prepared.method or "",
        unquote(parts.path),
        {unquote(name): unquote(value) for name, value in query.items()},
        body.encode() if isinstance(body, str) else body,
    )
