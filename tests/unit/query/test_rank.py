"""Rank expressions: what is understood, what is refused and where, and that every score is a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.columns import Column, build_column
from shardlake.query.rank import attributes_of, parse
from shardlake.query.rank_scores import FARTHEST_M, LARGEST, evaluate
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema

SPECS = {
    "stock": AttributeType.INT,
    "price": AttributeType.FLOAT,
    "on_sale": AttributeType.BOOL,
    "created": AttributeType.DATETIME,
    "brand": AttributeType.KEYWORD,
    "title": AttributeType.TEXT,
    "place": AttributeType.GEO,
    "re-rank": AttributeType.INT,
}
SCHEMA = CollectionSchema(
    spaces=(), attributes=tuple(AttributeSpec(name=name, type=kind) for name, kind in SPECS.items())
)
NOW_S = 1_700_000_000.0
ITEMS: list[dict[str, Any]] = [
    {"stock": 3, "price": 2.5, "on_sale": True, "created": "2023-11-14T22:13:20Z", "brand": "acme", "re-rank": 7},
    {"stock": 0, "price": -1.0, "on_sale": False, "created": "1970-01-01T00:00:10+00:00", "brand": 'a"b'},
    {},
]


def _columns(items: list[dict[str, Any]]) -> dict[str, Column]:
    return {spec.name: build_column(spec, [item.get(spec.name) for item in items]) for spec in SCHEMA.attributes}


def _values(text: str, scores: Any = (0.5, 0.25, 0.125)) -> list[float]:
    expression = parse(text, SCHEMA, now_s=NOW_S)
    return evaluate(expression, _columns(ITEMS), np.arange(len(ITEMS)), np.asarray(scores)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", [1, 1, 1]),
        ("score", [0.5, 0.25, 0.125]),
        ("score + 0.1 * log(1 + stock)", [0.5 + 0.1 * math.log(4), 0.25, 0.125]),
        ("2 + 3 * 4 - 5 - 1", [8, 8, 8]),
        ("(2 + 3) * -4 / 2 / 5", [-2, -2, -2]),
        ("- -stock", [3, 0, 0]),
        ("1 < 2", [1, 1, 1]),
        ("stock >= 3", [1, 0, 0]),
        ("(stock == 0) + (stock != 0)", [1, 1, 1]),
        ("if(on_sale, price, 9)", [2.5, 9, 9]),
        ("min(stock, 2, 1.5) + max(price, 0)", [4, 0, 0]),
        ("clamp(stock, 1, 2)", [2, 1, 1]),
        ("sqrt(price) + abs(price)", [math.sqrt(2.5) + 2.5, 1, 0]),
        ("pow(stock, 2) + exp(0)", [10, 1, 1]),
        ("created / 10", [170_000_000, 1, 0]),
        ("now() - created", [0, NOW_S - 10, NOW_S]),
        ('is(brand, "acme")', [1, 0, 0]),
        ('is(brand, "a\\"b")', [0, 1, 0]),
        ("default(stock, -1)", [3, 0, -1]),
        ("exists(title) + exists(stock)", [1, 1, 0]),
        ("`re-rank` - 1", [6, -1, -1]),
        (".5e1 + 1.", [6, 6, 6]),
        ("decay_gauss(stock, 3, 3)", [1, 0.5, 0.5]),
        ("decay_exp(stock, 3, 3, 0.25)", [1, 0.25, 0.25]),
        ("decay_linear(stock, 3, 3)", [1, 0.5, 0.5]),
        ("saturation(stock, 1)", [0.75, 0, 0]),
        ("sigmoid(stock, 3, 2)", [0.5, 0, 0]),
    ],
)
def test_an_expression_is_what_arithmetic_says(text: str, expected: list[float]) -> None:
    assert _values(text) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / stock", [1 / 3, 0, 0]),
        ("0 / 0", [0, 0, 0]),
        ("log(0)", [math.log(1e-300)] * 3),
        ("log(-1)", [math.log(1e-300)] * 3),
        ("sqrt(-4)", [0, 0, 0]),
        ("pow(-8, 1 / 3)", [0, 0, 0]),
        ("pow(0, -1)", [0, 0, 0]),
        ("exp(1e9)", [LARGEST] * 3),
        ("-exp(1e9)", [-LARGEST] * 3),
        ("exp(1e9) - exp(1e9)", [0, 0, 0]),
        ("pow(1e200, 9)", [LARGEST] * 3),
        ("decay_gauss(stock, 3, 0)", [1, 0, 0]),
        ("decay_exp(stock, 3, -1)", [1, 0, 0]),
        ("saturation(stock, 0)", [1, 0, 0]),
    ],
)
def test_what_has_no_result_has_the_one_that_is_stated(text: str, expected: list[float]) -> None:
    assert _values(text) == pytest.approx(expected, rel=1e-12)


BAD = [
    ("", 0),
    ("1 +", 3),
    ("1 2", 2),
    ("(1", 2),
    ("1)", 1),
    ("score * unknown", 8),
    ("sco#re", 3),
    ("brand + 1", 0),
    ("title", 0),
    ("place", 0),
    ("1 < 2 < 3", 6),
    ("nope(1)", 0),
    ("log(1, 2)", 0),
    ("log()", 0),
    ("if(1, 2)", 0),
    ("min(1)", 0),
    ("now(1)", 0),
    ('is(stock, "1")', 3),
    ("is(brand, 1)", 10),
    ("is(brand, stock)", 10),
    ("distance(stock, 1, 2)", 9),
    ("distance(place, 1)", 17),
    ("default(1, 2)", 8),
    ("default(brand, 2)", 8),
    ("1e999", 0),
    ('"a"', 0),
    ("__import__(stock)", 0),
    ("score.real", 5),
    ("stock ** 2", 7),
    ("lambda: 1", 6),
    ("é", 0),
]


@pytest.mark.parametrize(("text", "place"), BAD, ids=[text for text, _ in BAD])
def test_what_is_not_understood_is_refused_at_its_character(text: str, place: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text, SCHEMA, now_s=NOW_S)

    assert refused.value.kind is ErrorKind.INVALID_RANK
    assert refused.value.context["place"] == place


@pytest.mark.parametrize(
    "text",
    [
        "1" * (limits.MAX_RANK_CHARS + 1),
        "(" * (limits.MAX_RANK_DEPTH + 1) + "1" + ")" * (limits.MAX_RANK_DEPTH + 1),
        "-" * (limits.MAX_RANK_DEPTH + 1) + "1",
        "+".join(["1"] * limits.MAX_RANK_NODES),
    ],
    ids=["long", "deep", "deep minus", "many"],
)
def test_an_expression_is_bounded(text: str) -> None:
    with pytest.raises(InvalidInput, match="may"):
        parse(text, SCHEMA, now_s=NOW_S)


@given(st.text('score1.e+-*/()<>=!,`" logexpifclamp\\', max_size=60) | st.text(max_size=20))
def test_whatever_is_sent_is_an_expression_or_is_refused(text: str) -> None:
    try:
        expression = parse(text, SCHEMA, now_s=NOW_S)
    except InvalidInput as error:
        refused: InvalidInput | None = error
        expression = ["number", 0.0]
    else:
        refused = None
    if refused is not None:
        assert refused.kind is ErrorKind.INVALID_RANK
        assert 0 <= int(str(refused.context["place"])) <= len(text)
    else:
        assert np.isfinite(evaluate(expression, _columns(ITEMS), np.arange(3), np.ones(3))).all()


def test_the_attributes_that_are_read_are_known() -> None:
    text = 'score + stock * if(is(brand, "x"), default(price, 1), exists(title)) + created + distance(place, 1, 2)'

    names = attributes_of(parse(text, SCHEMA, now_s=NOW_S))

    assert names == {"stock", "brand", "price", "title", "created", "place"}
    assert attributes_of(parse("score + 1", SCHEMA, now_s=NOW_S)) == set()


NUMBERS = st.sampled_from(["0", "1", "-1", "1e-320", "1e308", "3.7", "stock", "price", "score", "created", "on_sale"])
OPERATORS = st.sampled_from(["+", "-", "*", "/", "<", "=="])
FUNCTIONS = [
    "log 1",
    "exp 1",
    "sqrt 1",
    "abs 1",
    "pow 2",
    "min 2",
    "max 3",
    "saturation 2",
    "sigmoid 3",
    "clamp 3",
    "if 3",
]
FUNCTIONS += ["decay_linear 4", "decay_gauss 4", "decay_exp 3"]
CALLS = st.sampled_from(
    [
        *(f"{name}({', '.join(['{}'] * int(count))})" for name, count in map(str.split, FUNCTIONS)),
        "default(price, {})",
        "(-{})",
    ]
)


def _extended(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    called = st.tuples(CALLS, st.lists(parts, min_size=4, max_size=4)).map(lambda drawn: drawn[0].format(*drawn[1]))
    joined = st.tuples(parts, OPERATORS, parts).map(lambda drawn: f"({drawn[0]} {drawn[1]} {drawn[2]})")
    return called | joined


EXTREME = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.recursive(NUMBERS, _extended, max_leaves=12),
    st.lists(st.tuples(EXTREME, st.integers(-(2**63), 2**63 - 1), EXTREME), min_size=1, max_size=5),
)
def test_every_rank_score_is_a_number_whatever_the_rows_hold(text: str, rows: list[tuple[float, int, float]]) -> None:
    items = [{"price": price, "stock": stock} for price, stock, _ in rows]
    expression = parse(text, SCHEMA, now_s=NOW_S)

    values = evaluate(expression, _columns(items), np.arange(len(rows)), np.array([score for *_, score in rows]))

    assert np.isfinite(values).all()
    assert (np.abs(values) <= LARGEST).all()


@given(st.recursive(NUMBERS, _extended, max_leaves=12), st.integers(2, 5))
def test_a_row_has_one_rank_score_beside_whatever_other_rows(text: str, rows: int) -> None:
    items = [{"price": i / 7, "stock": i, "on_sale": i % 2 == 0} for i in range(rows)]
    scores = np.linspace(0, 1, rows).astype(np.float32)
    expression = parse(text, SCHEMA, now_s=NOW_S)
    together = evaluate(expression, _columns(items), np.arange(rows), scores)

    alone = [evaluate(expression, _columns(items), np.array([row]), scores[[row]])[0] for row in range(rows)]

    # The last bits may differ: vector units take logarithms of eight at once by another way than of one.
    assert alone == pytest.approx(together.tolist(), rel=1e-12)


BERLIN, PARIS = [52.52, 13.405], [48.8566, 2.3522]


@pytest.mark.parametrize(
    ("place", "to", "metres"),
    [
        (BERLIN, PARIS, 877_500),
        (BERLIN, BERLIN, 0),
        ([0, 179.9], [0, -179.9], 22_239),
        ([90, 0], [-90, 77], FARTHEST_M),
        (None, BERLIN, FARTHEST_M),
    ],
)
def test_distances_are_those_over_the_sphere_and_a_missing_place_is_farthest(
    place: list[float] | None, to: list[float], metres: float
) -> None:
    expression = parse(f"distance(place, {to[0]}, {to[1]})", SCHEMA, now_s=NOW_S)

    (found,) = evaluate(expression, _columns([{"place": place}]), np.array([0]), np.zeros(1))

    assert found == pytest.approx(metres, rel=2e-3, abs=1e-6)
