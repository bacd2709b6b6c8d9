"""Recall against time: every system at its own knob, without a filter and under filters of 1 %.

    python -m benchmarks.curves --rows 200000

Ours is asked for recalls, as a user would; faiss and LanceDB for numbers of lists.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from benchmarks import machine, metrics, prepared
from benchmarks.corpus import corpus
from benchmarks.filtered import primary
from benchmarks.race import race
from benchmarks.systems import base
from benchmarks.truth import truth

RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
MASKS = (None, "independent_1", "correlated_1", "anti_1")


def main() -> None:
    """Measures each point of each curve, all systems in turns, and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    base.single_threaded()
    made = corpus(args.rows)
    points = _points(made)
    curves: dict[str, Any] = {}
    for mask in MASKS:
        wanted = truth(made, mask)[: args.queries]
        done = race([system for *_, system in points], made.queries[: args.queries], mask)
        cell = []
        for name, knob, system in points:
            raw = done[system.name]
            cell.append({"system": name, "knob": knob, **raw.as_dict()})
            found, p50 = metrics.recall(raw.ids, wanted), metrics.p(raw.ms, 50)
            print(f"{mask or 'all':16} {name:10} {knob:8} recall {found:.4f}  p50 {p50:8.3f} ms", flush=True)
        curves[mask or "all"] = {"truth": wanted, "points": cell}
    command = f"python -m benchmarks.curves --rows {args.rows}"
    machine.save(f"curves-{args.rows}", command, {"rows": args.rows, "curves": curves}, packed=True)


def _points(made: Any) -> list[tuple[str, float, base.System]]:  # noqa: ANN401  # corpus.Corpus
    import faiss

    from benchmarks.systems.bare_faiss import BareFaiss, composed
    from benchmarks.systems.ours import Leaf, Service

    faiss.omp_set_num_threads(1)
    built = prepared.built(made)
    service, index = Service(built), composed(built, made.base)
    points: list[tuple[str, float, base.System]] = [
        ("shardlake", recall, Leaf(service, more={"recall": recall})) for recall in RECALLS
    ]
    lists = primary(built).lists
    plain = BareFaiss(index, made.masks, nprobe=1, candidates=100)
    nprobes = [2**power for power in range(lists.bit_length()) if 2**power <= lists]
    points += [("faiss", nprobe, plain.probing(nprobe)) for nprobe in nprobes]
    if find_spec("lancedb"):
        from benchmarks.systems import lance

        lance.prepare(made)
        table = lance.connect(str(lance.folder_of(made)))
        points += [("LanceDB", nprobe, lance.Lance(table, nprobes=nprobe)) for nprobe in nprobes if nprobe > 1]
    for name, knob, system in points:
        system.name = f"{name} {knob}"
    return points


if __name__ == "__main__":
    main()
