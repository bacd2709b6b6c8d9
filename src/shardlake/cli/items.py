"""`items`: single items as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from shardlake.cli.later import refuse
from shardlake.cli.options import AsJson, CollectionName, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import chosen_collection, session_of
from shardlake.limits import MAX_SCAN_ITEMS

if TYPE_CHECKING:
    from shardlake.client import Collection

items = typer.Typer(help="Single items: get and scan; delete is not in this release.", no_args_is_help=True)


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


@items.command("delete")
def items_delete(
    identities: Annotated[list[str], typer.Argument(metavar="ID…", help="The items' ids.")],
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete items (not in this release)."""
    refuse("items delete")


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
