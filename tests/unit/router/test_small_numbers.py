"""The smallest numbers that are let in still tell hits apart; what tells nothing is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shardlake.types import Metric
from tests.lake import Lake, item, schema, space

TINY = 1e-9


def _lake(folder: Path, metric: Metric) -> Lake:
    vectors = {"a": [TINY, 0.0], "b": [3 * TINY, TINY]}
    items = [item(name, {"v": np.asarray(vector, np.float32)}) for name, vector in vectors.items()]
    return Lake(schema(space(2, metric=metric)), folder).built(items)


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.L2])
def test_scores_of_tiny_vectors_are_not_all_zero(tmp_path: Path, metric: Metric) -> None:
    first, second = _lake(tmp_path, metric).search(query={"vector": {"v": [2 * TINY, 0]}})["hits"]

    assert first["score"] > second["score"]
    assert first["score"] == pytest.approx(first["scores"]["v"], rel=1e-6)


def test_a_hit_at_no_distance_scores_zero_and_not_minus_zero(tmp_path: Path) -> None:
    first, _ = _lake(tmp_path, Metric.L2).search(query={"vector": {"v": [TINY, 0]}})["hits"]

    assert str(first["score"]) == "0.0"


@pytest.mark.parametrize("query", [[0, 0], [1e-50, 0]])
def test_a_query_without_direction_is_refused_where_directions_are_compared(tmp_path: Path, query: list[float]) -> None:
    answer = _lake(tmp_path, Metric.COSINE).post("search", {"query": {"vector": {"v": query}}})

    assert (answer.status, answer.kind) == (400, "invalid-vector")
    assert _lake(tmp_path, Metric.L2).search(query={"vector": {"v": query}})["hits"]
