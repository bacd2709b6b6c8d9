"""A small, honest measurement of latency: what one caller on this machine waits for, one search at a time."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from shardlake.cli.output import Output
from shardlake.cli.search import first_space
from shardlake.errors import ErrorKind, NotFound

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import Client

WARM_UP = 5


def measure(
    client: Client, name: str, output: Output, *, queries: int, k: int | None, recall: float | None, seed: int
) -> dict[str, Any]:
    """Times searches by random unit vectors after a short warm-up.

    Returns:
        Percentiles in milliseconds: `wall_ms` as the caller waits, `took_ms` as the API says.

    Raises:
        NotFound: version-not-found, when nothing was built yet, since a search of nothing is quick.
    """
    import numpy as np

    space, dimension = first_space(client, name)
    vectors = np.random.default_rng(seed).standard_normal((queries + WARM_UP, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    collection = client.collection(name)
    wall, took, partial = [], [], 0
    with output.bars() as bars:
        bar = bars.add("searching", len(vectors))
        for vector in vectors:
            began = time.perf_counter()
            answer = collection.search(vector={space: vector}, k=k, recall=recall)
            if answer.version is None:
                raise NotFound("nothing was built yet", kind=ErrorKind.VERSION_NOT_FOUND, collection=name)
            wall.append((time.perf_counter() - began) * 1000)
            took.append(answer.stats.took_ms.get("total", 0.0))
            partial += answer.partial
            bar.advance(1)
    return {
        "collection": name,
        "queries": queries,
        "warm_up": WARM_UP,
        "partial": partial,
        "wall_ms": _percentiles(wall[WARM_UP:]),
        "took_ms": _percentiles(took[WARM_UP:]),
        "note": "random unit vectors, one caller, one search at a time; recall is not measured here",
    }


def show(console: Console, result: dict[str, Any]) -> None:
    """Prints the percentiles."""
    from rich.table import Table

    table = Table("milliseconds", "p50", "p90", "p99", "slowest")
    for name, label in (("wall_ms", "as the caller waits"), ("took_ms", "as the API says")):
        table.add_row(label, *(f"{value:.1f}" for value in result[name].values()))
    console.print(table)
    console.print(f"{result['queries']} searches of {result['collection']}: {result['note']}", style="dim")
    if result["partial"]:
        console.print(f"[yellow]{result['partial']} answers were partial")


def _percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": max(values)}
