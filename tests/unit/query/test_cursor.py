"""Cursors: they come back as they went, and nothing else is taken for one."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.query.cursor import Cursor, decode, encode, request_digest

DIGEST = request_digest("u1", {"filter": {"a": 1}})
CURSOR = Cursor(version="000001-a", digest=DIGEST, score=0.1, id="x", shown=10, now_s=1.5, exact=("v",))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.text(max_size=40), st.integers(0, 10**9), FINITE, st.lists(st.text(max_size=5), max_size=3))
def test_a_cursor_comes_back_as_it_went(score: float, last: str, shown: int, now_s: float, exact: list[str]) -> None:
    cursor = Cursor(
        version="000001-a", digest=DIGEST, score=score, id=last, shown=shown, now_s=now_s, exact=tuple(exact)
    )
    text = encode(cursor)

    assert decode(text, DIGEST) == cursor
    assert len(text) <= limits.MAX_CURSOR_CHARS


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
