"""The largest numbers that are let in still give scores that are numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shardlake import limits
from shardlake.contracts.item import parse_vector
from shardlake.errors import ErrorKind, InvalidInput
from shardlake.types import Metric
from tests.lake import Lake, item, schema, space

LARGEST = limits.MAX_COMPONENT
DIMENSION = 512


@pytest.mark.parametrize("metric", list(Metric))
def test_scores_of_the_largest_vectors_are_numbers(tmp_path: Path, metric: Metric) -> None:
    spec = space(DIMENSION, metric=metric)
    vectors = {name: parse_vector([sign * LARGEST] * DIMENSION, spec, at="v") for name, sign in (("a", 1), ("b", -1))}
    lake = Lake(schema(spec), tmp_path).built([item(name, {"v": vector}) for name, vector in vectors.items()])

    hits = lake.search(query={"vector": {"v": [LARGEST] * DIMENSION}})["hits"]

    assert [hit["id"] for hit in hits] == ["a", "b"]
    assert all(np.isfinite(hit["score"]) for hit in hits)


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.L2])
@pytest.mark.parametrize("value", [LARGEST * 1.01, -LARGEST * 1.01, 3e38, 1e300, float("inf"), float("nan")])
def test_larger_ones_are_refused_at_the_door(metric: Metric, value: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_vector([value, 0.0], space(2, metric=metric), at="v")

    assert caught.value.kind is ErrorKind.INVALID_VECTOR
