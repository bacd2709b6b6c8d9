"""What a collection may say of when its items expire, and how a shard is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from shardlake.contracts.collection import body_of_schema, parse_collection, schema_of, schema_of_body
from shardlake.contracts.shard import Expiry, LeafRequest, LeafSearch, ShardRef, VectorSource
from shardlake.contracts.shard_wire import decode_request, encode_request
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.limits import MAX_PENDING_SEGMENTS
from shardlake.types import CollectionSchema

ATTRIBUTES = {"ends": {"type": "datetime"}, "brand": {"type": "keyword"}, "stock": {"type": "int"}}


def declared(**more: Any) -> CollectionSchema:
    """Returns the schema of a body."""
    body = {"spaces": {"v": {"dimension": 4}}, "attributes": ATTRIBUTES, **more}
    return schema_of(parse_collection(orjson.dumps(body)), {})


def test_ttl_names_a_datetime_attribute_and_comes_back_from_the_catalog() -> None:
    made = declared(ttl="ends")

    assert made.ttl == "ends"
    assert schema_of_body(body_of_schema(made)) == made
    assert orjson.loads(body_of_schema(made))["ttl"] == "ends"


@pytest.mark.parametrize("more", [{}, {"ttl": None}])
def test_without_ttl_a_collection_is_written_as_it_was_before_there_was_one(more: dict[str, Any]) -> None:
    made = declared(**more)

    assert made.ttl is None
    assert "ttl" not in orjson.loads(body_of_schema(made))
    assert schema_of_body(body_of_schema(made)) == made


@pytest.mark.parametrize(
    ("ttl", "message"),
    [
        ("nothing", "there is no attribute nothing"),
        ("brand", "must name a datetime attribute: brand is of type keyword"),
        ("stock", "must name a datetime attribute: stock is of type int"),
        ("", ""),
        (3600, ""),
        ({"attribute": "ends"}, ""),
    ],
)
def test_ttl_of_anything_else_is_refused_with_its_place(ttl: object, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        declared(ttl=ttl)

    assert caught.value.kind is ErrorKind.INVALID_COLLECTION
    errors: Any = caught.value.context["errors"]
    assert errors[0]["at"] == "ttl"
    assert message in errors[0]["message"]


def _request(expiry: Expiry | None) -> LeafRequest:
    source = VectorSource(space="v", query=np.array([1, 2], np.float32))
    return LeafRequest(
        shards=(ShardRef(shard_id=-4, key="k", bytes=9, tail_offset=1),),
        searches=(LeafSearch(vectors=(source,), k=3),),
        timeout_ms=10,
        expiry=expiry,
    )


@pytest.mark.parametrize("expiry", [None, Expiry(attribute="ends", moment_us=-5, shards=(-4, 7))])
def test_what_a_shard_is_told_of_time_arrives(expiry: Expiry | None) -> None:
    sent = encode_request(_request(expiry))

    assert decode_request(orjson.loads(sent)).expiry == expiry
    assert (b"expiry" in sent) is (expiry is not None)


@pytest.mark.parametrize(
    "lie",
    [
        [],
        {"attribute": "ends", "moment_us": 1},
        {"attribute": "ends", "moment_us": "soon", "shards": []},
        {"attribute": "ends", "moment_us": 1, "shards": 5},
        {"attribute": "ends", "moment_us": 1, "shards": [0] * (MAX_PENDING_SEGMENTS + 1)},
    ],
)
def test_what_a_shard_cannot_have_been_told_is_refused(lie: object) -> None:
    event = orjson.loads(encode_request(_request(None)))

    with pytest.raises(InvalidInput):
        decode_request(event | {"expiry": lie})
