"""What a caller is not told, and how large an answer may be on its way through the gateway."""

from __future__ import annotations

import json

import orjson
import pytest
from botocore.exceptions import ClientError

from shardlake import limits
from shardlake.contracts.http import json_response, to_gateway
from shardlake.errors import InvalidInput
from shardlake.store.base import ObjectInfo
from shardlake.store.s3 import ERRORS
from shardlake.testing import WrappedStore
from tests.small_world import VECTORS, SmallWorld

SECRET = "arn:aws:sts::123456789012:assumed-role/lake-api"
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": f"User: {SECRET} may not"}}, "PutObject")


class _Denied(WrappedStore):
    """A store whose role may not write."""

    def put(self, key: str, body: bytes) -> ObjectInfo:
        raise ERRORS.translate(DENIED, key=key)


def test_what_a_foreign_service_said_goes_to_the_log_and_to_no_caller() -> None:
    world = SmallWorld(wrap=_Denied)
    world.create("films", VECTORS)

    answer = world.call("POST", "/v1/collections/films/items", {"items": [{"id": "a"}]})

    assert answer.kind == "forbidden"
    assert SECRET not in answer.text
    assert SECRET in world.lines()[-1]["error_cause"]


@pytest.mark.parametrize("text", ['"', "\\", "\n", "a", "\U0001f600"])
def test_an_answer_that_is_let_through_fits_a_function_however_it_is_escaped(text: str) -> None:
    for times in (1_300_000, 2_500_000, 5_500_000):
        try:
            response = json_response(200, {"a": text * times})
        except InvalidInput:
            continue
        sent = json.dumps(to_gateway(response), ensure_ascii=False).encode()  # as the runtime of Lambda does
        assert len(sent) <= limits.MAX_SYNC_PAYLOAD_BYTES
        assert orjson.loads(response.body) == {"a": text * times}
