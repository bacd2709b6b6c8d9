"""Qdrant's client in its local mode: exact search by numpy in process, its filter evaluated over all payloads.

It is no index, and asked only at the sizes where it answers in reasonable time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.corpus import Corpus, Vectors

K = 10
NAME = "bench"
MAX_ROWS = 20_000
_BATCH_ROWS = 5_000


class Qdrant:
    """A collection in memory."""

    name = "Qdrant local"

    def __init__(self, corpus: Corpus) -> None:
        from qdrant_client import QdrantClient, models

        self._models = models
        self._client = QdrantClient(":memory:")
        parameters = models.VectorParams(size=corpus.base.shape[1], distance=models.Distance.COSINE)
        self._client.create_collection(NAME, vectors_config=parameters)
        for start in range(0, corpus.rows, _BATCH_ROWS):
            stop = min(start + _BATCH_ROWS, corpus.rows)
            payloads: list[dict[str, bool]] = [{} for _ in range(start, stop)]
            for name, mask in corpus.masks.items():
                for position in np.flatnonzero(mask[start:stop]).tolist():
                    payloads[position][name] = True
            batch = models.Batch(ids=list(range(start, stop)), vectors=corpus.base[start:stop], payloads=payloads)  # type: ignore[arg-type]
            self._client.upsert(NAME, batch)

    def ready(self, query: Vectors, mask: str | None) -> Callable[[], Any]:
        """Returns the search."""
        models = self._models
        passing = None
        if mask is not None:
            condition = models.FieldCondition(key=mask, match=models.MatchValue(value=True))
            passing = models.Filter(must=[condition])
        return lambda: self._client.query_points(NAME, query, query_filter=passing, limit=K, with_payload=False)

    def settle(self) -> None:
        """Nothing to do."""

    def ids(self, answer: Any) -> list[int]:  # noqa: ANN401
        """Returns the rows."""
        return [point.id for point in answer.points]

    def counters(self, answer: Any) -> dict[str, int]:  # noqa: ANN401
        """Counts nothing."""
        return {}


def _key(mask: str) -> str:
    return mask.replace(".", "_")  # a point separates the steps of a path into the payload
