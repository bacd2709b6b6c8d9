"""Search answers for people: a table of hits, and one line of what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from shardlake.client import SearchAnswer
    from shardlake.types import Json

MOST_ATTRIBUTES = 6
MOST_CHARS = 60
BAR_CHARS = 30


def show(console: Console, answer: SearchAnswer, *, title: str | None = None, most: int | None = None) -> None:
    """Prints the hits (the first `most`), the cost, and which shards did not answer."""
    if answer.hits:
        console.print(_table(answer, title, most))
    else:
        empty = "there is nothing to search yet: take something in with `shardlake ingest`"
        console.print(empty if answer.version is None else "no item passes")
    console.print(cost_line(answer), style="dim")
    for failed in answer.shards.failed:
        retry = ", trying again may help" if failed.retryable else ""
        console.print(f"[yellow]partial: shard {failed.shard} did not answer ({failed.kind}{retry})")


def show_facets(console: Console, answer: SearchAnswer) -> None:
    """Prints the counts of each facet, with a bar, and its stats."""
    from rich.markup import escape
    from rich.table import Table

    for name, counts in answer.facets.items():
        rows = _facet_rows(counts)
        table = Table(title=escape(name), title_justify="left", box=None, show_header=False)
        most = max((count for _, count in rows), default=0)
        for value, count in rows:
            table.add_row(escape(value), f"{count:,}", "▇" * round(BAR_CHARS * count / most) if most else "")
        console.print(table if rows else f"{escape(name)}: no values")
        stats = answer.facet_stats.get(name)
        if isinstance(stats, dict):
            console.print(", ".join(f"{word} {_cell(value)}" for word, value in stats.items()), style="dim")


def _facet_rows(counts: Json) -> list[tuple[str, int]]:
    if isinstance(counts, dict):
        return [(value, count) for value, count in counts.items() if isinstance(count, int)]
    bins = [entry for entry in counts if isinstance(entry, dict)] if isinstance(counts, list) else []
    return [(f"{_edge(entry['from'])} to {_edge(entry['to'])}", int(str(entry["count"]))) for entry in bins]


def _edge(value: Json) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def cost_line(answer: SearchAnswer) -> str:
    """Returns what a search cost, in one line."""
    took = dict(answer.stats.took_ms)
    total = took.pop("total", None)
    phases = ", ".join(f"{name} {ms:.0f}" for name, ms in took.items())
    time = f" in {total:.0f} ms" + (f" ({phases})" if phases else "") if total is not None else ""
    shards = f"{answer.shards.searched} of {answer.shards.requested} shards"
    scanned = f"{answer.stats.codes_scanned:,} codes scanned, {answer.stats.rows_refined:,} rows refined"
    return f"{len(answer)} hits{time} · {shards} · {scanned} · version {answer.version or 'none'}"


def _table(answer: SearchAnswer, title: str | None, most: int | None) -> Table:
    from rich.markup import escape
    from rich.table import Table

    names, sources = _attribute_names(answer), _sources(answer)
    is_grouped = any("group" in hit for hit in _raw_hits(answer))
    table = Table(title=title, title_justify="left")
    table.add_column("#", justify="right", style="dim")
    table.add_column("id", no_wrap=True)
    table.add_column("score", justify="right")
    for name in sources:
        table.add_column(name, justify="right", style="dim")
    for name in [*(["group"] if is_grouped else []), *names]:
        table.add_column(name)
    for rank, hit in enumerate(answer.hits[:most], 1):
        scores = [_number(hit.score), *(_number(hit.scores.get(name)) for name in sources)]
        group = [_cell(hit.group)] if is_grouped else []
        table.add_row(str(rank), escape(hit.id), *scores, *group, *(_cell(hit.attributes.get(n)) for n in names))
    return table


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _sources(answer: SearchAnswer) -> list[str]:
    # What one source says is the score itself, unless something has taken its place.
    names = list(dict.fromkeys(name for hit in answer for name in hit.scores))
    is_plain = all(hit.score in hit.scores.values() for hit in answer)
    return [] if len(names) == 1 and is_plain else names


def _raw_hits(answer: SearchAnswer) -> list[dict[str, Json]]:
    hits = answer.raw.get("hits")
    return [hit for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []


def _attribute_names(answer: SearchAnswer) -> list[str]:
    names: dict[str, None] = {}
    for hit in answer:
        names |= dict.fromkeys(hit.attributes)
    return list(names)[:MOST_ATTRIBUTES]


def _cell(value: Json) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape(text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…")
