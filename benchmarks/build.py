"""A build, from segments to the committed pointer, against faiss's own train and add for the same index.

    python -m benchmarks.build --rows 1000000

Each runs in a process of its own, all cores; the store is a folder. faiss is given the vectors in one array, trains
on as many rows as we do, and adds to the same lists, codes and 8-bit refinement; it runs on one thread and on all
cores, and the faster counts. Each is run twice, and the faster run counts. What it does not do: read and parse items,
group them, write a file, calibrate. Seconds are of the clock, and of all cores together: where others use the machine
too, the second are the steadier. Items are built twice: with the 20 attributes of the filtered benchmark, 15 of which
are masks, and with 5 numbers, as a catalogue has.
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
RUNS = 2  # of which the faster counts, for all alike: the first may wait for its input to come from the disk
ALL, FEW = "20 attributes", "5 attributes"


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
    lakes = {name: str(prepared.ingested(made, masks=name == ALL)) for name in (ALL, FEW)}
    ours = {name: _best("--child", "ours", "--folder", lake) for name, lake in lakes.items()}
    vectors = corpus_folder(*made.base.shape, len(made.queries)) / "base.npy"
    threads = sorted({1, os.cpu_count() or 1})
    words = ("--child", "faiss", "--folder", str(vectors), "--threads")
    bare = [_best(*words, str(count)) for count in threads]
    best = min(bare, key=lambda figures: float(figures["total_s"]))
    for name, figures in ours.items():
        print(f"ours, {name}: {figures['total_s']:.1f} s, {figures['total_s'] / best['total_s']:.2f} of faiss's")
        print(f"       peak {figures['peak_mb']:,.0f} MB; stages {figures['stages_s']}")
        print(f"       {figures['cpu_s']:.1f} s of cores: {figures['stages_cpu_s']}")
    print(f"faiss  {best['total_s']:.1f} s on {best['threads']} threads: {best['steps_s']}")
    print(f"       {best['cpu_s']:.1f} s of cores")
    raw = {"rows": args.rows, "ours": ours, "faiss": bare}
    machine.save(f"build-{args.rows}", f"python -m benchmarks.build --rows {args.rows}", raw)
    return None


def _best(*arguments: str) -> dict[str, Any]:
    """Returns the faster of RUNS runs, with the seconds of each."""
    runs = [process.run("benchmarks.build", *arguments) for _ in range(RUNS)]
    best: dict[str, Any] = min(runs, key=lambda figures: float(figures["total_s"]))
    return best | {"runs_s": [round(float(figures["total_s"]), 2) for figures in runs]}


def _ours(folder: Path) -> dict[str, Any]:
    imported = process.memory_mb("VmRSS")["VmRSS"]
    reached: list[tuple[str, float, float]] = []

    def watch(stage: str, _: float) -> None:
        reached.append((stage, time.perf_counter(), time.process_time()))

    watch("begin", 0)
    prepared.build_lake(folder, watch)
    watch("end", 1)
    stages: dict[str, float] = {}
    cores: dict[str, float] = {}
    for (stage, start, cpu), (_, stop, cpu_after) in pairwise(reached):
        stages[stage] = round(stages.get(stage, 0.0) + stop - start, 2)
        cores[stage] = round(cores.get(stage, 0.0) + cpu_after - cpu, 2)
    return {
        "total_s": reached[-1][1] - reached[0][1],
        "stages_s": stages,
        "cpu_s": reached[-1][2] - reached[0][2],
        "stages_cpu_s": cores,
        "peak_mb": process.memory_mb("VmHWM")["VmHWM"],
        "imports_mb": imported,
    }


def _faiss(path: Path, threads: int) -> dict[str, Any]:
    import faiss

    from shardlake.core import training

    base = np.asarray(np.load(path, mmap_mode="r"))
    rows, dimension = base.shape
    lists = training.list_count(rows)
    chosen = np.sort(np.random.default_rng(0).choice(rows, min(rows, training.sample_rows(lists)), replace=False))
    sample = base[chosen]
    faiss.omp_set_num_threads(threads)
    began, cpu = time.perf_counter(), time.process_time()
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
    return {
        "total_s": done - began,
        "steps_s": steps,
        "cpu_s": time.process_time() - cpu,
        "threads": threads,
        "lists": lists,
        "sample": len(sample),
    }


if __name__ == "__main__":
    main()
