"""How the trace of an item is shown to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import Trace

WHY = {
    "log": "the log of what was taken in; written again without it once no version needs it",
    "current": "the current version; the next build leaves it out if it is deleted by then",
    "alias": "an alias names its version",
    "history": "its version can still be gone back to",
    "build": "a build is at work, or broke off",
    "grace": "nothing: it goes at the next collection of garbage",
}
WHAT = {"item": "the item", "id": "its id only", "unknown": "perhaps the item"}


def show_trace(console: Console, found: Trace) -> None:
    """Prints what was done, what there still is, and what was not looked into."""
    for step in found.steps:
        console.print(f"[dim]{step['at']}[/]  {_done(step)}", highlight=False)
    for one in found.holders:
        until = f", after {one['until']}" if one["until"] else ""
        console.print(
            f"[yellow]{WHAT[one['holds']]}[/] in [bold]{one['object']}[/]\n    kept by {WHY[one['kept_by']]}{until}",
            highlight=False,
            soft_wrap=True,
        )
    said = "[green]no object has the item[/]" if found.is_gone else "[yellow]the item is still in the bucket[/]"
    console.print(f"{said}: {found.looked_through} objects looked through", highlight=False)
    if found.batches:
        console.print(
            f"not looked into: {found.batches} files of requests in the inbox, the oldest of {found.oldest_batch}; "
            "each is removed 15 days after it was taken in",
            highlight=False,
            soft_wrap=True,
        )


def _done(step: dict[str, Any]) -> str:
    if step["what"] == "forgotten":
        return f"version {', '.join(step['versions'])} can be gone back to no more"
    objects = ", ".join(step["objects"])
    if step["what"] == "replaced":
        return f"{objects} written again without it, as {step['into']}"
    return f"{objects} removed"
