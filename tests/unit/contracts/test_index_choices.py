"""What a collection may say of its indexes and shards: defaults, places of errors, one canonical form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shardlake.contracts.collection import body_of_schema, parse_collection, schema_of, schema_of_body
from shardlake.contracts.encode import EncoderInfo
from shardlake.contracts.item import ItemValidator
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import CollectionSchema, IndexSpec, IndexType, Metric, Modality, Transform

ENCODERS = {"clip": EncoderInfo(name="clip", dimension=512, modalities=frozenset({Modality.TEXT}), digest="d")}
ATTRIBUTES = {"shop": {"type": "keyword"}, "tags": {"type": "keyword", "multi": True}, "title": {"type": "text"}}


def declared(spaces: dict[str, Any], **more: Any) -> CollectionSchema:
    """Returns the schema of a body."""
    body = orjson.dumps({"spaces": spaces, "attributes": ATTRIBUTES, **more})
    return schema_of(parse_collection(body), ENCODERS)


def refused(spaces: dict[str, Any], **more: Any) -> str:
    """Returns the place that a refused body is told."""
    with pytest.raises(InvalidInput) as caught:
        declared(spaces, **more)
    assert caught.value.kind is ErrorKind.INVALID_COLLECTION
    errors = caught.value.context["errors"]
    assert isinstance(errors, list)
    return str(errors[0]["at"])


def one(**index: Any) -> dict[str, Any]:
    """Returns spaces with one of that index."""
    return {"v": {"dimension": 600, "index": index}}


DERIVED = {"visual": {"encoder": "clip", "metric": "l2"}, "sketch": {"from": "visual", "index": {"type": "binary_mih"}}}


@pytest.mark.parametrize(
    ("index", "spec"),
    [
        ({}, IndexSpec()),
        ({"type": "ivf_pq", "transform": "none"}, IndexSpec(transform=Transform.NONE)),
        ({"type": "ivf_pq", "transform": "opq"}, IndexSpec(transform=Transform.OPQ)),
        ({"type": "ivf_pq", "transform": "pca", "dimension": 64}, IndexSpec(transform=Transform.PCA, dimension=64)),
        ({"type": "ivf_flat"}, IndexSpec(type=IndexType.IVF_FLAT)),
        ({"type": "flat"}, IndexSpec(type=IndexType.FLAT)),
        ({"type": "ivf_rabitq"}, IndexSpec(type=IndexType.IVF_RABITQ, bits=1)),
        ({"type": "ivf_rabitq", "bits": 4}, IndexSpec(type=IndexType.IVF_RABITQ, bits=4)),
        ({"type": "binary_mih"}, IndexSpec(type=IndexType.BINARY_MIH, bits=256)),
        ({"type": "binary_mih", "bits": 64}, IndexSpec(type=IndexType.BINARY_MIH, bits=64)),
    ],
)
def test_every_index_is_taken_with_its_defaults_and_comes_back_from_the_catalog(
    index: dict[str, Any], spec: IndexSpec
) -> None:
    schema = declared(one(**index))

    assert schema.spaces[0].index == spec
    assert schema_of_body(body_of_schema(schema)) == schema
    assert body_of_schema(declared(one(**index))) == body_of_schema(schema)


def test_a_space_from_another_is_of_its_dimension_metric_and_encoder() -> None:
    schema = declared(DERIVED)
    visual, sketch = schema.spaces

    assert (sketch.dimension, sketch.metric, sketch.encoder, sketch.source) == (512, Metric.L2, "clip", "visual")
    assert schema.stored_spaces == (visual,)
    assert schema_of_body(body_of_schema(schema)) == schema
    assert orjson.loads(body_of_schema(schema))["spaces"]["sketch"] == {
        "from": "visual",
        "index": {"type": "binary_mih", "bits": 256},
    }


def test_a_space_may_be_declared_before_the_one_it_is_computed_from_but_not_first() -> None:
    schema = declared(
        {"v": {"dimension": 3}, "s": {"from": "w", "index": {"type": "binary_mih"}}, "w": {"dimension": 5}}
    )

    assert [space.dimension for space in schema.spaces] == [3, 5, 5]
    assert schema_of_body(body_of_schema(schema)) == schema


@pytest.mark.parametrize(
    "sharding",
    [{"by": "cluster"}, {"by": "hash", "target_rows": 7}, {"by": "attribute", "attribute": "shop"}],
)
def test_every_sharding_is_taken_and_comes_back(sharding: dict[str, Any]) -> None:
    schema = declared(one(), sharding=sharding)

    assert (schema.sharding, schema.sharding_attribute) == (sharding["by"], sharding.get("attribute"))
    assert schema.target_rows == sharding.get("target_rows", 1_000_000)
    assert schema_of_body(body_of_schema(schema)) == schema


def test_a_catalog_of_the_first_release_is_read() -> None:
    body = (
        '{"spaces":{"v":{"dimension":3,"metric":"dot","index":{"type":"ivf_pq"}}},"attributes":{},'
        '"sharding":{"by":"cluster","target_rows":5}}'
    )

    schema = schema_of_body(body)

    assert schema.spaces[0].index == IndexSpec()
    assert body_of_schema(schema) == body, "the same body again is 200, after the upgrade too"


@pytest.mark.parametrize(
    ("spaces", "place"),
    [
        (one(type="flat", bits=256), "spaces.v.index.bits"),
        (one(type="binary_mih", bits=100), "spaces.v.index.bits"),
        (one(type="ivf_rabitq", bits=9), "spaces.v.index.bits"),
        (one(type="ivf_flat", transform="opq"), "spaces.v.index.transform"),
        (one(transform="opq", dimension=4), "spaces.v.index.dimension"),
        (one(transform="pca", dimension=601), "spaces.v.index.dimension"),
        ({**DERIVED, "sketch": {"from": "x", "index": {"type": "binary_mih"}}}, "spaces.sketch.from"),
        ({**DERIVED, "sketch": {"from": "sketch", "index": {"type": "binary_mih"}}}, "spaces.sketch.from"),
        ({**DERIVED, "sketch": {"from": "visual"}}, "spaces.sketch.index.type"),
        ({**DERIVED, "sketch": {**DERIVED["sketch"], "metric": "dot"}}, "spaces.sketch.metric"),
        ({**DERIVED, "sketch": {**DERIVED["sketch"], "dimension": 3}}, "spaces.sketch.dimension"),
        (dict(reversed(DERIVED.items())), "spaces.sketch.from"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(spaces: dict[str, Any], place: str) -> None:
    assert refused(spaces) == place


@pytest.mark.parametrize(
    "sharding",
    [
        {"by": "attribute"},
        {"by": "hash", "attribute": "shop"},
        {"by": "attribute", "attribute": "tags"},
        {"by": "attribute", "attribute": "title"},
        {"by": "attribute", "attribute": "none"},
    ],
)
def test_a_sharding_that_cannot_be_is_refused_with_its_place(sharding: dict[str, Any]) -> None:
    assert refused(one(), sharding=sharding) == "sharding.attribute"


def test_an_item_brings_no_vector_for_a_space_from_another() -> None:
    validator = ItemValidator(declared(DERIVED), bucket="lake", readers={})

    with pytest.raises(InvalidInput) as caught:
        validator.parse({"id": "a", "vectors": {"sketch": [0.0] * 512}})

    assert (caught.value.kind, caught.value.context["at"]) == (ErrorKind.INVALID_ITEM, "vectors.sketch")
