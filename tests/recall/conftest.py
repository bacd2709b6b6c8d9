"""The seeded corpus of the recall floors: uneven clusters, two shards, attributes of known selectivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from benchmarks.corpus import vectors
from shardlake.types import AttributeType, Metric
from tests.lake import Lake, item, schema, space

ROWS, DIMENSION, QUERIES, CLUSTERS = 14_000, 24, 100, 150
SELECTIVITIES = {"half": 0.5, "tenth": 0.1, "percent": 0.01, "thousandth": 0.001}


@dataclass(frozen=True)
class Corpus:
    """A built lake, its vectors and queries, and which rows pass each filter."""

    lake: Lake
    base: np.ndarray[Any, Any]
    queries: np.ndarray[Any, Any]
    passing: dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="session", params=[1, 2], ids=["one shard", "two shards"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The corpus in one shard, where filters that pass much are scanned, and in two."""
    base = vectors(ROWS, DIMENSION, seed=7, clusters=CLUSTERS)
    queries = vectors(QUERIES, DIMENSION, seed=7, draw=2, clusters=CLUSTERS)
    passing = {f"any_{name}": _independent(share) for name, share in SELECTIVITIES.items()}
    passing |= {f"near_{name}": _correlated(base, share) for name, share in SELECTIVITIES.items()}
    items = [
        item(f"{i:06d}", {"v": base[i]}, **{name: bool(rows[i]) for name, rows in passing.items()}) for i in range(ROWS)
    ]
    target = schema(
        space(DIMENSION, metric=Metric.COSINE),
        target_rows=-(-ROWS // request.param),
        attributes=dict.fromkeys(passing, AttributeType.BOOL),
    )
    return Corpus(Lake(target, tmp_path_factory.mktemp("recall")).built(items), base, queries, passing)


def _independent(share: float) -> np.ndarray[Any, Any]:
    return np.random.default_rng(int(share * 1000)).random(ROWS) < share


def _correlated(base: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    # The rows on one side of the corpus: whole clusters pass and whole clusters do not.
    along = base @ np.random.default_rng(3).standard_normal(DIMENSION).astype(np.float32)
    return np.asarray(along >= np.quantile(along, 1 - share))
