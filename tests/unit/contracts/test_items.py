"""Items: what is accepted comes out as it was meant, and whatever comes in, only our errors come out."""

from __future__ import annotations

import math
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shardlake import limits
from shardlake.contracts.attributes import datetime_micros, parse_attributes
from shardlake.contracts.collection import body_of_schema, parse_collection, schema_of, schema_of_body
from shardlake.contracts.common import parse_json
from shardlake.contracts.item import ItemValidator, parse_vector
from shardlake.contracts.pictures import picture_size
from shardlake.errors import Forbidden, InvalidInput, NotImplementedYet, ShardlakeError
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, Metric, Modality, SpaceSpec
from tests.small_world import picture

SCHEMA = CollectionSchema(
    spaces=(
        SpaceSpec(name="v", dimension=4),
        SpaceSpec(name="d", dimension=3, metric=Metric.DOT),
        SpaceSpec(name="visual", dimension=8, encoder="clip"),
    ),
    attributes=(
        *(AttributeSpec(name=kind.value, type=kind) for kind in AttributeType),
        AttributeSpec(name="tags", type=AttributeType.KEYWORD, multi=True),
    ),
)
VALIDATOR = ItemValidator(SCHEMA, bucket="lake", readers={"clip": frozenset({Modality.TEXT, Modality.IMAGE})})
SPECS = {spec.name: spec for spec in SCHEMA.attributes}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
near_items = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=5) | json_values,
        "attributes": st.dictionaries(st.sampled_from(sorted(SPECS)), json_values) | json_values,
        "media": st.dictionaries(st.sampled_from(["text", "image", "audio"]), json_values) | json_values,
        "vectors": st.dictionaries(st.sampled_from(["v", "d", "w"]), json_values | st.lists(st.floats(), max_size=5)),
        "more": json_values,
    },
)


@given(near_items | json_values)
def test_whatever_is_said_to_be_an_item_only_our_errors_come_out(value: Any) -> None:
    with suppress(InvalidInput, Forbidden, NotImplementedYet):
        parsed = VALIDATOR.parse(value)
        orjson.loads(parsed.payload())
        assert all(np.isfinite(vector).all() for vector in parsed.vectors.values())


@given(st.binary(max_size=200))
def test_whatever_bytes_are_said_to_be_json_only_our_errors_come_out(body: bytes) -> None:
    with suppress(InvalidInput):
        parse_json(body)


@given(st.binary(max_size=60), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP"]), st.data())
def test_whatever_bytes_are_said_to_be_a_picture_only_our_errors_come_out(
    noise: bytes, kind: str, data: st.DataObject
) -> None:
    whole = picture(kind=kind)
    at = data.draw(st.integers(0, len(whole)))
    try:
        size = picture_size(whole[:at] + noise + whole[at + len(noise) :])
    except InvalidInput:
        return
    assert 0 < size.pixels <= limits.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_picture_says_its_size(kind: str) -> None:
    size = picture_size(picture(kind=kind, size=(53, 37)))

    assert (size.width, size.height) == (53, 37)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_picture_cut_anywhere_is_broken(kind: str) -> None:
    whole = picture(kind=kind, size=(40, 40))

    for cut in range(len(whole) - 1):
        with pytest.raises(InvalidInput):
            picture_size(whole[:cut])


@given(hnp.arrays(np.float64, 4, elements=st.floats(-1e38, 1e38)))
def test_a_vector_of_a_cosine_space_is_a_unit_vector(values: Any) -> None:
    try:
        vector = parse_vector(values.tolist(), SCHEMA.spaces[0], at="v")
    except InvalidInput:
        assert not np.asarray(values, np.float32).any(), "only a zero vector has no direction"
        return
    assert math.isclose(float(np.linalg.norm(vector.astype(np.float64))), 1, abs_tol=1e-6)


def test_a_vector_of_another_metric_stays_as_it_is() -> None:
    assert parse_vector([0.0, 0.0, 0.0], SCHEMA.spaces[1], at="d").tolist() == [0, 0, 0]
    with pytest.raises(InvalidInput):
        parse_vector([1e300, 0.0, 0.0], SCHEMA.spaces[1], at="d")


def test_nulls_are_missing_and_repeated_values_of_a_set_count_once() -> None:
    found = parse_attributes({"keyword": None, "tags": ["a", "b", "a"], "int": 3}, SPECS)

    assert found == {"tags": ["a", "b"], "int": 3}


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2026-11-23T12:00:00.123456789Z", 1_795_435_200_123_456),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
def test_a_datetime_is_microseconds(text: str, micros: int) -> None:
    assert datetime_micros(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23", "2026-11-23T12:00:00", "2026-11-23 12:00:00Z", "2026-11-23T12:00Z", "2026-W48-1T00:00:00Z",
        "20261123T120000Z", "2026-02-30T00:00:00Z", "2026-11-23T25:00:00Z", "2026-11-23T12:00:60Z",
        "2026-11-23T12:00:00+25:00", "0001-01-01T00:00:00+14:00", "٢٠٢٦-11-23T12:00:00Z", "now", "",
        "2026-11-23T12:00:00Z\n",
    ],
)  # fmt: skip
def test_what_is_no_datetime_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|no moment"):
        datetime_micros(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_that_python_writes_is_a_datetime(moment: datetime) -> None:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)

    assert datetime_micros(moment.isoformat()) == (delta.days * 86_400 + delta.seconds) * 10**6 + delta.microseconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int", 2**63), ("int", -(2**63) - 1), ("int", 1.0), ("int", True), ("float", 10**400), ("geo", [91, 0]),
        ("geo", [0, 181]), ("geo", [0]), ("geo", [0, 0, 0]), ("geo", ["0", "0"]), ("geo", [True, False]), ("geo", {}),
        ("bool", 1), ("bool", "true"), ("datetime", 0), ("text", ["a"]), ("tags", "a"), ("tags", [1]), ("tags", [None]),
        ("tags", ["x"] * (limits.MAX_KEYWORD_VALUES + 1)), ("keyword", "ä" * 513), ("text", "x" * 70_000),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_with_its_place(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_attributes({name: value}, SPECS)

    assert str(caught.value.context["at"]).startswith("attributes")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int", 2**63 - 1), ("int", -(2**63)), ("float", 3), ("float", -1e308), ("geo", [-90, 180]), ("bool", False),
        ("keyword", ""), ("keyword", "ä" * 512), ("text", "\u0000 anything"), ("tags", []),
    ],
)  # fmt: skip
def test_a_value_of_its_type_is_kept_as_it_is(name: str, value: Any) -> None:
    assert parse_attributes({name: value}, SPECS) == {name: value}


def test_the_payload_keeps_places_and_no_bytes() -> None:
    placed = VALIDATOR.parse({"id": "a", "media": {"text": "red", "image": {"s3": "s3://lake/inbox/a.png"}}})
    sent = VALIDATOR.parse({"id": "a", "media": {"image": {"base64": b64encode(picture()).decode()}}})

    assert orjson.loads(placed.payload())["media"] == {"image": {"s3": "s3://lake/inbox/a.png"}}
    assert "media" not in orjson.loads(sent.payload())


def test_a_schema_comes_back_from_its_canonical_body() -> None:
    assert schema_of_body(body_of_schema(SCHEMA)).spaces == SCHEMA.spaces
    assert set(schema_of_body(body_of_schema(SCHEMA)).attributes) == set(SCHEMA.attributes)


@given(json_values)
def test_whatever_is_said_to_be_a_collection_only_our_errors_come_out(value: Any) -> None:
    for body in (
        value,
        {"spaces": value},
        {"spaces": {"v": value}},
        {"spaces": {"v": {"dimension": 4}}, "sharding": value},
    ):
        try:
            schema_of(parse_collection(orjson.dumps(body, default=str)), {})
        except ShardlakeError as error:
            orjson.dumps(error.to_body())
        except TypeError:
            pass  # what orjson cannot write was never sent


@pytest.mark.parametrize("stored", ["", "[]", "{}", '{"spaces": 3}', '{"spaces": {"v": {}}}', "null"])
def test_a_stored_body_that_is_none_is_a_format_error(stored: str) -> None:
    with pytest.raises(ShardlakeError) as caught:
        schema_of_body(stored)

    assert caught.value.kind == "malformed-file"
