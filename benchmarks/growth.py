"""How a query grows with the rows: bytes read cold and codes scanned, and the power of the rows with which they grow.

python -m benchmarks.growth
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import orjson

from benchmarks import machine, metrics, prepared
from benchmarks.corpus import corpus
from benchmarks.systems import base
from benchmarks.systems.ours import Service, body
from shardlake.testing import CountingStore

SIZES = (10_000, 100_000, 1_000_000)
MASKS = (None, "independent_10", "independent_1")
MEASURED = ("bytes", "codes_scanned", "rows_refined")


def main() -> None:
    """Measures each size and prints the exponents; √rows is 0.5."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--queries", type=int, default=50)
    args = parser.parse_args()
    base.single_threaded()
    measured = {str(rows): _measure(rows, args.queries) for rows in args.sizes}
    for mask in MASKS:
        for figure in MEASURED:
            middles = [float(np.median(measured[str(rows)][mask or "all"][figure])) for rows in args.sizes]
            power = metrics.exponent(args.sizes, [max(1.0, middle) for middle in middles])
            print(f"{mask or 'all':16} {figure:14} {' '.join(f'{m:12,.0f}' for m in middles)}   rows^{power:.2f}")
    sizes = " ".join(map(str, args.sizes))
    machine.save("growth", f"python -m benchmarks.growth --sizes {sizes}", {"sizes": args.sizes, "measured": measured})


def _measure(rows: int, queries: int) -> dict[str, Any]:
    made = corpus(rows)
    built = prepared.built(made)
    cells: dict[str, Any] = {}
    for mask in MASKS:
        cell: dict[str, list[int]] = {figure: [] for figure in MEASURED}
        for query in made.queries[:queries]:
            store = CountingStore(built.store)
            service = Service(built, router_store=store, leaf_store=store)
            (answer,) = service.search(orjson.dumps(body(query, mask)))
            cell["bytes"].append(store.bytes_read)
            for figure in ("codes_scanned", "rows_refined"):
                cell[figure].append(answer["stats"][figure])
        cells[mask or "all"] = cell
    return cells


if __name__ == "__main__":
    main()
