"""The pictures of docs/benchmarks.md, as small SVG, from the raw results. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from benchmarks import machine, metrics
from benchmarks.corpus import KINDS, SELECTIVITIES, mask_name

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZES = (1_000_000, 200_000)  # the larger where there are both
TICKS = (100, 10, 1, 0.1, 0.01)
STYLE = {
    "shardlake": ("#0b6e99", "o"),
    "shardlake, filter new": ("#7fb7cf", "s"),
    "faiss": ("#c2571a", "^"),
    "LanceDB": ("#5c7a29", "D"),
    "LanceDB, widened": ("#a8bf7e", "v"),
}
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "shardlake",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)

Result = Mapping[str, Any]


def draw() -> Iterator[Path]:
    """Draws every picture that there are results for, and yields its path."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, make in (("filtered", _against_selectivity), ("curves", _curves)):
        result = next(filter(None, (machine.load(f"{name}-{rows}") for rows in SIZES)), None)
        if result is not None:
            yield from make(result)
    grown = machine.load("growth")
    if grown is not None:
        yield _growth(grown)


def _against_selectivity(result: Result) -> Iterator[Path]:
    yield _three(result, "latency-by-selectivity", "p50 of a query, ms", _p50, tuple(STYLE), is_log=True)
    systems = ("shardlake", "LanceDB", "LanceDB, widened")
    yield _three(result, "recall-by-selectivity", "recall@10", _recall, systems, is_log=False)


def _p50(cell: Result, name: str) -> float:
    return metrics.p(cell["systems"][name]["ms"], 50)


def _recall(cell: Result, name: str) -> float:
    found = cell["systems"][name]["ids"]
    return metrics.recall(found, cell["truth"][: len(found)])


def _three(  # private: two callers
    result: Result,
    name: str,
    what: str,
    figure: Callable[[Result, str], float],
    systems: Sequence[str],
    *,
    is_log: bool,
) -> Path:
    drawn, axes = plt.subplots(1, len(KINDS), figsize=(9, 3), sharey=True)
    for axis, kind in zip(axes, KINDS, strict=True):
        cells = [(100.0, "all"), *((100 * s, mask_name(kind, s)) for s in SELECTIVITIES)]
        there = [(x, result["cells"][mask]) for x, mask in cells if mask in result["cells"]]
        for system in systems:
            points = [(x, figure(cell, system)) for x, cell in there if system in cell["systems"]]
            if points:
                colour, marker = STYLE[system]
                axis.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, label=system)
        axis.set_xscale("log")
        axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axis.set_title(kind)
        axis.set_xlabel("rows that pass, %")
        axis.invert_xaxis()
    axes[0].set_ylabel(what)
    axes[0].set_yscale("log" if is_log else "linear")
    if not is_log:
        axes[0].set_ylim(0, 1.03)
    return _saved(drawn, axes[0], f"{name}.svg", f"{result['rows']:,} rows")


def _curves(result: Result) -> Iterator[Path]:
    masks = list(result["curves"])
    drawn, axes = plt.subplots(1, len(masks), figsize=(11, 3), sharey=True)
    for axis, mask in zip(axes, masks, strict=True):
        curve = result["curves"][mask]
        for system in ("shardlake", "faiss", "LanceDB"):
            points = sorted(
                (metrics.recall(point["ids"], curve["truth"]), metrics.p(point["ms"], 50))
                for point in curve["points"]
                if point["system"] == system
            )
            if points:
                colour, marker = STYLE[system]
                axis.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, label=system)
        axis.set_title("no filter" if mask == "all" else mask.replace("_", ", ") + " %")
        axis.set_xlabel("recall@10")
        axis.set_yscale("log")
    axes[0].set_ylabel("p50 of a query, ms")
    yield _saved(drawn, axes[0], "recall-latency.svg", f"{result['rows']:,} rows")


def _growth(result: Result) -> Path:
    sizes = np.array(result["sizes"], float)
    drawn, axis = plt.subplots(figsize=(5, 3.2))
    for mask, marker in zip(next(iter(result["measured"].values())), "osD", strict=False):
        middles = [np.median(result["measured"][str(int(size))][mask]["bytes"]) / 1e6 for size in sizes]
        axis.plot(sizes, middles, marker=marker, markersize=4, label="no filter" if mask == "all" else mask)
    first = np.median(result["measured"][str(int(sizes[0]))]["all"]["bytes"]) / 1e6
    axis.plot(sizes, first * np.sqrt(sizes / sizes[0]), color="grey", linestyle="--", label="√rows")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("rows")
    axis.set_ylabel("MB read by a cold query")
    return _saved(drawn, axis, "bytes-by-rows.svg", "")


def _saved(drawn: Any, legend_of: Any, name: str, title: str) -> Path:  # noqa: ANN401  # matplotlib's own
    for axis in drawn.axes:
        axis.minorticks_off()  # most of the file otherwise
    legend_of.legend(frameon=False, fontsize=7)
    drawn.suptitle(title, fontsize=9)
    drawn.tight_layout()
    path = PICTURES / name
    drawn.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(drawn)
    return path
