"""The three objects of a segment: they tell of the same items, whatever a former run has left behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import xxhash

from builder.segments import write_segment
from shardlake.catalog.base import SegmentRow
from shardlake.contracts.shard import LeafSearch
from shardlake.errors import FormatError, Unavailable
from shardlake.format import locations
from shardlake.format.overwrites import decode_overwrites
from shardlake.format.segment import SegmentItem, decode_segment
from shardlake.store.base import ObjectStore
from shardlake.testing import FlakyStore, LostReplyStore, MemoryStore
from shardlake.types import AttributeType
from tests import tiny_shard
from tests.lake import UID, item, schema, space, unit_rows
from tests.unit.format.lies import directory_of, with_directory

SCHEMA = schema(space(4), attributes={"n": AttributeType.INT})
GONE = SegmentItem(id="gone", payload=b"", vectors={})
ITEMS = [item("b", {"v": row}, n=1) for row in unit_rows(1, 4)] + [item("a", n=2), GONE, item("b", {"v": [0, 0, 0, 1]})]
# What another run makes of the same media: other last bits, by another model.
ROUNDED = [replace(one, vectors={name: v + np.float32(1e-3) for name, v in one.vectors.items()}) for one in ITEMS]
KEY = locations.segment(UID, "s1")
KEYS = [KEY, locations.overwrites(KEY), locations.delta(KEY)]
ROW = SegmentRow(segment_id="s1", order="", key=KEY, rows=0, bytes=0, source="", created_at="")


def _write(store: ObjectStore, items: list[SegmentItem] = ITEMS, *, model: str = "new") -> SegmentRow:
    return write_segment(store, ROW, items, SCHEMA, encoders={"v": model})


def _check(store: MemoryStore, written: SegmentRow) -> None:
    """Holds what stands, and what was said of it, to the segment that stands."""
    segment, ids, shard = (store.objects[key] for key in KEYS)
    decoded, delta = decode_segment(segment), written.delta
    assert delta is not None
    assert (written.key, written.rows, written.bytes) == (KEYS[0], len(decoded.items()), len(segment))
    assert (written.encoders, written.ids_bytes) == (decoded.encoders, len(ids))
    assert (delta.bytes, delta.checksum) == (len(shard), xxhash.xxh3_64_hexdigest(shard))
    assert decode_overwrites(ids) == sorted({one.encode() for one in decoded.ids})
    live = {one.id: one for one in decoded.items() if not one.is_tombstone}
    found = tiny_shard.opened(shard, delta.footer_offset).search(LeafSearch(k=99, include_vectors=("v",)))
    assert [(hit.id, hit.payload) for hit in found.hits] == [(i, live[i].payload) for i in sorted(live)]
    for hit in found.hits:
        for name, vector in live[hit.id].vectors.items():
            assert hit.vectors is not None
            np.testing.assert_allclose(hit.vectors[name], vector / np.linalg.norm(vector), rtol=1e-6)


def test_a_segment_is_three_objects() -> None:
    store = MemoryStore()

    written = _write(store)

    assert sorted(store.objects) == sorted(KEYS)
    assert decode_segment(store.objects[KEYS[0]]).ids == ["b", "a", "gone", "b"]
    assert written.encoders == {"v": "new"}
    assert written.delta is not None
    assert written.delta.rows == 2
    _check(store, written)


# The segment is written first: without it nothing is left.
@pytest.mark.parametrize("left", [[], *([KEYS[0], *more] for n in range(3) for more in combinations(KEYS[1:], n))])
def test_whatever_a_former_run_has_left_the_three_tell_of_the_same_items(left: list[str]) -> None:
    former, store = MemoryStore(), MemoryStore()
    _write(former, ROUNDED, model="old")
    store.objects.update({key: former.objects[key] for key in left})

    written = _write(store)

    _check(store, written)
    assert written.encoders == {"v": "old" if left else "new"}
    assert {key: store.objects[key] for key in left} == {key: former.objects[key] for key in left}


@pytest.mark.parametrize("fault", [FlakyStore, LostReplyStore])
@pytest.mark.parametrize("key", KEYS)
def test_a_put_that_fails_is_repeated_with_other_vectors_and_the_three_agree(fault: type[FlakyStore], key: str) -> None:
    store = MemoryStore()
    flaky = fault(store, when=lambda doing, asked: doing == "put_if_absent" and asked == key)

    try:
        written = _write(flaky, ROUNDED, model="old")
    except Unavailable:
        written = _write(flaky)

    _check(store, written)


def test_a_run_after_all_is_written_changes_nothing() -> None:
    store = MemoryStore()
    first = _write(store, ROUNDED, model="old")
    before = dict(store.objects)

    assert _write(store) == first
    assert store.objects == before


def test_a_delta_that_another_release_laid_down_is_told_of_as_it_stands() -> None:
    store = MemoryStore()
    ours = _write(store)
    assert ours.delta is not None
    data, tail = store.objects[KEYS[2]], ours.delta.footer_offset
    store.objects[KEYS[2]] = with_directory(data, directory_of(data) | {"release": "another"})

    written = _write(store)

    _check(store, written)
    assert written.delta is not None
    assert store.objects[KEYS[2]] != data
    assert written.delta.footer_offset == tail


@pytest.mark.parametrize("key", KEYS[::2])
def test_what_stands_there_and_is_no_such_object_is_a_format_error(key: str) -> None:
    store = MemoryStore()
    store.put(key, b"no container")

    with pytest.raises(FormatError):
        _write(store)


def test_a_segment_of_tombstones_alone_has_no_delta_and_overwrites() -> None:
    store = MemoryStore()

    written = _write(store, [GONE, item("a", {"v": [1, 0, 0, 0]}), replace(GONE, id="a")])

    assert written.delta is None
    assert sorted(store.objects) == sorted(KEYS[:2])
    assert decode_overwrites(store.objects[KEYS[1]]) == [b"a", b"gone"]
    assert written.rows == 3
