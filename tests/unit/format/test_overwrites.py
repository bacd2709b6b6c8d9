"""The ids that a segment overwrites: distinct, ascending, and nothing else is believed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardlake.errors import FormatError
from shardlake.format.overwrites import Part, decode_overwrites, decode_parts, encode_overwrites, encode_parts

ids = st.lists(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()))


@given(ids)
def test_what_is_read_is_the_distinct_ids_in_order_of_bytes(names: list[str]) -> None:
    assert decode_overwrites(encode_overwrites(names)) == sorted({name.encode() for name in names})


@given(ids)
def test_order_and_repetitions_change_no_byte(names: list[str]) -> None:
    assert encode_overwrites(names) == encode_overwrites([*reversed(names), *names])


def test_no_flipped_byte_makes_other_ids() -> None:
    data = encode_overwrites(["a", "bc", "d"])
    found = 0
    for place in range(len(data)):
        try:
            assert decode_overwrites(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) == [b"a", b"bc", b"d"]
        except FormatError:
            found += 1
    assert found > len(data) // 2  # the rest is what stands between blocks


def test_a_merged_segment_says_where_each_id_was_last_and_its_latest_order() -> None:
    first = Part(sequence=4, order="b", ids=frozenset({b"x", b"y"}))
    second = Part(sequence=5, order="a", ids=frozenset({b"y", b"z"}))

    data = encode_parts([first, second])

    assert decode_overwrites(data) == [b"x", b"y", b"z"]
    assert decode_parts(data) == [
        Part(sequence=4, order="b", ids=frozenset({b"x"})),
        Part(sequence=5, order="a", ids=frozenset({b"z"})),
        Part(sequence=5, order="b", ids=frozenset({b"y"})),
    ]
    assert decode_parts(encode_overwrites(["x"])) == []


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sets(st.sampled_from("uvwxyz"))), min_size=1),
    st.data(),
)
def test_merged_in_whatever_steps_the_same_is_known_of_each_id(
    told: list[tuple[str, set[str]]], data: st.DataObject
) -> None:
    parts = [
        Part(sequence=number, order=order, ids=frozenset(name.encode() for name in names))
        for number, (order, names) in enumerate(told, start=1)
    ]
    cut = data.draw(st.integers(0, len(parts)))
    halves = [decode_parts(encode_parts(half)) for half in (parts[:cut], parts[cut:]) if half]

    merged = encode_parts([part for half in halves for part in half])

    assert merged == encode_parts(parts)
    for part in decode_parts(merged):
        for each in part.ids:
            having = [one for one in parts if each in one.ids]
            assert part.sequence == max(one.sequence for one in having)
            assert part.order == max(one.order for one in having)
