"""SQUASH's protocol on this machine: four uniform attributes, one batch of 1,000 queries drawn from the base, k = 10.

    python -m benchmarks.squash --rows 1000000

Re-implemented from the paper (arXiv 2502.01528): each query asks for a range of each attribute, all four at once,
every range as wide as the fourth root of the joint selectivity, 8 %. Every query has ranges of its own. What is told is
the batch's wall time over its queries, as the paper does; no AWS is involved, and the paper's figures were measured
there, on other data.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks import machine, metrics, prepared
from benchmarks.corpus import UNIFORM, Corpus, corpus
from benchmarks.systems import base

K = 10
QUERIES = 1_000
SELECTIVITY = 0.08
BATCH = 64  # searches of one request: our own bound
PEER_QUERIES = 100  # of those that take no batch
LANES: dict[str, Any] = {}  # of a worker process


def main() -> None:
    """Runs the batch through each system and prints queries a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=QUERIES)
    args = parser.parse_args()
    base.single_threaded()
    made = corpus(args.rows)
    asked = Asked(made, args.queries)
    results = {"shardlake": _ours(made, asked)}
    results["faiss"] = _faiss(made, asked, metrics.recall(results["shardlake"]["ids"], asked.truth))
    if find_spec("lancedb"):
        results["LanceDB"] = _lance(made, asked)
    workers = os.cpu_count() or 1
    results[f"shardlake, {workers} processes"] = _ours_in_parallel(asked, args.rows, workers)
    for name, done in results.items():
        recall = metrics.recall(done["ids"], asked.truth[: len(done["ids"])])
        print(f"{name:24} {len(done['ids']) / done['wall_s']:8.0f} QPS  recall {recall:.4f}")
    raw = {"rows": args.rows, "selectivity": SELECTIVITY, "truth": asked.truth, "results": results}
    machine.save(f"squash-{args.rows}", f"python -m benchmarks.squash --rows {args.rows}", raw, packed=True)


class Asked:
    """The queries and their ranges: the same for the same corpus.

    Attributes:
        vectors: (n, d), rows of the base. low, high: (n, 4), `low <= value < high`.
        truth: the K nearest rows that pass, of each; none where it is not needed.
    """

    def __init__(self, made: Corpus, count: int, *, with_truth: bool = True) -> None:
        rng = np.random.default_rng(97)
        self.vectors = np.ascontiguousarray(made.base[np.sort(rng.choice(made.rows, count, replace=False))])
        width = SELECTIVITY ** (1 / len(UNIFORM))
        self.low = (rng.random((count, len(UNIFORM))) * (1 - width)).round(6)
        self.high = (self.low + width).round(6)
        self.truth = self._nearest(made) if with_truth else []

    def passing(self, made: Corpus, number: int) -> npt.NDArray[np.bool_]:
        """Returns the rows within the ranges of one query."""
        there: npt.NDArray[np.bool_] = ((made.uniform >= self.low[number]) & (made.uniform < self.high[number])).all(
            axis=1
        )
        return there

    def body(self, number: int) -> bytes:
        """Returns one search."""
        from benchmarks.systems.ours import body

        ranges = zip(UNIFORM, self.low[number].tolist(), self.high[number].tolist(), strict=True)
        asked = {name: {"$gte": low, "$lt": high} for name, low, high in ranges}
        return orjson.dumps(body(self.vectors[number], None, filter=asked))

    def condition(self, number: int) -> str:
        """Returns the ranges as SQL."""
        ranges = zip(UNIFORM, self.low[number].tolist(), self.high[number].tolist(), strict=True)
        return " AND ".join(f"{name} >= {low} AND {name} < {high}" for name, low, high in ranges)

    def _nearest(self, made: Corpus) -> list[list[int]]:
        found = []
        for start in range(0, len(self.vectors), BATCH):
            scores = self.vectors[start : start + BATCH] @ made.base.T
            for number, row in enumerate(scores, start):
                row[~self.passing(made, number)] = -np.inf
                best = np.argpartition(-row, K)[:K]
                best = best[np.argsort(-row[best], kind="stable")]
                found.append(best[row[best] > -np.inf].tolist())
        return found


def _ours(made: Corpus, asked: Asked) -> dict[str, Any]:
    search, count = _batches(made, asked), len(asked.vectors)
    search(0, min(BATCH, count))  # lists and attributes read
    began = time.perf_counter()
    ids = search(0, count)
    return {"wall_s": time.perf_counter() - began, "ids": ids}


def _batches(made: Corpus, asked: Asked) -> Callable[[int, int], list[list[int]]]:
    """Returns a search of a range of the queries, the whole path in process, a batch at a time."""
    import faiss

    from benchmarks.systems.ours import Service

    faiss.omp_set_num_threads(1)
    service = Service(prepared.built(made))

    def search(start: int, stop: int) -> list[list[int]]:
        ids = []
        for first in range(start, stop, BATCH):
            bodies = [asked.body(number) for number in range(first, min(first + BATCH, stop))]
            ids += [[int(hit["id"]) for hit in answer["hits"]] for answer in service.search(*bodies)]
        return ids

    return search


def _ours_in_parallel(asked: Asked, rows: int, workers: int) -> dict[str, Any]:
    count = len(asked.vectors)
    cuts = np.linspace(0, count, workers + 1).astype(int).tolist()
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(rows, count)) as pool:
        list(pool.map(_search, [(0, min(BATCH, count))] * workers * 2))  # every worker has its lists
        began = time.perf_counter()
        parts = list(pool.map(_search, pairwise(cuts)))
        wall_s = time.perf_counter() - began
    return {"wall_s": wall_s, "ids": [found for part in parts for found in part]}


def _begin(rows: int, count: int) -> None:
    made = corpus(rows)
    LANES["search"] = _batches(made, Asked(made, count, with_truth=False))


def _search(span: tuple[int, int]) -> list[list[int]]:
    found: list[list[int]] = LANES["search"](*span)
    return found


def _faiss(made: Corpus, asked: Asked, recall: float) -> dict[str, Any]:
    """Lists are doubled until the recall is ours or all are probed; the last pass counts."""
    from benchmarks.filtered import WITHIN, primary
    from benchmarks.systems.bare_faiss import composed
    from benchmarks.systems.ours import Service, plan_of

    built = prepared.built(made)
    nprobe, candidates = plan_of(Service(built).leaf_request(asked.body(0)))
    index, lists = composed(built, made.base), primary(built).lists
    while True:
        nprobe = min(nprobe, lists)
        done = _faiss_pass(made, asked, index, nprobe, candidates)
        if nprobe == lists or metrics.recall(done["ids"], asked.truth) >= recall - WITHIN:
            return done
        nprobe *= 2


def _faiss_pass(made: Corpus, asked: Asked, index: Any, nprobe: int, candidates: int) -> dict[str, Any]:  # noqa: ANN401
    """The filter is evaluated by numpy within the time: every query has its own."""
    import faiss

    columns = [np.ascontiguousarray(made.uniform[:, number]) for number in range(len(UNIFORM))]
    ids = []
    began = time.perf_counter()
    for number, query in enumerate(asked.vectors):
        bounds = zip(columns, asked.low[number], asked.high[number], strict=True)
        passing = np.logical_and.reduce([(column >= low) & (column < high) for column, low, high in bounds])
        bitmap = np.packbits(passing, bitorder="little")
        lists = faiss.SearchParametersIVF(nprobe=nprobe, sel=faiss.IDSelectorBitmap(bitmap))
        plan = faiss.IndexRefineSearchParameters(k_factor=candidates / K, base_index_params=lists)
        ids.append(index.search(query[None], K, params=plan)[1][0].tolist())
    return {"wall_s": time.perf_counter() - began, "ids": ids, "nprobe": nprobe}


def _lance(made: Corpus, asked: Asked) -> dict[str, Any]:
    from benchmarks.systems import lance

    lance.prepare(made)
    system = lance.Lance(lance.connect(str(lance.folder_of(made))))
    count = min(PEER_QUERIES, len(asked.vectors))
    runs = [system.where(asked.vectors[number], asked.condition(number)) for number in range(count)]
    runs[0]()
    began = time.perf_counter()
    ids = [system.ids(run()) for run in runs]
    return {"wall_s": time.perf_counter() - began, "ids": ids}


if __name__ == "__main__":
    main()
