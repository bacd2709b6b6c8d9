"""Byte strings kept as one text, and their order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from builder.strings import Strings, ascending, offsets_of

# Few different bytes, so that strings share beginnings and zeros stand in and behind them.
BYTES = st.lists(st.sampled_from([0, 97, 98, 255]), max_size=20).map(bytes)


def _strings(values: list[bytes]) -> Strings:
    return Strings.of(b"".join(values), offsets_of(np.array([len(value) for value in values], np.int64)))


@given(st.lists(BYTES, max_size=40), BYTES)
def test_strings_are_ordered_by_all_of_their_bytes(values: list[bytes], prefix: bytes) -> None:
    strings = [prefix + value for value in values]

    assert ascending(strings).tolist() == sorted(range(len(strings)), key=strings.__getitem__)


@given(st.lists(BYTES, max_size=20), st.lists(BYTES, max_size=20))
def test_strings_come_back_as_they_were_put_together(first: list[bytes], second: list[bytes]) -> None:
    whole = Strings.joined([_strings(first), _strings(second)])
    order = np.random.default_rng(len(whole)).permutation(len(whole))
    there = first + second

    assert list(whole) == there
    assert whole[: len(first)] == first
    assert whole.take(order) == list(whole.ordered(order)) == [there[row] for row in order.tolist()]
    assert whole.lengths.tolist() == [len(one) for one in there]
