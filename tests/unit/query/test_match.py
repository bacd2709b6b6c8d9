"""`match` understood: terms, phrases, and what is refused with its place."""

from __future__ import annotations

import pytest

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.match import ParsedClause, parse
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec

SCHEMA = CollectionSchema(
    spaces=(SpaceSpec(name="v", dimension=2),),
    attributes=(
        AttributeSpec(name="plot", type=AttributeType.TEXT, language="german"),
        AttributeSpec(name="title", type=AttributeType.TEXT),
        AttributeSpec(name="year", type=AttributeType.INT),
    ),
)


def clause(attribute: str, terms: str, *phrases: str) -> ParsedClause:
    """Returns a clause of words that spaces part."""
    return ParsedClause(
        attribute=attribute, terms=tuple(terms.split()), phrases=tuple(tuple(phrase.split()) for phrase in phrases)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("leather Boots", clause("title", "leather boot")),
        ("boots boot", clause("title", "boot")),
        ('"red boots" leather', clause("title", "red boot leather", "red boot")),
        ('leather "red boots" "boots"', clause("title", "leather red boot", "red boot", "boot")),
        ('"red boots" "Red Boot"', clause("title", "red boot", "red boot")),
        ('5" boots', clause("title", "5 boot")),
        ('"red boots', clause("title", "red boot")),
        ('"" boots "!"', clause("title", "boot")),
    ],
)
def test_words_are_terms_and_quotes_make_phrases(text: str, expected: ParsedClause) -> None:
    assert parse({"title": text}, SCHEMA) == (expected,)


def test_each_attribute_is_analysed_in_its_own_language() -> None:
    assert parse({"plot": "Häuser", "title": "Houses"}, SCHEMA) == (clause("plot", "haus"), clause("title", "hous"))


@pytest.mark.parametrize("text", ["", "?!", '""', "🥾"])
def test_a_text_without_a_word_has_no_clause(text: str) -> None:
    assert parse({"title": text}, SCHEMA) == ()


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({}, "match"),
        (None, "match"),
        (["title"], "match"),
        ({"nobody": "x"}, "match.nobody"),
        ({"year": "1960"}, "match.year"),
        ({"title": 5}, "match.title"),
        ({"title": None}, "match.title"),
        ({"title": ["x"]}, "match.title"),
        ({"title": "x" * (limits.MAX_MATCH_CHARS + 1)}, "match.title"),
        ({"title": " ".join(map(str, range(limits.MAX_MATCH_TERMS + 1)))}, "match.title"),
        ({"title": "a " * limits.MAX_MATCH_TERMS, "plot": "b"}, "match.plot"),
        ({"t" * 1000: "x"}, "match." + "t" * limits.MAX_NAME_LENGTH),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_with_a_match_is_named_with_its_place(raw: object, place: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(raw, SCHEMA)

    assert refused.value.kind is ErrorKind.INVALID_MATCH
    assert refused.value.context["place"] == place
