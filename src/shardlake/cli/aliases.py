"""`aliases list | set | drop`: names of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import chosen_collection, session_of

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import Alias

app = typer.Typer(help="Names of versions: list, set, drop. `-c films@live` searches one.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ALIAS", help="It begins with a letter.")]


@app.command("list")
def list_all(
    context: typer.Context, *, collection: CollectionName = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the aliases of a collection."""
    with session_of(context).client(data_dir) as client:
        found = client.collection(chosen_collection(client, collection)).aliases()
    Output(as_json=as_json).emit({"aliases": [one.raw for one in found]}, lambda console: _show(console, found))


@app.command("set")
def set_one(
    context: typer.Context,
    alias: Name,
    version: Annotated[str | None, typer.Argument(help="As `shardlake versions` lists it; else the current.")] = None,
    *,
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give an alias to a version; searches follow from their next request on, and the version is kept."""
    with session_of(context).client(data_dir) as client:
        name = chosen_collection(client, collection)
        found = client.collection(name).set_alias(alias, version)
    said = f"{name}@{found.alias} is version [bold]{found.version}[/]"
    Output(as_json=as_json).emit(found.raw, lambda console: console.print(said))


@app.command("drop")
def drop_one(
    context: typer.Context,
    alias: Name,
    *,
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove an alias; its version stays as long as others of its age."""
    with session_of(context).client(data_dir) as client:
        name = chosen_collection(client, collection)
        client.collection(name).drop_alias(alias)
    Output(as_json=as_json).emit({"dropped": alias}, lambda console: console.print(f"{name}@{alias} is no more"))


def _show(console: Console, found: list[Alias]) -> None:
    from rich.table import Table

    if not found:
        console.print("no aliases yet; name a version with `shardlake aliases set`")
        return
    table = Table("alias", "version", "since")
    for one in found:
        table.add_row(f"[bold]{one.alias}", one.version, one.changed_at)
    console.print(table)
