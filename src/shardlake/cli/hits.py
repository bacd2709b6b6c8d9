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


def show(console: Console, answer: SearchAnswer, *, title: str | None = None, most: int | None = None) -> None:
    """Prints the hits (the first `most`), the cost, and which shards did not answer."""
    if answer.hits:
        console.print(_table(answer, title, most))
    else:
        unbuilt = "nothing is searchable yet: take something in with `shardlake ingest`, then `shardlake build`"
        console.print(unbuilt if answer.version is None else "no item passes")
    console.print(cost_line(answer), style="dim")
    for failed in answer.shards.failed:
        retry = ", trying again may help" if failed.retryable else ""
        console.print(f"[yellow]partial: shard {failed.shard} did not answer ({failed.kind}{retry})")


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

    names = _attribute_names(answer)
    table = Table(title=title, title_justify="left")
    table.add_column("#", justify="right", style="dim")
    table.add_column("id", no_wrap=True)
    table.add_column("score", justify="right")
    for name in names:
        table.add_column(name)
    for rank, hit in enumerate(answer.hits[:most], 1):
        score = "" if hit.score is None else f"{hit.score:.4f}"
        table.add_row(str(rank), escape(hit.id), score, *(_cell(hit.attributes.get(name)) for name in names))
    return table


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
