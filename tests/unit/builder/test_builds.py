"""What a build makes of segments: every live item once, in shards whose tables are true."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson
import pytest

from builder import survey
from shardlake.catalog.base import BuildRow, BuildState
from shardlake.contracts.shard import LeafAnswer, LeafSearch, LeafStats
from shardlake.core.vectors import prepare, score_exact
from shardlake.engine.coded_space import CodedSpace
from shardlake.format.container import Extent
from shardlake.format.manifest import decode_manifest
from shardlake.format.routing import decode_routing
from shardlake.format.segment import SegmentItem
from shardlake.testing import WrappedCatalog, WrappedStore, add_segment
from shardlake.types import AttributeType, IndexType, Metric
from tests.lake import UID, Lake, item, items_of, schema, space, unit_rows

EVERYTHING = LeafSearch(k=100_000)
NUMBER = {"number": AttributeType.INT}


def _stored(lake: Lake) -> list[str]:
    return sorted(hit.id for number in range(len(lake.shards)) for hit in lake.opened(number).search(EVERYTHING).hits)


def _nearest(lake: Lake, query: np.ndarray[Any, Any], k: int, name: str = "v") -> list[tuple[str, float]]:
    answers = lake.leaf_search(space=name, query=query, k=k, exact=True)
    hits = [(hit.id, hit.score) for answer in answers for hit in answer.hits]
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k]


def _expected(
    items: list[SegmentItem], query: np.ndarray[Any, Any], k: int, metric: Metric, name: str = "v"
) -> list[tuple[str, float]]:
    having = [one for one in items if name in one.vectors]
    rows = prepare(np.stack([one.vectors[name] for one in having]), metric)
    scores = score_exact(query, rows, metric).tolist()
    ranked = sorted(zip([one.id for one in having], scores, strict=True), key=lambda hit: (-hit[1], hit[0]))
    return ranked[:k]


def _same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    # One matrix product or several give sums in another order: the last bits of a float32 may differ.
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=2e-6, rtol=2e-6)
    assert [hit for hit, _ in found] == [hit for hit, _ in expected]


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """1,200 rows of two spaces in three shards and several parts; some rows lack one vector or both."""
    vectors, others = unit_rows(1200, 6), unit_rows(1200, 3, 1)
    items = []
    for i in range(1200):
        given = {"v": vectors[i], "w": others[i]}
        given = {n: v for n, v in given.items() if not (n == "v" and i % 11 == 0) and not (n == "w" and i % 7 == 0)}
        items.append(item(f"{i:05d}", given, number=i))
    target = schema(space(6), space(3, "w", metric=Metric.L2), target_rows=400, attributes=NUMBER)
    lake = Lake(target, tmp_path_factory.mktemp("build"))
    return lake.built(items[:500], items[500:900], items[900:], part_rows=450)


def test_every_item_is_in_exactly_one_shard(coded: Lake) -> None:
    assert _stored(coded) == [f"{i:05d}" for i in range(1200)]
    assert sum(row.rows for row in coded.shards) == 1200
    pointer = coded.catalog.pointer(UID)
    assert pointer is not None
    assert (pointer.rows, pointer.shards) == (1200, 3)
    assert pointer.bytes == sum(row.bytes for row in coded.shards)


def test_the_shard_map_says_what_lies_in_the_bucket(coded: Lake) -> None:
    for number, row in enumerate(coded.shards):
        header = coded.opened(number).header
        assert row.bytes == len(coded.store.objects[row.key])
        assert row.rows == header.rows
        for name, (first, stop) in row.lists.items():
            assert header.spaces[name].lists == stop - first


def test_lists_of_all_shards_add_up_to_the_rows_that_have_a_vector(coded: Lake) -> None:
    for name, missing in (("v", 11), ("w", 7)):
        rows = sum(int(coded.opened(n).header.arrays[f"list_rows/{name}"].sum()) for n in range(3))
        assert rows == 1200 - len(range(0, 1200, missing))


def test_the_router_s_centroids_are_the_shards_own(coded: Lake) -> None:
    pointer = coded.catalog.pointer(UID)
    assert pointer is not None
    manifest = decode_manifest(coded.store.objects[pointer.manifest_key])
    assert manifest.shards == tuple(row.key for row in coded.shards)
    for described in manifest.spaces:
        routing = decode_routing(coded.store.objects[described.routing_key])
        assert len(routing.centroids) == described.lists
        for number, row in enumerate(coded.shards):
            lists = coded.opened(number).space(described.name).lists
            lists.read_centroids(coded.opened(number).reader(LeafStats()))
            told = routing.centroids[slice(*row.lists[described.name])]
            np.testing.assert_allclose(told, lists.centroids, atol=np.abs(routing.centroids).max() / 100)


def test_the_router_knows_where_every_list_of_every_shard_lies(coded: Lake) -> None:
    pointer = coded.catalog.pointer(UID)
    assert pointer is not None
    for described in decode_manifest(coded.store.objects[pointer.manifest_key]).spaces:
        extents = decode_routing(coded.store.objects[described.routing_key]).extents
        assert extents is not None
        headers = [coded.opened(number).header for number in range(len(coded.shards))]
        known = [
            (header.list_extent(described.name, number), int(header.arrays[f"list_rows/{described.name}"][number]))
            for header in headers
            for number in range(header.spaces[described.name].lists)
        ]
        told = [(Extent.of(extents.row(i)), int(rows)) for i, rows in enumerate(extents.rows)]
        assert told == known


def test_zone_maps_are_the_smallest_and_largest_value_of_each_shard(coded: Lake) -> None:
    for number, row in enumerate(coded.shards):
        hits = coded.opened(number).search(EVERYTHING).hits
        values = [orjson.loads(hit.payload)["attributes"]["number"] for hit in hits]
        assert row.zone_maps == {"number": (min(values), max(values))}
        assert row.summaries == {"number": {"present": row.rows, "missing": 0}}


def test_exact_search_finds_what_a_scan_of_the_items_finds(coded: Lake) -> None:
    items = [
        item(hit.id, {"v": hit.vectors["v"]}, number=0)
        for answer in _answers(coded, "v")
        for hit in answer.hits
        if hit.vectors
    ]
    for query in unit_rows(5, 6, 9):
        _same(_nearest(coded, query, 10), _expected(items, query, 10, Metric.COSINE))


def _answers(lake: Lake, name: str) -> list[LeafAnswer]:
    query = np.ones(lake.schema.space(name).dimension, np.float32)  # type: ignore[union-attr]
    return lake.leaf_search(space=name, query=query, k=2000, exact=True, vectors=True)


def test_the_scannable_part_of_a_shard_is_a_plain_faiss_index(coded: Lake, tmp_path: Path) -> None:
    shard = coded.opened()
    leaf = shard.space("v")
    assert isinstance(leaf, CodedSpace)
    lists = leaf.lists.space.lists
    leaf.load(range(lists), shard.reader(LeafStats()))
    faiss.write_index(leaf.faiss_index, str(tmp_path / "shard.faiss"))

    read = faiss.read_index(str(tmp_path / "shard.faiss"))
    read.nprobe = lists
    query = np.pad(unit_rows(1, 6, 3), ((0, 0), (0, 2)))
    probe = leaf.lists.rank_lists(query[0, :6], lists, shard.reader(LeafStats()))

    assert read.ntotal == int(leaf.lists.list_rows.sum())
    found = set(read.search(query, 20)[1][0].tolist())
    assert found == set(leaf.scan(query[0, :6], probe, 20, None, shard.reader(LeafStats())).tolist())


def test_several_parts_and_shards_find_what_one_part_and_one_shard_finds(coded: Lake, tmp_path: Path) -> None:
    whole = Lake(schema(*coded.schema.spaces, attributes=NUMBER), tmp_path)
    for row in (row for row in coded.catalog.segments(UID) if not row.is_mark):
        whole.store.put(row.key, coded.store.objects[row.key])
        add_segment(whole.catalog, UID, row)
    assert whole.build().state is BuildState.DONE
    assert len(whole.shards) == 1

    for name, dimension in (("v", 6), ("w", 3)):
        for query in unit_rows(5, dimension, 4):
            _same(_nearest(coded, query, 20, name), _nearest(whole, query, 20, name))
    passing = ["and", ["gte", "number", 100], ["lt", "number", 130]]
    by_id = [
        sorted(hit.id for a in lake.leaf_search(space=None, k=50, filter=passing) for hit in a.hits)
        for lake in (coded, whole)
    ]
    assert by_id[0] == by_id[1] == [f"{i:05d}" for i in range(100, 130)]


# Which version of an item lives ------------------------------------------------------------------


def _colours(lake: Lake) -> dict[str, str]:
    hits = [hit for n in range(len(lake.shards)) for hit in lake.opened(n).search(EVERYTHING).hits]
    assert len({hit.id for hit in hits}) == len(hits)
    return {hit.id: orjson.loads(hit.payload)["attributes"]["colour"] for hit in hits}


def test_the_newest_of_several_items_with_one_id_lives(tmp_path: Path) -> None:
    lake = Lake(schema(attributes={"colour": AttributeType.KEYWORD}), tmp_path)
    vector = {"v": [1, 0, 0, 0]}
    lake.add([item("a", vector, colour="early"), item("b", vector, colour="early")])
    lake.add([item("b", vector, colour="first"), item("b", vector, colour="last"), item("c", colour="only")])
    lake.add([item("a", vector, colour="late")])

    assert lake.build(part_rows=1).state is BuildState.DONE

    assert _colours(lake) == {"a": "late", "b": "last", "c": "only"}


def test_a_second_build_folds_what_came_since_over_the_first(tmp_path: Path) -> None:
    lake = Lake(schema(attributes={"colour": AttributeType.KEYWORD}), tmp_path)
    lake.built([item("a", {"v": [1, 0, 0, 0]}, colour="old"), item("b", {"v": [0, 1, 0, 0]}, colour="old")])
    first = lake.catalog.pointer(UID)
    before = dict(lake.store.objects)
    lake.add([item("b", {"v": [0, 0, 1, 0]}, colour="new"), item("d", colour="new")])

    row = lake.build("build-2")

    assert (row.state, row.version) == (BuildState.DONE, lake.catalog.pointer(UID).version)  # type: ignore[union-attr]
    assert _colours(lake) == {"a": "old", "b": "new", "d": "new"}
    assert first is not None
    assert row.version is not None
    assert row.version.startswith("000002-")
    assert [p.version for p in lake.catalog.versions(UID)] == [first.version, row.version]
    assert decode_manifest(lake.store.objects[lake.catalog.pointer(UID).manifest_key]).parent == first.version  # type: ignore[union-attr]
    assert {key: lake.store.objects[key] for key in before} == before, "objects of a version never change"


def test_newest_is_decided_by_all_of_an_id() -> None:
    ids = np.array([[1, 1], [1, 2], [2, 1], [1, 1]], np.uint64)

    live = survey.newest_of([ids[:2], ids[2:2], ids[2:]])

    assert [part.tolist() for part in live] == [[False, True], [], [True, True]]


@pytest.mark.parametrize(
    ("rows", "part_rows", "parts"),
    [([5], 2, [[0]]), ([2, 2, 2], 4, [[0, 1], [2]]), ([1, 9, 1], 3, [[0], [1], [2]]), ([0, 0, 3], 3, [[0, 1, 2]])],
)
def test_a_part_is_as_many_segments_as_its_rows_allow_and_at_least_one(
    rows: list[int], part_rows: int, parts: list[list[int]]
) -> None:
    assert survey.parts_of(rows, [1] * len(rows), part_rows) == parts


# Small, odd and degenerate collections -----------------------------------------------------------


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("rows", [1, 2, 15])
@pytest.mark.parametrize("target_rows", [100, 1])
def test_very_small_collections_are_built_and_searched(
    tmp_path: Path, rows: int, target_rows: int, metric: Metric
) -> None:
    items = items_of(unit_rows(rows, 4) * 2)
    lake = Lake(schema(space(4, metric=metric), target_rows=target_rows, attributes=NUMBER), tmp_path).built(items)
    query = unit_rows(1, 4, 5)[0]

    assert len(lake.shards) == -(-rows // target_rows)
    _same(_nearest(lake, query, 100), _expected(items, query, 100, metric))
    assert _stored(lake) == [one.id for one in items]


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 7, 255])
def test_any_dimension_can_be_coded(tmp_path: Path, dimension: int) -> None:
    items = items_of(unit_rows(1000, dimension))
    lake = Lake(schema(space(dimension, metric=Metric.L2), attributes=NUMBER), tmp_path).built(items)
    query = unit_rows(1, dimension, 5)[0]

    assert lake.opened().header.spaces["v"].index is IndexType.IVF_PQ
    found = _nearest(lake, query, 10)
    np.testing.assert_allclose([s for _, s in found], [s for _, s in _expected(items, query, 10, Metric.L2)], atol=1e-5)
    (scanned,) = lake.leaf_search(query=query, k=10, nprobe=1000, candidates=1000)
    np.testing.assert_allclose([hit.score for hit in scanned.hits], [s for _, s in found], atol=0.02)


@pytest.mark.parametrize("metric", list(Metric))
def test_a_thousand_times_the_same_vector_can_be_built_and_searched(tmp_path: Path, metric: Metric) -> None:
    same = unit_rows(1, 6)[0]
    lake = Lake(schema(space(6, metric=metric), target_rows=400, attributes=NUMBER), tmp_path)
    lake.built(items_of(np.tile(same, (1000, 1))))

    assert _stored(lake) == [f"{i:08d}" for i in range(1000)]
    assert [hit for hit, _ in _nearest(lake, same, 5)] == [f"{i:08d}" for i in range(5)]
    assert len(lake.ids(query={"vector": {"v": same.tolist()}}, k=7)) == 7


def test_zero_vectors_are_built_and_are_as_far_as_cosine_can_say(tmp_path: Path) -> None:
    rows = unit_rows(20, 4)
    rows[::2] = 0
    lake = Lake(schema(attributes=NUMBER), tmp_path).built(items_of(rows))

    found = dict(_nearest(lake, rows[1], 20))

    assert found["00000001"] == pytest.approx(1)
    assert all(found[f"{i:08d}"] == 0 for i in range(0, 20, 2))


@pytest.mark.parametrize("target_rows", [100, 4])
@pytest.mark.parametrize("missing", ["v", "w", "both"])
def test_a_space_that_no_item_has_a_vector_in_is_empty_and_the_items_are_there(
    tmp_path: Path, missing: str, target_rows: int
) -> None:
    have = {"v": ["w"], "w": ["v"], "both": []}[missing]
    items = [item(f"i{i}", {name: [i, 1.0] for name in have}, number=i) for i in range(9)]
    lake = Lake(schema(space(2), space(2, "w"), target_rows=target_rows, attributes=NUMBER), tmp_path).built(items)

    assert _stored(lake) == [f"i{i}" for i in range(9)]
    for name in ("v", "w"):
        found = lake.ids(query={"vector": {name: [1.0, 1.0]}}, k=20)
        assert len(found) == (9 if name in have else 0)
    assert lake.ids(filter={"number": {"$gte": 7}}, k=20) == ["i7", "i8"]


def test_a_space_of_few_among_many_items_is_calibrated_with_its_own_rows(tmp_path: Path) -> None:
    few = unit_rows(1000, 4)
    items = items_of(few) + [item(f"x{i:06d}") for i in range(40_000)]
    lake = Lake(schema(attributes=NUMBER), tmp_path).built(items)

    pointer = lake.catalog.pointer(UID)
    assert pointer is not None
    (described,) = decode_manifest(lake.store.objects[pointer.manifest_key]).spaces
    assert described.rows == 1000
    assert described.index is IndexType.IVF_PQ
    assert max(point.recall for point in described.curve) > 0.9


def test_a_declared_flat_space_stays_flat_however_many_rows_it_has(tmp_path: Path) -> None:
    items = items_of(unit_rows(1100, 3))
    lake = Lake(schema(space(3, index=IndexType.FLAT), target_rows=600, attributes=NUMBER), tmp_path).built(items)
    query = unit_rows(1, 3, 2)[0]

    assert lake.opened().header.spaces["v"].index is IndexType.FLAT
    answers = lake.leaf_search(query=query, k=10)
    hits = sorted(((hit.id, hit.score) for a in answers for hit in a.hits), key=lambda hit: -hit[1])[:10]
    _same(hits, _expected(items, query, 10, Metric.COSINE))


def test_ids_of_any_language_come_back_in_code_point_order(tmp_path: Path) -> None:
    ids = ["z", "é", "\uffff", "\U0001f600", "Ω", "a b", "käse/🧀", "a", "0", "\u0301", "日本"]
    lake = Lake(schema(target_rows=3, attributes=NUMBER), tmp_path)
    lake.built([item(one, {"v": [1, i, 0, 0]}, number=i) for i, one in enumerate(ids)], part_rows=2)

    assert lake.ids(k=100) == sorted(ids)
    assert Counter(lake.ids(query={"vector": {"v": [1, 1, 0, 0]}}, k=100)) == Counter(ids)


def test_nothing_ingested_fails_the_build_with_its_reason(tmp_path: Path) -> None:
    row = Lake(schema(), tmp_path).build()

    assert row.state is BuildState.FAILED
    assert orjson.loads(row.error or "{}")["kind"] == "nothing-to-build"


def test_a_damaged_segment_fails_the_build_and_leaves_what_is_current(tmp_path: Path) -> None:
    lake = Lake(schema(attributes=NUMBER), tmp_path).built(items_of(unit_rows(5, 4)))
    current = lake.catalog.pointer(UID)
    key = lake.add(items_of(unit_rows(5, 4), first=5))
    body = lake.store.objects[key]
    lake.store.objects[key] = body[:10] + bytes([body[10] ^ 1]) + body[11:]

    row = lake.build("build-2")

    assert row.state is BuildState.FAILED
    assert orjson.loads(row.error or "{}")["kind"] == "checksum-mismatch"
    assert lake.catalog.pointer(UID) == current
    assert len(lake.ids(k=100)) == 10  # their delta is whole


def test_a_bug_fails_the_build_with_its_kind_and_comes_out(tmp_path: Path) -> None:
    lake = Lake(schema(attributes=NUMBER), tmp_path)
    lake.add(items_of(unit_rows(5, 4)))

    class Bug(WrappedStore):
        """A store with a bug."""

        def before(self, operation: str, key: str) -> None:
            raise ZeroDivisionError(key)

    with pytest.raises(ZeroDivisionError):
        lake.build(store=Bug(lake.store))

    row = lake.catalog.get_build(UID, "build-1")
    assert row.state is BuildState.FAILED
    assert orjson.loads(row.error or "{}")["kind"] == "internal"
    assert "ZeroDivisionError" in (row.error or "")


def test_progress_never_goes_back_and_ends_at_one(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []

    class Watched(WrappedCatalog):
        """A catalog that remembers what was reported."""

        def put_build(self, uid: str, row: BuildRow) -> None:
            seen.append((row.stage, row.progress))
            super().put_build(uid, row)

        def report_build(self, uid: str, row: BuildRow) -> bool:
            seen.append((row.stage, row.progress))
            return super().report_build(uid, row)

    lake = Lake(schema(target_rows=5, attributes=NUMBER), tmp_path)
    lake.add(items_of(unit_rows(12, 4)))
    lake.build(catalog=Watched(lake.catalog), part_rows=4)

    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    assert seen[0][0] == "survey"
    assert seen[-1] == ("done", 1.0)
    assert {"train", "assign", "write", "calibrate", "commit"} <= {stage for stage, _ in seen}
