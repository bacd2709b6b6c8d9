"""The grammar of `rank`: an expression over the score and the attributes, parsed at the router, never executed as code.

    comparison := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum        := product (("+" | "-") product)*
    product    := unary (("*" | "/") unary)*
    unary      := "-" unary | atom
    atom       := number | "score" | attribute | function "(" arguments ")" | "(" comparison ")"

An expression travels as a small tree of lists (its wire form): ["number", 1.5], ["score"], ["value", attribute],
["seconds", attribute] of a datetime, and [operator or function, argument…]. `rank_scores` evaluates it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema

Expression = list[Any]
"""A rank expression in wire form."""

MANY = 8  # arguments of min and max, at most

_TOKEN = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | `(?P<quoted>[^`]+)`
    | "(?P<string>(?:[^"\\]|\\["\\])*)"
    | (?P<symbol><=|>=|==|!=|[-+*/(),<>])""",
    re.VERBOSE,
)
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
# Functions of numbers, with the fewest and the most arguments they take.
_FUNCTIONS: dict[str, tuple[int, int]] = {
    "abs": (1, 1),
    "clamp": (3, 3),
    "decay_exp": (3, 4),
    "decay_gauss": (3, 4),
    "decay_linear": (3, 4),
    "exp": (1, 1),
    "if": (3, 3),
    "log": (1, 1),
    "max": (2, MANY),
    "min": (2, MANY),
    "now": (0, 0),
    "pow": (2, 2),
    "saturation": (2, 2),
    "sigmoid": (3, 3),
    "sqrt": (1, 1),
}
# Functions of which the first argument is an attribute.
_OF_ATTRIBUTES = frozenset({"default", "distance", "exists", "is"})
_NUMBERS = frozenset({AttributeType.INT, AttributeType.FLOAT, AttributeType.BOOL, AttributeType.DATETIME})
_NAMES_ONE = frozenset({"value", "seconds", "is", "exists", "distance"})


def parse(text: str, schema: CollectionSchema, *, now_s: float) -> Expression:
    """Returns the wire form of an expression.

    Args:
        text: of at most MAX_RANK_CHARS characters.
        schema: of the collection.
        now_s: seconds since 1970 that `now()` stands for, so that all shards and pages see one moment.

    Raises:
        InvalidInput: invalid-rank, with `place`: the character, counted from 0.
    """
    if len(text) > limits.MAX_RANK_CHARS:
        raise _invalid(f"a rank expression may have {limits.MAX_RANK_CHARS} characters", limits.MAX_RANK_CHARS)
    return _Parser(list(_tokens(text)), len(text), schema, now_s).whole()


def attributes_of(expression: Expression) -> set[str]:
    """Returns the attributes that an expression reads."""
    found = {expression[1]} if expression[0] in _NAMES_ONE else set()
    return found.union(*(attributes_of(part) for part in expression[1:] if isinstance(part, list)))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise _invalid(f"{text[place]!r} is not understood", place)
        yield _Token(match.lastgroup, match[match.lastgroup], place)
        place = match.end()


def _invalid(message: str, place: int) -> InvalidInput:
    return InvalidInput(f"rank, at character {place}: {message}", kind=ErrorKind.INVALID_RANK, place=place)


class _Parser:
    """One parse by recursive descent; what nests is counted, so that no text exhausts the stack."""

    def __init__(self, tokens: list[_Token], end: int, schema: CollectionSchema, now_s: float) -> None:
        self._tokens = [*tokens, _Token("end", "the end", end)]
        self._at = 0
        self._schema = schema
        self._now_s = now_s
        self._depth = 0
        self._nodes = 0

    def whole(self) -> Expression:
        found = self._comparison()
        if self._peek.kind != "end":
            raise _invalid(f"{self._peek.text!r} does not belong here", self._peek.place)
        return found

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._peek
        self._at += token.kind != "end"
        return token

    def _takes(self, *symbols: str) -> str | None:
        token = self._peek
        return self._next().text if token.kind == "symbol" and token.text in symbols else None

    def _expect(self, symbol: str) -> None:
        if self._takes(symbol) is None:
            raise _invalid(f"{symbol!r} is expected, not {self._peek.text!r}", self._peek.place)

    def _node(self, place: int, *parts: Any) -> Expression:  # noqa: ANN401  # JSON
        self._nodes += 1
        if self._nodes > limits.MAX_RANK_NODES:
            raise _invalid(f"an expression may have {limits.MAX_RANK_NODES} parts", place)
        return list(parts)

    def _comparison(self) -> Expression:
        left, place = self._sum(), self._peek.place
        word = self._takes(*_COMPARISONS)
        return left if word is None else self._node(place, word, left, self._sum())

    def _sum(self) -> Expression:
        left, place = self._product(), self._peek.place
        while (word := self._takes("+", "-")) is not None:
            left, place = self._node(place, word, left, self._product()), self._peek.place
        return left

    def _product(self) -> Expression:
        left, place = self._unary(), self._peek.place
        while (word := self._takes("*", "/")) is not None:
            left, place = self._node(place, word, left, self._unary()), self._peek.place
        return left

    def _unary(self) -> Expression:
        # Whatever nests passes here once a level.
        self._depth += 1
        if self._depth > limits.MAX_RANK_DEPTH:
            raise _invalid(f"an expression may nest {limits.MAX_RANK_DEPTH} deep", self._peek.place)
        place = self._peek.place
        found = self._node(place, "neg", self._unary()) if self._takes("-") else self._atom()
        self._depth -= 1
        return found

    def _atom(self) -> Expression:
        token = self._next()
        if token.kind == "number":
            return self._node(token.place, "number", _number(token))
        if token.kind == "symbol" and token.text == "(":
            found = self._comparison()
            self._expect(")")
            return found
        if token.kind == "name" and self._peek.kind == "symbol" and self._peek.text == "(":
            return self._call(token)
        if token.kind == "name" and token.text == "score":
            return self._node(token.place, "score")
        if token.kind in {"name", "quoted"}:
            return self._value(token)
        raise _invalid(f"a number, a name or ( is expected, not {token.text!r}", token.place)

    def _call(self, token: _Token) -> Expression:
        self._expect("(")
        if token.text in _OF_ATTRIBUTES:
            found = self._of_attribute(token)
            self._expect(")")
            return found
        bounds = _FUNCTIONS.get(token.text)
        if bounds is None:
            raise _invalid(f"there is no function {token.text}", token.place)
        arguments: list[Expression] = []
        while not self._takes(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._comparison())
        fewest, most = bounds
        if not fewest <= len(arguments) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise _invalid(f"{token.text} takes {wanted} arguments, not {len(arguments)}", token.place)
        if token.text == "now":
            return self._node(token.place, "number", self._now_s)
        return self._node(token.place, token.text, *arguments)

    def _of_attribute(self, token: _Token) -> Expression:
        named = self._next()
        spec = self._spec(named)
        if token.text == "exists":
            return self._node(token.place, "exists", spec.name)
        self._expect(",")
        if token.text == "default":
            return self._node(token.place, "default", self._reading(spec, named), self._comparison())
        if token.text == "is":
            return self._is(token, spec, named)
        if spec.type is not AttributeType.GEO:
            raise _invalid(f"distance is of a geo attribute, {spec.name} is of type {spec.type}", named.place)
        latitude = self._comparison()
        self._expect(",")
        return self._node(token.place, "distance", spec.name, latitude, self._comparison())

    def _is(self, token: _Token, spec: AttributeSpec, named: _Token) -> Expression:
        if spec.type is not AttributeType.KEYWORD:
            raise _invalid(f"is(…) is of a keyword attribute, {spec.name} is of type {spec.type}", named.place)
        value = self._next()
        if value.kind != "string":
            raise _invalid('is(attribute, "value") takes a text in double quotes', value.place)
        return self._node(token.place, "is", spec.name, re.sub(r"\\(.)", r"\1", value.text))

    def _value(self, token: _Token) -> Expression:
        return self._reading(self._spec(token), token)

    def _reading(self, spec: AttributeSpec, token: _Token) -> Expression:
        if spec.type not in _NUMBERS:
            hint = {AttributeType.KEYWORD: 'is(…, "value")', AttributeType.GEO: "distance(…, lat, lon)"}.get(spec.type)
            way = f"; use {hint}" if hint else ""
            raise _invalid(f"{spec.name} is of type {spec.type}, which is no number{way}", token.place)
        is_time = spec.type is AttributeType.DATETIME
        return self._node(token.place, "seconds" if is_time else "value", spec.name)

    def _spec(self, token: _Token) -> AttributeSpec:
        if token.kind not in {"name", "quoted"}:
            raise _invalid(f"the name of an attribute is expected, not {token.text!r}", token.place)
        spec = self._schema.attribute(token.text)
        if spec is None:
            raise _invalid(f"the collection has no attribute {token.text}", token.place)
        return spec


def _number(token: _Token) -> float:
    value = float(token.text)
    if not math.isfinite(value):
        raise _invalid("the number is too large", token.place)
    return value
