"""A space of a shard as a faiss index: faiss finds in the file what our scan finds in the shard."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from shardlake.contracts.shard import LeafStats
from shardlake.core.vectors import pad
from shardlake.engine.export import export
from shardlake.engine.spaces import IvfPqSpace, Probe
from shardlake.errors import NotFound
from shardlake.types import IndexType, Metric
from tests.lake import Lake, item, schema, space, unit_rows

ROWS, DIMENSION = 1500, 6


@pytest.fixture(scope="module", params=list(Metric))
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A coded space of a dimension that codes pad, and a flat one that every third item is absent from."""
    vectors, others = unit_rows(ROWS, DIMENSION), unit_rows(ROWS, 3, 1)
    items = [
        item(f"{i:05d}", {"v": vectors[i] * (1 + i % 3), **({"w": others[i]} if i % 3 else {})}) for i in range(ROWS)
    ]
    spaces = space(DIMENSION, metric=request.param), space(3, "w", index=IndexType.FLAT, metric=request.param)
    return Lake(schema(*spaces), tmp_path_factory.mktemp("export")).built(items)


def _read(lake: Lake, name: str, tmp_path: Path) -> tuple[faiss.Index, list[str]]:
    exported = export(lake.opened(), name)
    assert exported.dimension == exported.index.d
    faiss.write_index(exported.index, str(tmp_path / "x.faiss"))
    return faiss.read_index(str(tmp_path / "x.faiss")), exported.ids


@pytest.mark.parametrize("nprobe", [1, 4, 32])
def test_a_coded_space_is_found_by_faiss_as_by_our_scan(lake: Lake, tmp_path: Path, nprobe: int) -> None:
    index, _ = _read(lake, "v", tmp_path)
    shard = lake.opened()
    leaf = shard.space("v")
    assert isinstance(leaf, IvfPqSpace)
    index.nprobe = nprobe
    reader = shard.reader(LeafStats())
    agreed = []
    for query in unit_rows(20, DIMENSION, 7):
        probe = leaf.lists.rank_lists(query, nprobe, reader)
        ours = leaf.scan(query, Probe(*probe), 20, None, reader)
        _, theirs = index.search(pad(query[None], index.d), 20)
        agreed.append(len(set(ours.tolist()) & set(theirs[0].tolist())) / max(1, len(ours)))

    # Rows of equal 16-bit scores may change places at the end: a wrong list or codebook would leave almost none.
    assert np.mean(agreed) >= 0.97


def test_a_flat_space_is_found_by_faiss_exactly(lake: Lake, tmp_path: Path) -> None:
    index, ids = _read(lake, "w", tmp_path)
    others = {f"{i:05d}": vector for i, vector in enumerate(unit_rows(ROWS, 3, 1)) if i % 3}
    queries = unit_rows(10, 3, 8)
    _, found = index.search(queries, 5)

    assert index.ntotal == len(others)
    for query, rows in zip(queries, found, strict=True):
        distances = {name: float(np.linalg.norm(vector - query)) for name, vector in others.items()}
        assert [ids[row] for row in rows] == sorted(distances, key=distances.__getitem__)[:5]


def test_every_row_has_its_item(lake: Lake) -> None:
    exported = export(lake.opened(), "v")

    assert sorted(exported.ids) == [f"{i:05d}" for i in range(ROWS)]


def test_a_space_that_is_not_there_is_said_to_be_so(lake: Lake) -> None:
    with pytest.raises(NotFound):
        export(lake.opened(), "nope")
