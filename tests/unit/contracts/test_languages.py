"""The language of a text attribute: declared, defaulted, and refused with the names that there are."""

from __future__ import annotations

import orjson
import pytest

from shardlake.contracts.collection import body_of_schema, parse_collection, schema_of, schema_of_body
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import DEFAULT_LANGUAGE, LANGUAGES, CollectionSchema


def declared(**title: object) -> CollectionSchema:
    """Returns the schema of a collection with that attribute."""
    body = {"spaces": {"v": {"dimension": 2}}, "attributes": {"title": title}}
    return schema_of(parse_collection(orjson.dumps(body)), {})


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_can_be_declared_and_comes_back_from_the_catalog(language: str) -> None:
    schema = declared(type="text", language=language)

    assert schema.attributes[0].language == language
    assert schema_of_body(body_of_schema(schema)) == schema


def test_a_text_is_english_unless_it_says_otherwise_and_saying_so_is_the_same_collection() -> None:
    silent = declared(type="text")

    assert silent.attributes[0].language == DEFAULT_LANGUAGE == "english"
    assert body_of_schema(silent) == body_of_schema(declared(type="text", language="english"))
    # A body that was stored before there were languages is the same body still.
    assert orjson.loads(body_of_schema(silent))["attributes"] == {"title": {"type": "text"}}


@pytest.mark.parametrize("language", ["klingon", "English", "en", ""])
def test_an_unknown_language_is_refused_with_those_there_are(language: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        declared(type="text", language=language)

    assert refused.value.kind is ErrorKind.INVALID_COLLECTION
    (error,) = refused.value.context["errors"]  # type: ignore[misc]
    assert error["at"] == "attributes.title.language"
    assert all(known in error["message"] for known in LANGUAGES)


def test_only_a_text_has_a_language() -> None:
    with pytest.raises(InvalidInput, match="only a text"):
        declared(type="keyword", language="english")
