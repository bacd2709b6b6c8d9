"""A build, from segments to the committed pointer, against faiss's own train and add for the same index.

    python -m benchmarks.build --rows 1000000

Each runs in a process of its own, all cores; the store is a folder. faiss is given the vectors in one array, trains on
as many rows as we do, and adds to the same lists, codes and 8-bit refinement; it runs on one thread and on all cores,
and the faster counts. What it does not do: read and parse items, group them, write a file, calibrate.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, prepared, process
from benchmarks.corpus import corpus, corpus_folder

BLOCK_ROWS = 100_000


def main() -> None:
    """Measures both and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", choices=("ours", "faiss"), default=None)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.child == "ours":
        return process.say(_ours(args.folder))
    if args.child == "faiss":
        return process.say(_faiss(args.folder, args.threads))
    made = corpus(args.rows)
    lake = prepared.ingested(made)
    ours = process.run("benchmarks.build", "--child", "ours", "--folder", str(lake))
    vectors = corpus_folder(*made.base.shape, len(made.queries)) / "base.npy"
    threads = sorted({1, os.cpu_count() or 1})
    words = ("--child", "faiss", "--folder", str(vectors), "--threads")
    bare = [process.run("benchmarks.build", *words, str(count)) for count in threads]
    best = min(bare, key=lambda figures: float(figures["total_s"]))
    ratio = ours["total_s"] / best["total_s"]
    print(f"ours   {ours['total_s']:.1f} s, peak {ours['peak_mb']:,.0f} MB; stages {ours['stages_s']}")
    print(f"faiss  {best['total_s']:.1f} s on {best['threads']} threads: {best['steps_s']}\nratio  {ratio:.2f}")
    raw = {"rows": args.rows, "ours": ours, "faiss": bare, "ratio": ratio}
    machine.save(f"build-{args.rows}", f"python -m benchmarks.build --rows {args.rows}", raw)
    return None


def _ours(folder: Path) -> dict[str, Any]:
    imported = process.memory_mb("VmRSS")["VmRSS"]
    reached: list[tuple[str, float]] = []
    began = time.perf_counter()
    prepared.build_lake(folder, lambda stage, _: reached.append((stage, time.perf_counter())))
    total_s = time.perf_counter() - began
    stages: dict[str, float] = {}
    for (stage, start), (_, stop) in pairwise(reached):
        stages[stage] = round(stages.get(stage, 0.0) + stop - start, 2)
    peak = process.memory_mb("VmHWM")["VmHWM"]
    return {"total_s": total_s, "stages_s": stages, "peak_mb": peak, "imports_mb": imported}


def _faiss(path: Path, threads: int) -> dict[str, Any]:
    import faiss

    from shardlake.core import training

    base = np.asarray(np.load(path, mmap_mode="r"))
    rows, dimension = base.shape
    lists = training.list_count(rows)
    chosen = np.sort(np.random.default_rng(0).choice(rows, min(rows, training.sample_rows(lists)), replace=False))
    sample = base[chosen]
    faiss.omp_set_num_threads(threads)
    began = time.perf_counter()
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFPQFastScan(quantizer, dimension, lists, dimension // 2, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = True
    index.train(sample)
    trained = time.perf_counter()
    refine = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    refine.train(sample)
    for start in range(0, rows, BLOCK_ROWS):
        block = np.ascontiguousarray(base[start : start + BLOCK_ROWS])
        index.add(block)
        refine.add(block)
    done = time.perf_counter()
    steps = {"train": round(trained - began, 2), "add": round(done - trained, 2)}
    return {"total_s": done - began, "steps_s": steps, "threads": threads, "lists": lists, "sample": len(sample)}


if __name__ == "__main__":
    main()
