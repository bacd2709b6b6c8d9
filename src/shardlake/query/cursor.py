"""Where a page ended. A cursor belongs to one search of one version, and says from where the next page goes on.

It is opaque to callers and holds nothing that its own search would not tell: the digest is against mistakes (a cursor
of another search, half a cursor), not against whoever takes the pains to make one.
"""

from __future__ import annotations

import binascii
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Any

import orjson

from shardlake import limits
from shardlake.errors import ErrorKind, InvalidInput

ROUNDING = 1e-5  # of scores, relative: sums of float32 products depend on how many rows stand beside a row
MAX_NEAR_BYTES = 3_072  # of ids, so that a cursor stays within limits.MAX_CURSOR_CHARS

_FORM = 2
_CHECK_CHARS = 16
# What may differ from page to page: none of it changes which hits there are, nor their order.
_FREE = frozenset(
    {"cursor", "k", "timeout_ms", "consistency", "require_complete", "include", "explain", "facets", "recall", "nprobe"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The end of a page.

    Attributes:
        version: of the collection; the next pages are of the same.
        digest: of the search (`request_digest`).
        score, id: of the last hit, exact; 0 where hits come by id.
        shown: how many hits all pages so far had, so that the next one is looked for deep enough.
        now_s: what `now()` was, seconds since 1970.
        exact: the spaces that were searched exactly. Scores of an exact search differ from those of a scan in their
            last digits, so pages do not change from one to the other.
        near: items shown whose score is that of the last hit but for rounding (`nearly_last`): a scan that scores them
            beside other rows may place them behind it, and they must not come again.
    """

    version: str
    digest: str
    score: float
    id: str
    shown: int
    now_s: float
    exact: tuple[str, ...] = ()
    near: tuple[str, ...] = ()


def nearly_last(shown: Sequence[tuple[float, str]]) -> tuple[str, ...]:
    """Returns the items whose score differs from the last one's by no more than float32 sums may, the last ones first.

    Args:
        shown: (score, id) of all hits that may be near, in the order shown.
    """
    found: list[str] = []
    size_bytes = 0
    for score, item_id in reversed(shown):
        size_bytes += len(item_id.encode())
        if abs(score - shown[-1][0]) > ROUNDING * max(1.0, abs(score)) or size_bytes > MAX_NEAR_BYTES:
            break
        found.append(item_id)
    return tuple(found)


def request_digest(uid: str, body: Mapping[str, Any]) -> str:
    """Returns the digest of all of a search that decides its hits and their order.

    Args:
        uid: of the collection.
        body: of the request, with the defaults left out or not, but always alike.
    """
    decisive = {name: value for name, value in body.items() if name not in _FREE and value is not None}
    return _check(orjson.dumps([uid, decisive], option=orjson.OPT_SORT_KEYS))


def encode(cursor: Cursor) -> str:
    """Returns the text that a caller gets."""
    body = orjson.dumps([_FORM, *astuple(cursor)])
    return urlsafe_b64encode(_check(body).encode() + body).decode().rstrip("=")


def decode(text: str, digest: str) -> Cursor:
    """Returns the cursor in a text.

    Args:
        text: from a caller.
        digest: of the search that it came with.

    Raises:
        InvalidInput: invalid-cursor: none of ours, or of another search.
    """
    if len(text) > limits.MAX_CURSOR_CHARS:
        raise _invalid("the cursor is too long to be one of ours")
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        check, body = data[:_CHECK_CHARS], data[_CHECK_CHARS:]
        form, *fields = orjson.loads(body)
        version, of_search, score, last, shown, now_s, exact, near = fields
    except (binascii.Error, ValueError, TypeError) as exc:
        raise _invalid("the cursor is none of ours") from exc
    is_whole = check == _check(body).encode() and form == _FORM
    is_typed = all(isinstance(text, str) for text in (version, last)) and isinstance(shown, int) and shown >= 0
    are_finite = all(isinstance(value, float | int) and math.isfinite(value) for value in (score, now_s))
    if not (is_whole and is_typed and are_finite and _are_texts(exact) and _are_texts(near)):
        raise _invalid("the cursor is none of ours, or has changed on its way")
    if of_search != digest:
        raise _invalid("the cursor is of another search: only k, include and the like may change between pages")
    return Cursor(
        version=version,
        digest=of_search,
        score=score,
        id=last,
        shown=shown,
        now_s=now_s,
        exact=tuple(exact),
        near=tuple(near),
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _check(body: bytes) -> str:
    return blake2b(body, digest_size=_CHECK_CHARS // 2).hexdigest()


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, kind=ErrorKind.INVALID_CURSOR)
