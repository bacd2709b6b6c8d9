"""In whatever order lists, heads and groups of rows come into memory, searches answer as over a shard that holds all.

Random sequences of loads and searches of a shard that is read bit by bit, each answer beside that of a warm shard; and
at the end both hold the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from shardlake.contracts.shard import LeafSearch, LeafStats, VectorSource
from shardlake.core.vectors import prepare
from shardlake.engine import coded_space, nearest, reading, row_reads
from shardlake.engine.shard import OpenShard
from shardlake.engine.spaces import NO_LIST, NO_ROW
from shardlake.query.rows import RowSet
from shardlake.types import AttributeType, IndexSpec, IndexType, Int64Array, Metric, Transform
from tests.lake import Lake, item, schema, space, unit_rows
from tests.leaf_searches import leaf_search
from tests.tiny_shard import plain

ROWS, DIMENSION, STEPS = 900, 12, 40
SPACES = {
    "primary": IndexSpec(type=IndexType.IVF_PQ),
    "pq": IndexSpec(type=IndexType.IVF_PQ, transform=Transform.PCA, dimension=8),
    "rabitq": IndexSpec(type=IndexType.IVF_RABITQ, bits=2),
    "ivf_flat": IndexSpec(type=IndexType.IVF_FLAT),
    "flat": IndexSpec(type=IndexType.FLAT),
    "binary": IndexSpec(type=IndexType.BINARY_MIH, bits=64),
    "sketch": IndexSpec(type=IndexType.BINARY_MIH, bits=64),
}
STORED = [name for name in SPACES if name != "sketch"]
GAPS = [(0, 0.0), (0, 1.5), (reading.COALESCE_GAP_BYTES, row_reads.WHOLE_AT)]  # groups always; while few; as they are

Step = Callable[[OpenShard], Any]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One shard in which every space but the primary lacks some rows."""
    vectors = {name: unit_rows(ROWS, DIMENSION, seed) for seed, name in enumerate(STORED)}
    items = [
        item(
            f"{row:03d}", {n: v[row] for s, (n, v) in enumerate(vectors.items()) if not s or row % (s + 5)}, number=row
        )
        for row in range(ROWS)
    ]
    specs = [space(DIMENSION, n, metric=Metric.L2, index=i) for n, i in SPACES.items() if n != "sketch"]
    specs.append(space(DIMENSION, "sketch", metric=Metric.L2, index=SPACES["sketch"], source="rabitq"))
    target = schema(*specs, attributes={"number": AttributeType.INT})
    return Lake(target, tmp_path_factory.mktemp("loading")).built(items)


def _warm(lake: Lake) -> OpenShard:
    shard = lake.opened()
    for name in STORED:
        shard.space(name).load(range(shard.space(name).lists.space.lists), shard.reader(LeafStats()))
    return shard


def _search(rng: np.random.Generator, name: str) -> LeafSearch:
    query = prepare(unit_rows(1, DIMENSION, int(rng.integers(10**6))), Metric.L2)[0]
    low = int(rng.choice([0, 500, 860, 895]))
    passing = {} if rng.random() < 0.3 else {"filter": ["gte", "number", low]}
    candidates, lists = int(rng.choice([5, 30, 400])), int(rng.integers(1, 6))
    asked = {"nprobe": lists, "candidates": candidates, "exact": bool(rng.random() < 0.2), **passing}
    return leaf_search(name, query, k=int(rng.choice([3, 20])), vectors=bool(rng.random() < 0.3), **asked)


def _steps(rng: np.random.Generator) -> Iterator[Step]:
    """Yields what is done to both shards; what it returns must be the same."""
    while True:
        name, seed = str(rng.choice(list(SPACES))), int(rng.integers(10**6))
        kind = rng.random()
        if kind < 0.6:
            search = _search(rng, name)
            yield lambda shard, search=search: plain(shard.search(search))
        elif kind < 0.8:
            source = _search(rng, name).vectors[0]
            rows = np.sort(rng.choice(ROWS, int(rng.integers(1, 60)), replace=False))
            yield lambda shard, name=name, source=source, rows=rows: _scores(shard, name, source, rows)
        else:
            yield lambda shard, name=name, seed=seed: _load_some(shard, name, seed)


def _scores(shard: OpenShard, name: str, source: VectorSource, rows: Int64Array) -> list[str]:
    return [f"{score:.5f}" for score in shard.nearest(name).score(source, rows, shard.reader(LeafStats()))]  # nan, too


def _load_some(shard: OpenShard, name: str, seed: int) -> None:
    lists = shard.space(name).lists.space.lists
    numbers = np.random.default_rng(seed).choice(lists, min(3, lists), replace=False)
    shard.space(name).load(numbers.tolist(), shard.reader(LeafStats()))


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("few", [0, nearest.FEW_ROWS])
@pytest.mark.parametrize("seed", range(4))
def test_a_shard_read_bit_by_bit_answers_as_one_that_holds_everything(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, gap: tuple[int, float], few: int, seed: int
) -> None:
    monkeypatch.setattr(reading, "COALESCE_GAP_BYTES", gap[0])
    monkeypatch.setattr(row_reads, "WHOLE_AT", gap[1])
    monkeypatch.setattr(nearest, "FEW_ROWS", few)
    if not gap[0]:
        monkeypatch.setattr(coded_space, "ROUND_BYTES", -1 << 20)
    cold, warm = lake.opened(), _warm(lake)

    for _, step in zip(range(STEPS), _steps(np.random.default_rng(seed)), strict=False):
        assert step(cold) == step(warm)
    for name in STORED:
        own, other = cold.space(name), warm.space(name)
        assert own.resident_bytes <= other.resident_bytes
        own.load(range(own.lists.space.lists), cold.reader(LeafStats()))
        assert own.resident_bytes == other.resident_bytes
        assert own.lists.all_loaded


def test_rows_come_alone_and_codes_come_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "COALESCE_GAP_BYTES", 0)
    monkeypatch.setattr(coded_space, "ROUND_BYTES", -1 << 20)
    shard = lake.opened()
    for name in ("primary", "rabitq", "ivf_flat", "flat"):
        shard.search(leaf_search(name, unit_rows(1, DIMENSION, 3)[0], k=3, nprobe=2, filter=["lt", "number", 6]))
        lists = shard.space(name).lists
        assert 0 < lists.held.sum() < 100
        assert not lists.scannable.any()
        assert not lists.loaded.any()
    monkeypatch.setattr(nearest, "FEW_ROWS", 0)
    monkeypatch.setattr(nearest, "SCAN_COST", -1 << 20)  # codes are scanned, however few
    many = ["gte", "number", 100]
    shard.search(leaf_search("rabitq", unit_rows(1, DIMENSION, 3)[0], k=3, nprobe=4, candidates=4, filter=many))
    lists = shard.space("rabitq").lists

    assert lists.scannable.sum() >= 4
    assert not lists.loaded[lists.scannable].any()


@pytest.mark.parametrize("wanted", [3, 500])
def test_a_flat_space_scans_for_many_queries_what_it_scans_for_each(lake: Lake, wanted: int) -> None:
    shard = lake.opened()
    reader, space = shard.reader(LeafStats()), shard.space("ivf_flat")
    space.load(range(space.lists.space.lists), reader)
    queries = unit_rows(4, DIMENSION, 11)
    lists = np.asarray([[0, 1, 2], [3, NO_LIST, NO_LIST], [NO_LIST] * 3, [2, 0, NO_LIST]])
    passing = RowSet(np.arange(shard.header.rows) % 3 == 0)

    together = space.scan_many(queries, lists, np.zeros(lists.shape, np.float32), wanted, passing)

    assert together.shape == (4, wanted)
    for query, probed, rows in zip(queries, lists, together, strict=True):
        alone = space.scan(query, space.lists.probe(query, probed[probed >= 0]), wanted, passing, reader)
        assert rows[: len(alone)].tolist() == alone.tolist()
        assert (rows[len(alone) :] == NO_ROW).all()
