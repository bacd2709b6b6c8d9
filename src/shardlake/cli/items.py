"""`items`: single items as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir, json_object
from shardlake.cli.output import Output
from shardlake.cli.session import chosen_collection, session_of
from shardlake.cli.tracing import show_trace
from shardlake.errors import ErrorKind
from shardlake.limits import MAX_SCAN_ITEMS

if TYPE_CHECKING:
    from shardlake.client import Accepted, Collection

items = typer.Typer(help="Single items: get, scan, delete.", no_args_is_help=True)


@items.command("get")
def items_get(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="The item's id.")],
    *,
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print one item as stored; for people its vectors are told by their lengths."""
    with session_of(context).client(data_dir) as client:
        found = client.collection(chosen_collection(client, collection)).get_item(identity)
    Output(as_json=as_json).emit(found, lambda console: console.print_json(data=_shortened(found)))


@items.command("scan")
def items_scan(
    context: typer.Context,
    *,
    collection: CollectionName = None,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="Begin behind this id.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many items; all of them by default.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print items in the order of ids, without their vectors: one JSON object a line, with --json one document."""
    output, found = Output(as_json=as_json), []
    with session_of(context).client(data_dir) as client:
        for item in _scanned(client.collection(chosen_collection(client, collection)), after, limit):
            if as_json:
                found.append(item)
            else:
                output.out.write(orjson.dumps(item).decode() + "\n")
    if as_json:
        output.emit({"items": found}, lambda console: None)


@items.command("trace")
def items_trace(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="The item's id, deleted or not.")],
    *,
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tell which objects of the bucket still have something of an item, why, and what was done to remove it."""
    with session_of(context).client(data_dir) as client:
        found = client.collection(chosen_collection(client, collection)).trace_item(identity)
    Output(as_json=as_json).emit(found.raw, lambda console: show_trace(console, found))


@items.command("delete")
def items_delete(
    context: typer.Context,
    identities: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="The items' ids.")] = None,
    *,
    collection: CollectionName = None,
    filter: Annotated[
        str | None, typer.Option("--filter", "-f", metavar="JSON", help="Instead of ids: all items that pass it.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until no search finds them.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete items by their ids, or all that pass a filter."""
    node = None if filter is None else json_object(filter, "--filter", ErrorKind.INVALID_FILTER)
    with session_of(context).client(data_dir) as client:
        handle = client.collection(chosen_collection(client, collection))
        answer = handle.delete_items(identities or None, filter=node, wait=wait)
    Output(as_json=as_json).emit(answer.raw, lambda console: console.print(_deleted(answer)))


def _scanned(collection: Collection, after: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
    left = limit
    while left is None or left > 0:
        page = collection.scan_items(after=after, limit=min(left or MAX_SCAN_ITEMS, MAX_SCAN_ITEMS))
        yield from page.items
        after, left = page.after, None if left is None else left - len(page.items)
        if after is None:
            return


def _shortened(item: Mapping[str, Any]) -> dict[str, Any]:
    vectors = {name: f"{len(vector):,} numbers" for name, vector in item.get("vectors", {}).items()}
    return {**item, "vectors": vectors}


def _deleted(answer: Accepted) -> str:
    when = "no search finds them any more" if answer.searchable == "now" else "within seconds no search finds them"
    return f"{answer.accepted:,} deleted: {when}" if answer.accepted else "nothing to delete"
