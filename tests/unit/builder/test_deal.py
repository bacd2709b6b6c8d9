"""Which shards the values of an attribute get."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builder.deal import places_of

counts_of = st.lists(st.integers(1, 300), min_size=1, max_size=60).map(lambda rows: list(enumerate(rows)))


@given(counts_of, st.integers(1, 200))
def test_values_get_shards_in_their_order_and_none_is_far_over_its_rows(
    counts: list[tuple[int, int]], target: int
) -> None:
    places, shards = places_of(counts, target)

    rows = [0] * shards
    before = 0
    for value, count in counts:
        first, number = places[value]
        assert number == (1 if count <= target else -(-count // target))
        assert first >= before, "in the order of the values: a shard's zone is narrow"
        before = first
        for shard in range(first, first + number):
            rows[shard] += count / number
    assert min(rows) > 0, "no shard is empty"
    assert max(rows) <= 2 * target
    if all(count <= target for _, count in counts):
        assert shards <= -(-sum(rows) // target)


def test_a_large_value_has_shards_of_its_own() -> None:
    places, shards = places_of([("a", 5), ("b", 25), ("c", 5), (None, 2)], 10)

    assert places == {"a": (0, 1), "b": (1, 3), "c": (4, 1), None: (4, 1)}
    assert shards == 5


def test_nothing_has_one_shard() -> None:
    assert places_of([], 10) == ({}, 1)
