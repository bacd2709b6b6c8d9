"""A cold search under a filter reads what passes: tail, bitmaps and what is wanted beside them, rows, items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from shardlake.deadline import Deadline
from shardlake.engine import coded_space, reading
from shardlake.engine.nearest import FEW_ROWS
from shardlake.format.shard_header import ShardHeader
from shardlake.store.base import ByteRange
from shardlake.testing import MemoryBlocks, WrappedStore
from shardlake.types import AttributeType, IndexType
from tests.lake import Lake, item, schema, space, unit_rows

ROWS, DIMENSION, OTHER = 6_000, 32, 24
QUERY, QUERY_OTHER = unit_rows(1, DIMENSION, 5)[0].tolist(), unit_rows(1, OTHER, 6)[0].tolist()
FEW, SOME, MANY = 40, 400, 5_500
TAIL, BITMAPS, PARTS = range(3)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One shard; the space w is without codes, and not the one by which rows are numbered."""
    vectors, others = unit_rows(ROWS, DIMENSION), unit_rows(ROWS, OTHER, 1)
    items = [item(f"{i:05d}", {"v": vectors[i], "w": others[i]}, number=i, rare=i < FEW) for i in range(ROWS)]
    target = schema(
        space(DIMENSION),
        space(OTHER, "w", index=IndexType.IVF_FLAT),
        attributes={"number": AttributeType.INT, "rare": AttributeType.BOOL},
    )
    return Lake(target, tmp_path_factory.mktemp("filters")).built(items)


@pytest.fixture(autouse=True)
def _small_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    # The lists of this shard are smaller than the gaps that are read along in a real one.
    monkeypatch.setattr(reading, "COALESCE_GAP_BYTES", 0)
    monkeypatch.setattr(coded_space, "ROUND_BYTES", 0)


@dataclass
class Round:
    """One round of reads of the shard."""

    spans: list[tuple[int, int]]

    @property
    def requests(self) -> int:
        return len(self.spans)

    @property
    def bytes(self) -> int:
        return sum(stop - start for start, stop in self.spans)

    def has(self, offset: int) -> bool:
        return any(start <= offset < stop for start, stop in self.spans)


class Rounds(WrappedStore):
    """A store that remembers what each round of ranged reads was."""

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake.store)
        self.rounds: list[Round] = []

    def get_ranges(
        self, key: str, ranges: Sequence[ByteRange], *, etag: str | None = None, deadline: Deadline | None = None
    ) -> list[bytes]:
        self.rounds.append(Round([(span.start, span.stop) for span in ranges]))
        return super().get_ranges(key, ranges, deadline=deadline)


def _cold(lake: Lake, low: int, below: int, **body: object) -> tuple[list[Round], dict[str, object]]:
    store = Rounds(lake)
    lake.replace_containers(store)
    passing = {"$and": [{"number": {"$gte": low}}, {"number": {"$lt": low + below}}]}
    query = body.pop("query", {"vector": {"v": QUERY}})
    answer = lake.post("search", {"query": query, "filter": passing, **body}, router=lake.router(store))
    assert answer.status == 200, answer.text
    found: dict[str, object] = answer.json
    lake.leaf_store = lake.store
    return store.rounds, found


def _header(lake: Lake) -> ShardHeader:
    return lake.opened().header


def test_the_rows_that_pass_are_read_in_their_groups_and_nothing_else_of_their_lists(lake: Lake) -> None:
    rounds, found = _cold(lake, 100, FEW)
    group = _header(lake).row_groups("v", 0).group_bytes

    assert len(rounds) == 4, "tail, bitmaps, groups, items"
    assert 0 < rounds[PARTS].bytes <= FEW * group
    assert rounds[PARTS].requests <= FEW
    assert len(found["hits"]) == 10  # type: ignore[arg-type]  # JSON


def test_centroids_come_with_the_bitmaps_where_lists_will_be_ranked_and_not_where_few_rows_pass(lake: Lake) -> None:
    few, _ = _cold(lake, 0, FEW, filter={"rare": True})  # of a range the tail knows whole buckets only
    some, _ = _cold(lake, 0, SOME)
    centroids = _header(lake).directory.block("centroids/v").offset

    assert FEW < FEW_ROWS < SOME
    assert len(few) == len(some) == 4
    assert some[BITMAPS].has(centroids)
    assert not any(one.has(centroids) for one in few)
    assert some[PARTS].bytes <= SOME * _header(lake).row_groups("v", 0).group_bytes


def test_a_scan_under_a_filter_reads_heads_and_then_the_rows_of_its_candidates(lake: Lake) -> None:
    rounds, found = _cold(lake, 0, MANY, nprobe=30, k=5)
    header = _header(lake)
    heads = sorted(header.list_head("v", number).bytes for number in range(header.spaces["v"].lists))
    stats = found["stats"]

    assert stats["codes_scanned"] > 0  # type: ignore[index]  # JSON
    assert len(rounds) == 5, "tail, bitmaps, heads, groups, items"
    assert rounds[PARTS].bytes <= sum(heads[-stats["lists_probed"] :])  # type: ignore[index]  # JSON
    assert rounds[PARTS + 1].bytes <= stats["rows_refined"] * header.row_groups("v", 0).group_bytes  # type: ignore[index]


def test_an_exact_search_reads_the_full_precision_vectors_of_what_passes(lake: Lake) -> None:
    rounds, _ = _cold(lake, 2_000, FEW, recall=1)

    assert len(rounds) == 4, "tail, bitmaps, vectors, items"
    assert rounds[PARTS].bytes <= FEW * _header(lake).exact_groups("v", 0).group_bytes


def test_a_space_without_codes_reads_the_vectors_of_what_passes_and_the_lists_of_its_rows_beside_the_bitmaps(
    lake: Lake,
) -> None:
    rounds, _ = _cold(lake, 2_000, FEW, query={"vector": {"w": QUERY_OTHER}})

    assert len(rounds) == 4, "tail, bitmaps and the lists of rows, vectors, items"
    assert rounds[BITMAPS].bytes >= 4 * ROWS
    assert rounds[PARTS].bytes <= FEW * _header(lake).exact_groups("w", 0).group_bytes


def test_random_access_of_a_fusion_reads_rows_and_not_lists(lake: Lake) -> None:
    body = {"query": {"vector": {"v": QUERY, "w": QUERY_OTHER}}, "fusion": "weighted", "k": 3}
    rounds, _ = _cold(lake, 0, FEW, **body)
    header = _header(lake)
    group = header.row_groups("v", 0).group_bytes + header.exact_groups("w", 0).group_bytes

    assert sum(one.bytes for one in rounds[PARTS:-1]) <= FEW * group


def test_vectors_of_hits_are_read_alone(lake: Lake) -> None:
    without, _ = _cold(lake, 0, FEW, k=5)
    rounds, _ = _cold(lake, 0, FEW, k=5, include=["vectors"])
    vectors = sum(one.bytes for one in rounds) - sum(one.bytes for one in without)

    assert len(rounds) == len(without) + 1, "the vectors of v"
    header = _header(lake)
    assert vectors <= 5 * sum(header.exact_groups(name, 0).group_bytes for name in "vw") + 4 * ROWS


def test_groups_that_one_container_read_the_next_one_on_that_disk_does_not_read_again(lake: Lake) -> None:
    lake.disks = {row.shard_id: MemoryBlocks() for row in lake.shards}
    try:
        first, expected = _cold(lake, 100, FEW)
        again, found = _cold(lake, 100, FEW)
    finally:
        lake.disks = {}

    assert sum(one.bytes for one in first) > 0
    assert again == []
    assert found["hits"] == expected["hits"]


def test_a_list_that_is_at_hand_whole_is_not_read_again_by_group(lake: Lake) -> None:
    lake.disks = {row.shard_id: MemoryBlocks() for row in lake.shards}
    lake.warm_up_mb = 64
    try:
        _cold(lake, 100, FEW)
        lake.invoker.run_started()
        rounds, _ = _cold(lake, 3_000, FEW, recall=1)
        more, _ = _cold(lake, 3_000, MANY, nprobe=30)
    finally:
        lake.disks, lake.warm_up_mb = {}, 0

    assert rounds == more == []


def test_cold_and_warm_containers_answer_alike(lake: Lake) -> None:
    asked = [
        {},
        {"recall": 1},
        {"nprobe": 4},
        {"query": {"vector": {"w": QUERY_OTHER}}},
        {"query": {"vector": {"v": QUERY, "w": QUERY_OTHER}}, "fusion": "weighted"},
    ]
    for low, below in ((0, FEW), (50, SOME), (100, MANY)):
        cold = [_cold(lake, low, below, **body)[1]["hits"] for body in asked]
        lake.replace_containers(lake.store)
        for name in "vw":
            opened = lake.container(0)._cache
            lake.search(query={"vector": {name: QUERY if name == "v" else QUERY_OTHER}}, nprobe=1000)
            assert opened.holds(lake.shards[0].key)
        passing = {"$and": [{"number": {"$gte": low}}, {"number": {"$lt": low + below}}]}
        warm = [lake.search(**{"query": {"vector": {"v": QUERY}}, "filter": passing, **body})["hits"] for body in asked]

        assert [[hit["id"] for hit in hits] for hits in cold] == [[hit["id"] for hit in hits] for hits in warm]
        np.testing.assert_allclose(
            [hit["score"] for hits in cold for hit in hits], [hit["score"] for hits in warm for hit in hits], atol=1e-5
        )
