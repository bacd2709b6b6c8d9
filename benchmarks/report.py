"""docs/benchmarks.md and its pictures, from the raw results: `python -m benchmarks.report`. Nothing is measured here.

The page's own words stand in it; each table stands between markers and is written again. `page` needs no plotting
library, so that a test can say whether the page is stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, metrics
from benchmarks.corpus import KINDS, SELECTIVITIES, mask_name
from benchmarks.systems import base

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
SIZES = (20_000, 200_000, 1_000_000)
SECTION = re.compile(r"(<!-- results: ([a-z0-9]+) -->\n).*?(<!-- /results -->)", re.DOTALL)
NOT_YET = "Not measured yet.\n"

Result = Mapping[str, Any]


def page() -> str:
    """Returns the page as the results have it."""
    return SECTION.sub(lambda found: found[1] + SECTIONS[found[2]]() + found[3], PAGE.read_text(encoding="utf-8"))


def main() -> None:
    """Writes the page, and the pictures where matplotlib is installed."""
    PAGE.write_text(page(), encoding="utf-8")
    from benchmarks import plot

    for path in plot.draw():
        print(f"written: {path.name}")


# Tables ---------------------------------------------------------------------------------------------------


def filtered() -> str:
    """Returns what every system found under each filter, and how fast."""
    return _by_size("filtered", _filtered)


def _filtered(result: Result) -> Iterator[str]:
    cells = result["cells"]
    yield "What the table of goals asks, medians in ms; the ratio to faiss is at equal recall or all lists; *at its "
    yield "recall* we are asked for the least that finds as much as LanceDB does.\n\n"
    head = [
        "filter",
        "matches",
        "recall",
        "ms",
        "of faiss's time",
        "filter new",
        "LanceDB's recall",
        "times faster than LanceDB",
        "at its recall",
    ]
    yield from _table(head, [_beside(mask, cell) for mask, cell in cells.items()])
    names = list(dict.fromkeys(name for cell in cells.values() for name in cell["systems"]))
    for kind in KINDS:
        masks = ["all", *(mask_name(kind, s) for s in SELECTIVITIES)]
        yield f"\n{kind.capitalize()} filters: recall@10, p50 in ms; how many answers are full, where not all.\n\n"
        titles = ["100 %", *(f"{100 * s:g} %" for s in SELECTIVITIES)]
        yield from _table(["", *titles], [[name, *(_cell(cells.get(mask), name) for mask in masks)] for name in names])
    yield "\nWhat a query costs, means; faiss probes the lists that reach our recall.\n\n"
    rows = [[mask, *_depth(cell)] for mask, cell in cells.items()]
    yield from _table(["filter", "lists", "codes scanned", "rows refined", "lists of faiss"], rows)


def _beside(mask: str, cell: Result) -> list[str]:
    wanted = cell["truth"]
    p50 = {name: metrics.p(raw["ms"], 50) for name, raw in cell["systems"].items() if raw["ms"]}
    recalls = {name: metrics.recall(raw["ids"], wanted[: len(raw["ids"])]) for name, raw in cell["systems"].items()}
    ours = p50["shardlake"]
    lance = ["–"] * 3
    if "LanceDB" in p50:
        equal = f"{p50['LanceDB'] / p50[base.AT_LANCE]:.0f}" if base.AT_LANCE in p50 else "–"
        lance = [f"{recalls['LanceDB']:.3f}", f"{p50['LanceDB'] / ours:.0f}", equal]
    ratios = [f"{p50[name] / p50['faiss']:.2f}" for name in ("shardlake", "shardlake, filter new")]
    return [mask, f"{cell['matches']:,}", f"{recalls['shardlake']:.3f}", f"{ours:.3f}", *ratios, *lance]


def _cell(cell: Result | None, name: str) -> str:
    raw = {} if cell is None else cell["systems"].get(name, {})
    if cell is None or not raw.get("ids"):
        return "–"
    wanted = cell["truth"][: len(raw["ids"])]
    full = metrics.full(raw["ids"], wanted)
    short = "" if full == len(wanted) else f" ({full}/{len(wanted)})"
    return f"{metrics.recall(raw['ids'], wanted):.3f}, {metrics.p(raw['ms'], 50):.3g}{short}"


def _depth(cell: Result) -> list[str]:
    ours, bare = cell["systems"]["shardlake"]["counters"], cell["systems"]["faiss"]["counters"]
    figures = [np.mean(ours[name]) for name in ("lists_probed", "codes_scanned", "rows_refined")]
    return [f"{figure:,.0f}" for figure in [*figures, np.mean(bare["lists_probed"])]]


def leaf() -> str:
    """Returns the unfiltered comparison with bare faiss, single and in batches."""
    return _by_size("leaf", _leaf)


def _leaf(result: Result) -> Iterator[str]:
    rows = []
    for title, suffix in (("single query", ""), ("batch of 64", "_batch")):
        ours, bare = result.get(f"ours{suffix}_ms_p50"), result.get(f"bare{suffix}_ms_p50")
        if ours is not None:
            recalls = f"{result[f'ours{suffix}_recall']:.3f}, {result[f'bare{suffix}_recall']:.3f}"
            rows.append([title, f"{ours:.3f}", f"{bare:.3f}", f"{ours / bare:.2f}", recalls])
    yield from _table(["", "shardlake, ms", "faiss, ms", "ratio", "recall of each"], rows)


def cold() -> str:
    """Returns rounds, requests and bytes of cold queries."""
    return _by_size("cold", _cold)


def _cold(result: Result) -> Iterator[str]:
    rows = []
    for how, cells in result["results"].items():
        for mask, queries in cells.items():
            middle = {name: np.median([query[name] for query in queries]) for name in ("rounds", "requests", "bytes")}
            took = f"{np.median([query['ms'] for query in queries]):.0f}" if "ms" in queries[0] else "–"
            read = [f"{middle['rounds']:.0f}", f"{middle['requests']:.0f}", f"{middle['bytes'] / 1e6:.2f}"]
            rows.append([how, mask, *read, _parts(queries), took])
    title = f"ms at {result['latency_ms']:.0f} ms a request"
    yield from _table(["counted", "filter", "rounds", "requests", "MB", "of these", title], rows)


def _parts(queries: Sequence[Result]) -> str:
    parts = queries[0].get("parts", {})
    told = []
    for part in parts:
        rounds, read = (np.median([query["parts"][part][name] for query in queries]) for name in ("rounds", "bytes"))
        told.append(f"{part} {rounds:.0f} rounds, {read / 1e6:.2f} MB")
    return "; ".join(told) or "–"


def growth() -> str:
    """Returns how bytes and codes grow with the rows."""
    result = machine.load("growth")
    return NOT_YET if result is None else _said(result, _growth(result))


def _growth(result: Result) -> Iterator[str]:
    sizes, rows = result["sizes"], []
    masks = next(iter(result["measured"].values()))
    for mask in masks:
        for figure in masks[mask]:
            middles = [float(np.median(result["measured"][str(size)][mask][figure])) for size in sizes]
            power = metrics.exponent(sizes, [max(1.0, middle) for middle in middles])
            rows.append([mask, figure.replace("_", " "), *(f"{m:,.0f}" for m in middles), f"rows^{power:.2f}"])
    yield from _table(["filter", "median of a query", *(f"{size:,} rows" for size in sizes), "grows as"], rows)


def memory() -> str:
    """Returns resident memory."""
    return _by_size("memory", _memory)


def _memory(result: Result) -> Iterator[str]:
    names = ("imports_mb", "served_mb", "over_imports_mb", "peak_over_imports_mb")
    titles = ("after imports", "everything cached", "over the imports", "peak over the imports")
    yield from _table(["resident memory", "MB"], [[t, f"{result[n]:,.0f}"] for t, n in zip(titles, names, strict=True)])


def build() -> str:
    """Returns build times."""
    return _by_size("build", _build)


def _build(result: Result) -> Iterator[str]:
    best = min(result["faiss"], key=lambda figures: float(figures["total_s"]))
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in best["steps_s"].items())
    rows = []
    for name, ours in result["ours"].items():
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in ours["stages_s"].items() if seconds >= 0.1)
        ratio, cores = f"{ours['total_s'] / best['total_s']:.2f}", f"{ours['cpu_s']:.1f}"
        rows.append(
            [f"shardlake, {name}", f"{ours['total_s']:.1f}", ratio, cores, f"{ours['peak_mb']:,.0f} MB", stages]
        )
    faiss = f"{steps} ({best['threads']} threads)"
    rows.append(["faiss", f"{best['total_s']:.1f}", "1", f"{best['cpu_s']:.1f}", "–", faiss])
    yield from _table(["", "seconds", "ratio", "of cores", "peak memory", "of these, seconds"], rows)


def squash() -> str:
    """Returns SQUASH's protocol on this machine."""
    return _by_size("squash", _squash)


def _squash(result: Result) -> Iterator[str]:
    rows = []
    for name, done in result["results"].items():
        count = len(done["ids"])
        recall = metrics.recall(done["ids"], result["truth"][:count])
        times = [f"{count / done['wall_s']:,.0f}", f"{1e3 * done['wall_s'] / count:.2f}"]
        rows.append([name, f"{count}", *times, f"{recall:.3f}"])
    yield from _table(["", "queries", "queries a second", "ms a query, amortised", "recall@10"], rows)


def bm25() -> str:
    """Returns the comparison of full text."""
    result = machine.load("bm25")
    return NOT_YET if result is None else _said(result, _bm25(result))


def _bm25(result: Result) -> Iterator[str]:
    rows = []
    for name, done in result["results"].items():
        difference = f"{done['largest_difference']:.1e}" if "largest_difference" in done else "–"
        rows.append([name, f"{metrics.p(done['ms'], 50):.3f}", f"{metrics.p(done['ms'], 90):.3f}", difference])
    yield f"{result['texts']:,} texts.\n\n"
    yield from _table(["", "p50, ms", "p90, ms", "largest difference of a score"], rows)


def changes() -> str:
    """Returns data that changes."""
    results = [machine.load("changes-100000"), machine.load("deltas-200000")]
    tell = (_changes, _deltas)
    told = [_said(result, tell(result)) for result, tell in zip(results, tell, strict=True) if result is not None]
    return "\n".join(told) or NOT_YET


def _changes(result: Result) -> Iterator[str]:
    rows = [
        ["put by HTTP → found, p50, p95", f"{result['put_found_s_p50']:.2f} s, {result['put_found_s_p95']:.2f} s"],
        [
            "dropped into the bucket → found, p50, largest",
            f"{result['drop_found_s_p50']:.2f} s, {result['drop_found_s_max']:.2f} s",
        ],
        ["items a second, by jsonl files, while searches run", f"{result['items_per_s']:,.0f}"],
        ["searches a second meanwhile, begun whether those before are answered", f"{result['searches_per_s']:.1f}"],
        [
            "searches: all, failed, partial",
            f"{result['searches']}, {result['searches_failed']}, {result['searches_partial']}",
        ],
        ["a search meanwhile, p50, p95", f"{result['search_s_p50']:.2f} s, {result['search_s_p95']:.2f} s"],
        [
            "recall@10 meanwhile, against exact search of the same snapshot, mean, lowest",
            f"{result['recall_mean']:.3f}, {result['recall_lowest']:.1f}",
        ],
    ]
    yield from _table(["100,000 items come in", "figure"], rows)


def _deltas(result: Result) -> Iterator[str]:
    middles = [f"{result[f'{side}_ms_p50']:.1f}" for side in ("without", "with")]
    row = [*middles, f"{result['ratio']:.2f}", str(result["deltas_asked"])]
    head = [
        "a search of 200,000 rows, p50, ms",
        "with 20 segments of 1,000 rows pending",
        "ratio",
        "deltas after compaction",
    ]
    yield from _table(head, [row])


SECTIONS: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (filtered, leaf, cold, growth, memory, build, squash, bm25, changes)
}


def _by_size(name: str, tell: Callable[[Result], Iterator[str]]) -> str:
    results = [(rows, machine.load(f"{name}-{rows}")) for rows in SIZES]
    told = [f"**{rows:,} rows.** {_said(result, tell(result))}" for rows, result in results if result is not None]
    return "\n".join(told) or NOT_YET


def _said(result: Result, parts: Iterator[str]) -> str:
    about = result["machine"]
    return (
        f"Measured {about['date']} on {about['cores']} cores ({about['processor']}), Python {about['python']}, faiss "
        f"{about['faiss-cpu']}, LanceDB {about.get('lancedb', 'absent')}: `{result['command']}`\n\n" + "".join(parts)
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n{'|---' * len(head)}|\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


if __name__ == "__main__":
    main()
