"""How the trace of an item is shown to people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import Trace

WHY = {
    "current": "the current version: the next build leaves it out if it is deleted, or has expired, by then",
    "alias": "a version that an alias names",
    "history": "a version that can still be gone back to",
    "log": "the log: written again without it once it is deleted, or has expired, and no version needs it",
    "build": "a build that is at work, or broke off",
    "grace": "nothing: it goes at a collection of garbage",
}
SHOWN = 3  # of the places that one line is about; --json has all
_OBJECT = re.compile(r"(?P<uid>data/[^/]+/)(?P<place>(segments/[^/.]+|versions/[^/]+|builds/[^/]+))")


def show_trace(console: Console, found: Trace) -> None:
    """Prints what was done, what there still is, and what was not looked into."""
    from rich.table import Table

    if found.past["since"]:
        console.print(f"[dim]what was done before {found.past['since']} is left out[/]", highlight=False)
    for step in found.past["steps"]:
        console.print(f"[dim]{step['at']}[/]  {_done(step)}", highlight=False, soft_wrap=True)
    if found.holders:
        table = Table("kept by", "has", "where", "until")
        for why, holders in _by_reason(found.holders):
            table.add_row(WHY[why], _has(holders), _listed([one["object"] for one in holders]), _until(holders))
        console.print(table)
    said = "[green]no object has the item[/]" if found.is_gone else "[yellow]the item is still in the bucket[/]"
    console.print(f"{said}: {found.looked_through:,} objects looked through", highlight=False)
    for line in _beside(found.beside):
        console.print(f"not looked into: {line}", highlight=False, soft_wrap=True)


def _beside(beside: dict[str, Any]) -> Iterator[str]:
    if beside["batches"]:
        until = "each is removed 15 days after it was taken in"
        yield f"{beside['batches']:,} files of requests in the inbox, the oldest of {beside['oldest']}; {until}"
    if beside["dropped"]:
        yield f"{beside['dropped']:,} collections that had this name and were dropped; they are removed whole"


def _by_reason(holders: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    found = [(why, [one for one in holders if one["kept_by"] == why]) for why in WHY]
    return [(why, some) for why, some in found if some]


def _has(holders: list[dict[str, Any]]) -> str:
    held = {one["holds"] for one in holders}
    return "[yellow]the item[/]" if "item" in held else "perhaps the item" if "unknown" in held else "its id only"


def _until(holders: list[dict[str, Any]]) -> str:
    times = [one["until"] for one in holders if one["until"]]
    return max(times)[:10] if times else ""


def _listed(objects: list[str]) -> str:
    """Returns the segments, versions and builds that objects are of, the first few by name."""
    places = list(dict.fromkeys(found["place"] if (found := _OBJECT.match(key)) else key for key in objects))
    rest = f"\nand {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
    return "\n".join(places[:SHOWN]) + rest


def _done(step: dict[str, Any]) -> str:
    if step["what"] == "forgotten":
        return f"version {', '.join(step['versions'])} can be gone back to no more"
    places = _listed(step["objects"]).replace("\n", ", ")
    if step["what"] == "replaced":
        return f"{places} written again without it, as {_listed([step['into']])}"
    return f"{places} removed"
