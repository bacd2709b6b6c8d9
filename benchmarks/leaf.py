"""The shard-search service in process, against bare faiss with the same codes: single queries and batches, one thread.

Both search one shard of the same rows with the same centroids, codewords, lists probed and rows refined; faiss refines
with its own 8-bit scalar quantizer (`IndexRefine`), we with ours, and answer with the items' attributes. Arms take
turns in short blocks, so that the machine's moods hit both.

    python -m benchmarks.leaf --rows 200000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from benchmarks import machine, metrics, prepared
from benchmarks.corpus import Vectors, corpus
from benchmarks.systems import base
from benchmarks.truth import truth

K = 10
BATCH = 64
TURN = 50  # queries of one arm before the other's turn: long enough that neither runs in the other's cold caches


def main() -> None:
    """Runs the comparison and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    base.single_threaded()
    made = corpus(args.rows)
    queries = made.queries[: args.queries]
    wanted = truth(made, None)
    arms = Arms(made.base, prepared.built(made), queries)
    ones = [range(i, i + 1) for i in range(len(queries))]
    batches = [range(i, i + BATCH) for i in range(0, len(queries) - BATCH + 1, BATCH)]
    figures: dict[str, Any] = {"rows": args.rows, "nprobe": arms.nprobe, "candidates": arms.candidates}
    raw: dict[str, Any] = {}
    for suffix, parts, turn in (("", ones, TURN), ("_batch", batches, 4)):
        ms, found = _race([arms.ours(parts), arms.bare(parts)], args.rounds, turn)
        middle = [float(np.median(part)) for part in ms]
        figures |= {f"ours{suffix}_ms_p50": middle[0], f"bare{suffix}_ms_p50": middle[1]}
        figures[f"ratio{suffix}"] = middle[0] / middle[1]
        for arm, ids in zip(("ours", "bare"), found, strict=True):
            figures[f"{arm}{suffix}_recall"] = metrics.recall(ids, wanted[: len(ids)])
        raw |= {f"ours{suffix}_ms": ms[0].tolist(), f"bare{suffix}_ms": ms[1].tolist()}
    for name, value in figures.items():
        print(f"{name:20} {value:.4g}" if isinstance(value, float) else f"{name:20} {value}")
    path = machine.save(f"leaf-{args.rows}", f"python -m benchmarks.leaf --rows {args.rows}", {**figures, **raw})
    print(f"raw results          {path.name}")


class Arms:
    """Both systems, and what either is asked."""

    def __init__(self, vectors: Vectors, built: Any, queries: Vectors) -> None:  # noqa: ANN401  # memory_build.Built
        import faiss

        from benchmarks.systems.bare_faiss import composed
        from benchmarks.systems.ours import Service, body, plan_of

        faiss.omp_set_num_threads(1)
        self._queries = queries
        self._service = Service(built)
        self._bodies = [orjson.dumps(body(query, None, include=["attributes", "scores"])) for query in queries]
        request = self._service.leaf_request(self._bodies[0])
        self.nprobe, self.candidates = plan_of(request)
        self._service.warm_up(request)
        self._index = composed(built, vectors)
        lists = faiss.SearchParametersIVF(nprobe=self.nprobe)
        self._plan = faiss.IndexRefineSearchParameters(k_factor=self.candidates / K, base_index_params=lists)

    def ours(self, parts: Sequence[range]) -> list[Callable[[], list[list[int]]]]:
        """Returns a search for each part of the queries."""
        from benchmarks.systems.ours import ids_of

        requests = [self._service.leaf_request(*self._bodies[part.start : part.stop]) for part in parts]
        return [lambda request=request: ids_of(self._service.leaf.search(request)) for request in requests]  # type: ignore[misc]

    def bare(self, parts: Sequence[range]) -> list[Callable[[], list[list[int]]]]:
        """Returns a search for each part of the queries."""
        blocks = [np.ascontiguousarray(self._queries[part.start : part.stop]) for part in parts]
        return [lambda block=block: self._index.search(block, K, params=self._plan)[1].tolist() for block in blocks]  # type: ignore[misc]


def _race(
    arms: Sequence[list[Callable[[], list[list[int]]]]], rounds: int, turn: int
) -> tuple[list[np.ndarray], list[list[list[int]]]]:
    """Returns (rounds, searches) milliseconds of each arm, and the rows that each query found."""
    searches = len(arms[0])
    ms = [np.empty((rounds, searches)) for _ in arms]
    found: list[list[list[int]]] = [[] for _ in arms]
    for number in range(-1, rounds):  # the first round warms caches and is written over
        for start in range(0, searches, turn):
            for arm, runs in enumerate(arms):
                for i in range(start, min(start + turn, searches)):
                    began = time.perf_counter()
                    ids = runs[i]()
                    ms[arm][number, i] = (time.perf_counter() - began) * 1e3
                    if number < 0:
                        found[arm].extend(ids)
    return ms, found


if __name__ == "__main__":
    main()
