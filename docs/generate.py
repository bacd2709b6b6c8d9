"""Writes the generated pages again: `python -m docs.generate`; with --check it only says which of them are stale.

Figures in the README come from benchmarks/results and the model's own record, so none is typed by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks import machine, metrics

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures: written by docs/generate.py -->\n", "<!-- /figures -->"


def readme() -> str:
    """Returns the README with its table of figures."""
    text = (ROOT / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{figures()}{END}{after}"


def figures() -> str:
    """Returns the table of measured figures."""
    names = ("leaf-200000", "local-cloud-200000", "demo", "changes-100000")
    leaf, cloud, demo, changes = map(_result, names)
    measured = cloud["machine"]
    rows = [
        *_hybrid(),
        ("recall@10 at the default, 200,000 × 256, 4 shards, over HTTP", f"{cloud['recall_default']:.3f}", cloud),
        ("the same at `recall: 1`", f"{cloud['recall_exact']:.3f}", cloud),
        (
            "one shard of 200,000 rows in process, against bare faiss with the same codes",
            f"{leaf['ours_ms_p50']:.3f} ms : {leaf['bare_ms_p50']:.3f} ms = {leaf['ratio']:.2f}",
            leaf,
        ),
        (
            "a warm search over HTTP, against a route that calls four null functions",
            f"{cloud['search_ms_p50']:.1f} ms : {cloud['null_ms_p50']:.1f} ms = {cloud['ratio_p50']:.2f}",
            cloud,
        ),
        (
            "the same with a filter that all rows pass, which asks all four shards",
            f"{cloud['all_shards_ms_p50']:.1f} ms = {cloud['all_shards_ratio_p50']:.2f} ×",
            cloud,
        ),
        (
            "an item put by HTTP → found by a search, p50, p95",
            f"{changes['put_found_s_p50']:.2f} s, {changes['put_found_s_p95']:.2f} s",
            changes,
        ),
        ("taken in by parquet files, items with vectors", f"{cloud['ingest_items_per_s']:,.0f} a second", cloud),
        ("built, 200,000 × 256", f"{cloud['build_s']:.0f} s", cloud),
        (
            "`make demo`, first and second time, after the download",
            f"{demo['first_s']:.0f} s, {demo['second_s']:.0f} s",
            demo,
        ),
    ]
    head = (
        f"Measured {measured['date']} on {measured['cores']} cores ({measured['processor']}), the local cloud on the "
        "same machine; medians. Raw results are in `benchmarks/results`.\n\n"
        "| what | figure | command |\n|---|---|---|\n"
    )
    return head + "".join(f"| {what} | {figure} | `{result['command']}` |\n" for what, figure, result in rows)


def pages() -> dict[Path, Callable[[], str]]:
    """Returns what writes each generated page."""
    from benchmarks import report
    from docs import make_limits, make_scale
    from shardlake.cli import reference
    from shardlake.contracts import openapi

    return {
        ROOT / "README.md": readme,
        ROOT / "docs/limits.md": make_limits.page,
        ROOT / "docs/scale.md": make_scale.page,
        ROOT / "docs/benchmarks.md": report.page,
        ROOT / "docs/cli.md": reference.reference,
        ROOT / "docs/openapi.json": openapi.text,
    }


def main() -> int:
    """Writes, or checks."""
    stale = [path for path, make in pages().items() if not path.exists() or path.read_text() != make()]
    if "--check" not in sys.argv:
        for path, make in pages().items():
            path.write_text(make())
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {path.relative_to(ROOT)}")
    return int(bool(stale) and "--check" in sys.argv)


def _hybrid() -> list[tuple[str, str, dict[str, Any]]]:
    """Returns the rows about filters, cold searches and a million rows."""
    filtered = machine.load("filtered-200000")
    assert filtered is not None
    cells = {
        name: {
            system: metrics.recall(raw["ids"], cell["truth"][: len(raw["ids"])])
            for system, raw in cell["systems"].items()
            if system in {"shardlake", "LanceDB"}
        }
        for name, cell in filtered["cells"].items()
    }
    ours, theirs = (min(cell[system] for cell in cells.values()) for system in ("shardlake", "LanceDB"))
    leaf, memory, cold = (_result(f"{name}-1000000") for name in ("leaf", "memory", "cold"))
    queries = cold["results"]["by a counting store"]["all"]
    rounds, read = (median(query[name] for query in queries) for name in ("rounds", "bytes"))
    return [
        (
            "lowest recall@10 of 16 cells: no filter, and filters that pass 50 to 0.01 %, independent of the vectors, "
            "correlated and anti-correlated; 200,000 × 256 (LanceDB's defaults)",
            f"{ours:.3f} ({theirs:.3f})",
            filtered,
        ),
        (
            "one shard of 1,000,000 rows in process, against bare faiss with the same codes",
            f"{leaf['ours_ms_p50']:.3f} ms : {leaf['bare_ms_p50']:.3f} ms = {leaf['ratio']:.2f}",
            leaf,
        ),
        ("a cold search of 1,000,000 rows, router included", f"{read / 1e6:.2f} MB in {rounds:.0f} rounds", cold),
        ("memory of a container that holds all of it", f"{memory['over_imports_mb']:.0f} MB over its imports", memory),
    ]


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads((RESULTS / f"{name}.json").read_bytes())
    return result


if __name__ == "__main__":
    sys.exit(main())
