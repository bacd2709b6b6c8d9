"""Cursors: they come back as they went, and nothing else is taken for one."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.cursor import MAX_NEAR_BYTES, Cursor, decode, encode, nearly_last, request_digest

DIGEST = request_digest("u1", {"filter": {"a": 1}})
CURSOR = Cursor(
    version="000001-a", digest=DIGEST, score=0.1, id="x", shown=10, now_s=1.5, exact=("v",), near=("x", "w")
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.text(max_size=40), st.integers(0, 10**9), FINITE, st.lists(st.text(max_size=5), max_size=3))
def test_a_cursor_comes_back_as_it_went(score: float, last: str, shown: int, now_s: float, exact: list[str]) -> None:
    cursor = Cursor(
        version="000001-a", digest=DIGEST, score=score, id=last, shown=shown, now_s=now_s, exact=tuple(exact)
    )
    text = encode(cursor)

    assert decode(text, DIGEST) == cursor
    assert len(text) <= limits.MAX_CURSOR_CHARS


def test_what_rounding_could_move_behind_the_last_hit_is_kept_as_far_as_there_is_room() -> None:
    shown = [(0.9, "a"), (0.5000001, "b"), (0.5, "c"), (0.4999999, "d")]

    assert nearly_last(shown) == ("d", "c", "b")
    assert nearly_last([(0.0, "a")]) == ("a",)
    assert nearly_last([(1e9 + 1, "a"), (1e9, "b")]) == ("b", "a")
    ties = [(0.5, "é" * 100 + str(number)) for number in range(1000)]
    kept = nearly_last(ties)
    assert sum(len(name.encode()) for name in kept) <= MAX_NEAR_BYTES
    assert len(encode(replace(CURSOR, id="é" * 512, near=kept))) <= limits.MAX_CURSOR_CHARS


def test_any_character_changed_is_noticed() -> None:
    text = encode(CURSOR)
    for place, character in enumerate(text):
        changed = text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]
        try:
            assert decode(changed, DIGEST) == CURSOR, changed  # the last character has bits that mean nothing
            assert place == len(text) - 1
        except InvalidInput as error:
            assert error.kind is ErrorKind.INVALID_CURSOR  # noqa: PT017  # both outcomes are looked at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        "====",
        encode(CURSOR)[:-4],
        encode(CURSOR) + "AAAA",
        "A" * (limits.MAX_CURSOR_CHARS + 1),
        urlsafe_b64encode(b"[]").decode(),
        encode(replace(CURSOR, shown=-1)),
        encode(replace(CURSOR, score="9")),  # type: ignore[arg-type]
        encode(replace(CURSOR, id=7)),  # type: ignore[arg-type]
        encode(replace(CURSOR, now_s=None)),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(text, DIGEST)

    assert refused.value.kind is ErrorKind.INVALID_CURSOR


def test_a_cursor_belongs_to_what_decides_the_hits_and_to_nothing_else() -> None:
    same = [{"filter": {"a": 1}, "k": 3}, {"include": [], "filter": {"a": 1}, "cursor": "x", "rank": None}]
    others = [("u1", {"filter": {"a": 2}}), ("u1", {"filter": {"a": 1}, "rank": "1"}), ("u2", {"filter": {"a": 1}})]

    assert {request_digest("u1", body) for body in same} == {DIGEST}
    assert DIGEST not in {request_digest(uid, body) for uid, body in others}
    with pytest.raises(InvalidInput, match="another search"):
        decode(encode(CURSOR), request_digest(*others[0]))
