"""The promise of recall, cell by cell: kinds of filter and selectivities, what was promised, measured and found.

One shard, searched in process at the planner's depth for `recall: 0.95`; rows that pass are handed in, so that times
are those of the search alone. The anti-correlated filters keep away from 64 of all queries. Raw results are stored;
the table of docs/recall.md is printed.

    python -m benchmarks.recall_cells --rows 200000 --queries 1000
"""

from __future__ import annotations

import argparse
import time

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks import corpus, machine
from benchmarks.memory_build import SPACE, build
from builder.stored import open_stored
from functions.router.depth import scan_plan
from shardlake.contracts.shard import LeafStats, VectorSource
from shardlake.core.calibration import Queries, band_for
from shardlake.engine.shard import OpenShard
from shardlake.format.columns import column_blocks, decode_column
from shardlake.format.manifest import ManifestSpace, decode_manifest
from shardlake.query.columns import NumberColumn
from shardlake.query.rows import RowSet
from shardlake.types import Depth

K, RECALL = 10, 0.95
SELECTIVITIES = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
FAR_FROM, REGIONS = 64, 1_000


def main() -> None:
    """Measures all cells and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1_000)
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    base = corpus.vectors(args.rows, seed=5)
    queries = corpus.vectors(args.queries, seed=5, draw=2)
    built = build(base)
    space = decode_manifest(built.store.get(built.pointer.manifest_key, max_bytes=1 << 26)).spaces[0]
    opened = open_stored(built.store, built.shards[0])
    number = _numbers(opened)
    cells = []
    print(
        "| filter | passes | band | lists | promised | measured | found | p50 ms |\n|---|---|---|---|---|---|---|---|"
    )
    for kind, order in _orders(base, queries).items():
        for share in SELECTIVITIES if kind == "independent" else SELECTIVITIES[1:]:
            passing = np.zeros(args.rows, bool)
            passing[order[: max(1, round(share * args.rows))]] = True
            cell = _cell(opened, space, base, queries, passing, number)
            cells.append({"kind": kind, "selectivity": share, **cell})
            print(_line(kind if share < 1 else "none", share, cell), flush=True)
    command = f"python -m benchmarks.recall_cells --rows {args.rows} --queries {args.queries}"
    print(machine.save(f"recall-cells-{args.rows}", command, {"cells": cells}).name)


def _numbers(opened: OpenShard) -> npt.NDArray[np.int64]:
    """Returns which row of the base each row of the shard is."""
    reader, header = opened.reader(LeafStats()), opened.header
    blocks = {name: reader.array(name, header.directory.block(name)) for name in column_blocks(header, "number")}
    column = decode_column(header, "number", blocks)
    assert isinstance(column, NumberColumn)
    return np.asarray(column.values, np.int64)


def _orders(base: corpus.Vectors, queries: corpus.Vectors) -> dict[str, npt.NDArray[np.int64]]:
    """Returns an order of the rows for each kind of filter: the first so many pass."""
    rng = np.random.default_rng(5)
    far = queries[rng.choice(len(queries), min(FAR_FROM, len(queries)), replace=False)]
    _, region = faiss.knn(base, base[rng.choice(len(base), REGIONS, replace=False)], 1)
    return {
        "independent": rng.permutation(len(base)),
        "correlated": np.argsort(rng.permutation(REGIONS)[region[:, 0]], kind="stable"),
        "anti": np.argsort((base @ far.T).max(axis=1)),
    }


def _cell(  # noqa: PLR0917  # private: one caller
    opened: OpenShard,
    space: ManifestSpace,
    base: corpus.Vectors,
    queries: corpus.Vectors,
    passing: npt.NDArray[np.bool_],
    number: npt.NDArray[np.int64],
) -> dict[str, object]:
    rows = np.flatnonzero(passing)
    k = min(K, len(rows))
    _, positions = faiss.knn(queries, base[rows], k, metric=faiss.METRIC_INNER_PRODUCT)
    is_filtered = len(rows) < len(base)
    scan = scan_plan(space, recall=RECALL, k=K, nprobe=None, queries=Queries.ITEMS, is_filtered=is_filtered)
    allowed = RowSet(passing[number]) if is_filtered else None
    reader, stats = opened.reader(LeafStats()), LeafStats()
    nearest = opened.nearest(SPACE)
    recalls, took_ms, full = [], [], 0
    for query, truth in zip(queries, rows[positions], strict=True):
        source = VectorSource(
            space=SPACE,
            query=query,
            nprobe=scan.nprobe,
            candidates=scan.candidates,
            exact=scan.exact,
            widening=scan.widening,
        )
        began = time.perf_counter()
        found = nearest.search(source, K, allowed, reader, stats)
        took_ms.append((time.perf_counter() - began) * 1e3)
        hits = number[found.rows[np.argsort(-found.scores, kind="stable")[:K]]]
        full += len(hits) == k
        recalls.append(float(np.isin(truth, hits).mean()))
    band = band_for(scan.widening, len(rows) / len(base))
    return {
        "rows": len(rows),
        "band": None if band is None else band.selectivity,
        "lists": scan.nprobe if band is None else band.lists,
        "promised": RECALL,
        "measured": _measured(scan.bands, band) if is_filtered else scan.point and scan.point.recall,
        "found": float(np.mean(recalls)),
        "full": full,
        "queries": len(queries),
        "ms": took_ms,
        "recalls": recalls,
    }


def _measured(bands: object, band: Depth | None) -> float | None:
    points = {point.selectivity: point.recall for point in bands} if isinstance(bands, tuple) else {}
    return None if band is None else points.get(band.selectivity)


def _line(kind: str, share: float, cell: dict[str, object]) -> str:
    measured = cell["measured"]
    shown = "all rows" if measured is None else f"{measured:.3f}"
    band = "–" if cell["band"] is None else f"{cell['band']:g}"
    ms = float(np.median(np.asarray(cell["ms"])))
    return (
        f"| {kind} | {share:.2%} | {band} | {cell['lists']} | {cell['promised']} | {shown} "
        f"| {cell['found']:.3f} | {ms:.2f} |"
    )


if __name__ == "__main__":
    main()
