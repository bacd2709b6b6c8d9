"""The `match` of a search, understood: which terms and phrases are looked for in which text attributes.

`{"title": "leather \"red boots\""}`: words alone may be there, what stands in quotes must be. `docs/match.md` says what
a row scores. A quote that is never closed is punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.text import Analyzer
from shardlake.types import AttributeType, CollectionSchema

_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedClause:
    """What is looked for in one text attribute.

    Attributes:
        terms: the distinct terms, those of phrases too, in the order they were first named.
        phrases: terms that must follow one another; one of a single term must be there.
    """

    attribute: str
    terms: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]


def parse(raw: object, schema: CollectionSchema) -> tuple[ParsedClause, ...]:
    """Returns the clauses of a `match`, by attribute; an attribute of whose text no word is left has none.

    No clause at all matches nothing.

    Raises:
        InvalidInput: invalid-match, with `place` in the match.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise _invalid("match takes a text for at least one attribute", "match")
    clauses, terms = [], 0
    for name, text in raw.items():
        place = f"match.{name[: limits.MAX_NAME_LENGTH]}"
        spec = schema.attribute(name)
        if spec is None:
            raise _invalid("the collection has no attribute of that name", place)
        if spec.type is not AttributeType.TEXT:
            raise _invalid(f"the attribute is of type {spec.type}; only text is matched", place)
        if not isinstance(text, str) or len(text) > limits.MAX_MATCH_CHARS:
            raise _invalid(f"a text of at most {limits.MAX_MATCH_CHARS} characters is needed", place)
        parts = list(_parts(text, Analyzer(spec.language)))
        terms += sum(len(words) for _, words in parts)
        if terms > limits.MAX_MATCH_TERMS:
            raise _invalid(f"a match has at most {limits.MAX_MATCH_TERMS} words", place)
        if parts:
            clauses.append(_clause(name, parts))
    return tuple(clauses)


def _parts(text: str, analyzer: Analyzer) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yields (whether it is a phrase, its terms) for each part of a text that has any."""
    for number, part in enumerate(_QUOTED.split(text)):
        if words := tuple(analyzer.terms(part)):
            yield number % 2 == 1, words


def _clause(name: str, parts: list[tuple[bool, tuple[str, ...]]]) -> ParsedClause:
    return ParsedClause(
        attribute=name,
        terms=tuple(dict.fromkeys(term for _, words in parts for term in words)),
        phrases=tuple(dict.fromkeys(words for is_phrase, words in parts if is_phrase)),
    )


def _invalid(message: str, place: str) -> InvalidInput:
    return InvalidInput(message, kind=ErrorKind.INVALID_MATCH, place=place)
