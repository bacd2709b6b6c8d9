"""`collections create | list | show | drop`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.options import AsJson, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import session_of
from shardlake.errors import ErrorKind, InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import CollectionInfo

app = typer.Typer(help="Collections: create, list, show, drop.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The collection's name.")]


@app.command()
def create(
    context: typer.Context,
    name: Name,
    *,
    file: Annotated[Path | None, typer.Option("--file", help="A JSON file with the schema.")] = None,
    schema: Annotated[str | None, typer.Option("--schema", metavar="JSON", help="The schema itself.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create a collection; the same schema again changes nothing."""
    body = read_schema(file, schema)
    with session_of(context).client(data_dir) as client:
        info = client.collections.create(name, body)
    said = "created" if info.created else "stood already"
    Output(as_json=as_json).emit(info.raw, lambda console: console.print(f"collection [bold]{name}[/] {said}"))


@app.command("list")
def list_all(context: typer.Context, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the collections."""
    with session_of(context).client(data_dir) as client:
        found = client.collections.list()
    Output(as_json=as_json).emit(
        {"collections": [one.raw for one in found]}, lambda console: _show_list(console, found)
    )


@app.command()
def show(context: typer.Context, name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print a collection's schema and state."""
    with session_of(context).client(data_dir) as client:
        info = client.collections.get(name)
    Output(as_json=as_json).emit(info.raw, lambda console: _show_one(console, info))


@app.command()
def drop(
    context: typer.Context,
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Drop a collection and everything in it."""
    output = Output(as_json=as_json)
    if not yes and output.out.isatty() and not as_json:
        typer.confirm(f"drop {name} and everything in it?", abort=True)
    with session_of(context).client(data_dir) as client:
        client.collections.drop(name)
    output.emit(
        {"name": name, "state": "dropped"}, lambda console: console.print(f"collection [bold]{name}[/] dropped")
    )


def read_schema(file: Path | None, text: str | None) -> dict[str, Any]:
    """Returns the schema given as a file or as JSON.

    Raises:
        InvalidInput: neither or both are given, the file cannot be read, or it is no JSON object.
    """
    if (file is None) == (text is None):
        raise InvalidInput("give the schema with --file or with --schema")
    try:
        value = json.loads(file.read_text() if file is not None else text or "")
    except OSError as exc:
        raise InvalidInput(f"cannot read {file}: {exc.strerror}", kind=ErrorKind.INVALID_FILE) from exc
    except ValueError as exc:
        raise InvalidInput(f"the schema is no JSON: {exc}", kind=ErrorKind.INVALID_JSON) from exc
    if not isinstance(value, dict):
        raise InvalidInput("the schema is a JSON object", kind=ErrorKind.INVALID_COLLECTION)
    return value


def _show_list(console: Console, found: list[CollectionInfo]) -> None:
    from rich.table import Table

    if not found:
        console.print("no collections yet; make one with `shardlake collections create`")
        return
    table = Table("collection", "rows", "version")
    for one in found:
        table.add_row(one.name, f"{one.rows:,}", one.version or "not built yet")
    console.print(table)


def _show_one(console: Console, info: CollectionInfo) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    facts = {
        "collection": info.name,
        "version": info.version or "not built yet",
        "rows": f"{info.rows:,}",
        "shards": str(info.shards),
        "bytes": f"{info.bytes:,}",
        "not built in yet": f"{info.pending_items:,} items",
        "rejected": f"{info.rejected:,}",
    }
    for name, value in facts.items():
        table.add_row(f"[dim]{name}", value)
    console.print(table)
    console.print_json(data=dict(info.schema))
