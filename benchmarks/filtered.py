"""Filtered search at every selectivity, against the peers: recall, full answers, time, codes scanned.

    python -m benchmarks.filtered --rows 200000

Cells are no filter, and filters that are independent of the vectors, correlated and anti-correlated with them, each
passing 50, 10, 1, 0.1 and 0.01 % of the rows. faiss is raised list by list until its recall is ours, or it probes all.
Against LanceDB we are asked once more, for the least that finds as much as it does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import orjson

from benchmarks import machine, metrics, prepared
from benchmarks.corpus import KINDS, SELECTIVITIES, Corpus, Vectors, corpus, mask_name
from benchmarks.memory_build import SPACE, Built
from benchmarks.race import race
from benchmarks.systems import base
from benchmarks.truth import truth
from shardlake.format.manifest import ManifestSpace, decode_manifest

K = 10
SLOW = {"exact": 50, "Qdrant local": 5}  # queries that those are asked, at the most
ASKED: list[dict[str, float]] = [
    {"recall": recall} for recall in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95)
]  # of ourselves, cheapest first
ASKED += [{"nprobe": nprobe} for nprobe in (16, 24, 32, 64, 128, 256)]
WITHIN = 5e-4  # of our recall counts as equal
CELLS = [None, *(mask_name(kind, s) for s in SELECTIVITIES for kind in KINDS)]


def main() -> None:
    """Measures every cell and prints a line for each system in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--cells", nargs="*", default=None, help="masks; `all` is no filter")
    args = parser.parse_args()
    base.single_threaded()
    made = corpus(args.rows)
    queries = made.queries[: args.queries]
    arms = Arms(made)
    chosen = CELLS if args.cells is None else [None if cell == "all" else cell for cell in args.cells]
    cells = {mask or "all": arms.cell(queries, mask) for mask in chosen}
    if args.cells is None:
        raw = {"rows": args.rows, "k": K, "lists": arms.space.lists, "lance_build": arms.lance_build, "cells": cells}
        command = f"python -m benchmarks.filtered --rows {args.rows} --queries {args.queries}"
        print(f"raw results: {machine.save(f'filtered-{args.rows}', command, raw, packed=True).name}")


class Arms:
    """Every system that is installed, with the corpus indexed."""

    def __init__(self, made: Corpus) -> None:
        import faiss

        from benchmarks.systems.bare_faiss import BareFaiss, composed
        from benchmarks.systems.exact import Exact
        from benchmarks.systems.ours import Leaf, Routed, Service, body, plan_of

        faiss.omp_set_num_threads(1)
        self.made = made
        built = prepared.built(made)
        self.space = primary(built)
        service = Service(built)
        nprobe, candidates = plan_of(service.leaf_request(orjson.dumps(body(made.queries[0], None))))
        self.faiss = BareFaiss(composed(built, made.base), made.masks, nprobe=nprobe, candidates=candidates)
        self.ours: list[base.System] = [Leaf(service), Leaf(service, first=True), Routed(service)]
        self.leaf_asked: Callable[[Mapping[str, Any]], base.System] = partial(Leaf, service, base.AT_LANCE)
        self.peers: list[base.System] = [Exact(made.base, made.masks)]
        self.lance_build: dict[str, float] = {}
        self._add_installed()

    def _add_installed(self) -> None:
        if find_spec("lancedb"):
            from benchmarks.systems import lance

            self.lance_build = lance.prepare(self.made)
            table = lance.connect(str(lance.folder_of(self.made)))
            self.peers += [lance.Lance(table), lance.Lance(table, widened=True)]
        if find_spec("qdrant_client"):
            from benchmarks.systems import qdrant

            if self.made.rows <= qdrant.MAX_ROWS:
                self.peers.append(qdrant.Qdrant(self.made))

    def cell(self, queries: Vectors, mask: str | None) -> dict[str, Any]:
        """Returns what every system did under one filter, and the truth."""
        wanted = truth(self.made, mask)[: len(queries)]
        leaf = self.ours[0]
        ours = [leaf.ids(leaf.ready(query, mask)()) for query in queries]
        equal = self._equal(queries, mask, wanted, metrics.recall(ours, wanted))
        systems: list[base.System] = [*self.ours, *self._at_lance(queries, mask, wanted), equal, *self.peers]
        done = race(systems, queries, mask, only=SLOW)
        for name, raw in done.items():
            _print(mask or "all", name, raw.ms, raw.ids, wanted[: len(raw.ids)], raw.counters)
        matches = self.made.rows if mask is None else int(self.made.masks[mask].sum())
        return {"matches": matches, "truth": wanted, "systems": {name: raw.as_dict() for name, raw in done.items()}}

    def _at_lance(self, queries: Vectors, mask: str | None, wanted: list[list[int]]) -> list[base.System]:
        """Returns ourselves, asked for the least that finds as much as LanceDB; nothing where it is not installed."""
        lance = next((peer for peer in self.peers if peer.name == "LanceDB"), None)
        if lance is None:
            return []
        goal = metrics.recall([lance.ids(lance.ready(query, mask)()) for query in queries], wanted)
        for more in ASKED:
            tried = self.leaf_asked(more)
            if metrics.recall([tried.ids(tried.ready(query, mask)()) for query in queries], wanted) >= goal:
                return [tried]
        return []

    def _equal(self, queries: Vectors, mask: str | None, wanted: list[list[int]], recall: float) -> base.System:
        nprobe = self.faiss.nprobe
        while True:
            tried = self.faiss.probing(min(nprobe, self.space.lists))
            found = [tried.ids(tried.ready(query, mask)()) for query in queries]
            if tried.nprobe == self.space.lists or metrics.recall(found, wanted) >= recall - WITHIN:
                return tried
            nprobe *= 2


def primary(built: Built) -> ManifestSpace:
    """Returns what the manifest says of the space that is searched."""
    manifest = decode_manifest(built.store.get(built.pointer.manifest_key, max_bytes=1 << 26))
    space = manifest.space(SPACE)
    assert space is not None
    return space


def _print(  # noqa: PLR0917  # private: one caller
    cell: str,
    name: str,
    ms: Sequence[float],
    found: Sequence[Sequence[int]],
    wanted: Sequence[Sequence[int]],
    counters: dict[str, list[int]],
) -> None:
    means = {counter: sum(values) / max(1, len(values)) for counter, values in counters.items()}
    told = "  ".join(f"{counter} {mean:,.0f}" for counter, mean in means.items() if counter != "rows_passing")
    full = f"{metrics.full(found, wanted)}/{len(found)}"
    print(
        f"{cell:16} {name:22} recall {metrics.recall(found, wanted):.4f}  full {full}"
        f"  p50 {metrics.p(ms, 50):8.3f}  p90 {metrics.p(ms, 90):8.3f} ms  {told}",
        flush=True,
    )


if __name__ == "__main__":
    main()
