"""The shard-search service in process, against bare faiss with the same codes: single queries, one thread.

Both search one shard of the same rows with the same centroids, codewords, lists probed and rows refined; faiss refines
with its own 8-bit scalar quantizer (`IndexRefine`), we with ours. Arms take turns in short blocks, so that the
machine's moods hit both.

    python -m benchmarks.leaf --rows 200000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import faiss
import numpy as np

from benchmarks import corpus, machine
from benchmarks.memory_build import SPACE, Built, build
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import LeafRequest, LeafSearch, ShardRef, VectorSource
from shardlake.core import exact
from shardlake.core.calibration import choose
from shardlake.engine.shard import open_shard
from shardlake.format.manifest import decode_manifest
from shardlake.types import Metric

K = 10
BLOCK = 50  # queries of one arm before the other's turn: long enough that neither runs in the other's cold caches
_kept: list[faiss.Index] = []  # parts of composed indexes, to which faiss keeps bare pointers


def main() -> None:
    """Runs the comparison and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    base = corpus.vectors(args.rows, seed=5)
    queries = corpus.vectors(args.queries, seed=5, draw=2)
    built = build(base)
    manifest = decode_manifest(built.store.get(built.pointer.manifest_key, max_bytes=1 << 26))
    space = manifest.spaces[0]
    plan = choose(space.curve, recall=0.95, k=K, rows_per_list=space.rows_per_list)
    nprobe, candidates = plan.nprobe, max(plan.candidates, 64)
    service, request = _service(built), _requests(built, queries, nprobe, candidates)
    bare = _bare(built, base, nprobe, candidates)
    ours_ms, bare_ms, ours_ids, bare_ids = _race(service, request, bare, queries, args.rounds)
    truth, _ = exact.nearest(queries, [(np.arange(len(base)), base)], K, Metric.COSINE)
    figures = {
        "rows": args.rows,
        "lists": space.lists,
        "nprobe": nprobe,
        "candidates": candidates,
        "ours_ms_p50": float(np.median(ours_ms)),
        "bare_ms_p50": float(np.median(bare_ms)),
        "ratio": float(np.median(ours_ms) / np.median(bare_ms)),
        "ours_recall": float(exact.recall(ours_ids, truth).mean()),
        "bare_recall": float(exact.recall(bare_ids, truth).mean()),
    }
    for name, value in figures.items():
        print(f"{name:14} {value:.4g}" if isinstance(value, float) else f"{name:14} {value}")
    raw = {"ours_ms": ours_ms.tolist(), "bare_ms": bare_ms.tolist()}
    path = machine.save(f"leaf-{args.rows}", f"python -m benchmarks.leaf --rows {args.rows}", {**figures, **raw})
    print(f"raw results    {path.name}")


def _service(built: Built) -> ShardSearch:
    return ShardSearch(ShardCache(built.store, max_bytes=1 << 34), clock=time.monotonic)


def _requests(built: Built, queries: corpus.Vectors, nprobe: int, candidates: int) -> list[LeafRequest]:
    (row,) = built.shards
    ref = ShardRef(shard_id=0, key=row.key, bytes=row.bytes, tail_offset=row.footer_offset)
    return [
        LeafRequest(
            shard=ref,
            searches=(
                LeafSearch(
                    vectors=(VectorSource(space=SPACE, query=query, nprobe=nprobe, candidates=candidates),), k=K
                ),
            ),
            timeout_ms=10_000,
        )
        for query in queries
    ]


def _bare(built: Built, base: corpus.Vectors, nprobe: int, candidates: int) -> faiss.IndexRefine:
    """Returns faiss's own index with the shard's centroids and codewords, and faiss's own 8-bit refinement."""
    (row,) = built.shards
    data = built.store.objects[row.key]
    arrays = open_shard(data[row.footer_offset :], row.bytes, lambda spans, deadline: []).header.arrays
    lists, dimension = arrays[f"centroids/{SPACE}"].shape
    metric = faiss.METRIC_INNER_PRODUCT
    quantizer = faiss.IndexFlatIP(dimension)
    quantizer.add(arrays[f"centroids/{SPACE}"])
    index = faiss.IndexIVFPQFastScan(quantizer, dimension, lists, dimension // 2, 4, metric)
    index.by_residual = True
    faiss.copy_array_to_vector(arrays[f"codewords/{SPACE}"].reshape(-1), index.pq.centroids)
    index.is_trained = True
    index.nprobe = nprobe
    refine = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, metric)
    refine.train(base)
    both = faiss.IndexRefine(index, refine)
    both.k_factor = candidates / K
    both.add(base)
    _kept.extend([quantizer, index, refine])
    return both


def _race(
    service: ShardSearch,
    requests: Sequence[LeafRequest],
    bare: faiss.IndexRefine,
    queries: corpus.Vectors,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns (rounds, queries) milliseconds of both arms and (queries, K) row numbers of both."""
    n = len(queries)
    ours_ms, bare_ms = np.empty((rounds, n)), np.empty((rounds, n))
    ours_ids, bare_ids = np.empty((n, K), np.int64), np.empty((n, K), np.int64)
    for turn in range(-1, rounds):  # the first round warms caches and is written over
        for start in range(0, n, BLOCK):
            block = range(start, min(start + BLOCK, n))
            for i in block:
                began = time.perf_counter()
                reply = service.search(requests[i])
                ours_ms[turn, i] = (time.perf_counter() - began) * 1e3
                ours_ids[i] = [int(hit.id) for hit in reply.answers[0].hits]
            for i in block:
                began = time.perf_counter()
                _, found = bare.search(queries[i : i + 1], K)
                bare_ms[turn, i] = (time.perf_counter() - began) * 1e3
                bare_ids[i] = found[0]
    return ours_ms, bare_ms, ours_ids, bare_ids


if __name__ == "__main__":
    main()
