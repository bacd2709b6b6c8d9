"""`up`, `down`, `status`, `open`, `demo`: the local cloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.options import AsJson, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import URL_VARIABLE, session_of
from shardlake.errors import NotImplementedYet

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.local import CloudStatus

NAMES = {"open_console": "open"}  # `open` is Python's own


USUAL_PORT = 4566  # of local clouds: what `up` takes where it is free


def up(
    context: typer.Context,
    *,
    data_dir: DataDir = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="0: any free one. Default: the last one, else 4566; any free one where that is taken.",
        ),
    ] = None,
    models_dir: Annotated[
        Path | None, typer.Option(help="A folder of models beside the embedded one, one sub-folder each.")
    ] = None,
    require_token: Annotated[
        bool, typer.Option("--require-token", help="Refuse requests without a token (not in this release).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local cloud in the background; return when its API answers."""
    session, output = session_of(context), Output(as_json=as_json)
    if require_token:
        raise NotImplementedYet("`--require-token` is not served by this release", option="--require-token")
    with output.bars() as bars:
        bar = bars.add("local cloud", None)
        found = session.cloud.up(session.data_dir(data_dir), port, progress=bar.say, models_dir=models_dir)
        bar.done("up")
    if port is None and not found.url.endswith(f":{USUAL_PORT}"):
        output.note(f"not on the usual port {USUAL_PORT}: where the documents name that one, use the url below")
    output.emit(_addresses(found), lambda console: _show(console, found))


def down(context: typer.Context, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the local cloud; what it holds stays in its folder."""
    session, output = session_of(context), Output(as_json=as_json)
    folder = session.data_dir(data_dir)
    with output.bars() as bars:
        bar = bars.add("local cloud", None)
        stopped = session.cloud.down(folder, progress=bar.say)
        bar.done("down")
    said = f"stopped; {folder} keeps everything" if stopped else f"no local cloud was running in {folder}"
    output.emit({"stopped": stopped}, lambda console: console.print(said))


def status(context: typer.Context, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print where the local cloud is; fail when it does not run."""
    found = session_of(context).running(data_dir)
    Output(as_json=as_json).emit(_addresses(found), lambda console: _show(console, found))


def open_console(context: typer.Context, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Open the console in a browser, and print its address."""
    session, output = session_of(context), Output(as_json=as_json)
    named = session.env.get(URL_VARIABLE)
    address = named.rstrip("/") + "/" if named else session.running(data_dir).console
    if output.out.isatty() and not as_json:
        typer.launch(address)
    output.emit({"console": address}, lambda console: console.print(address))


def demo(context: typer.Context, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Draw pictures, take them in, build an index and search it: by words, by a picture, by both with a filter."""
    from shardlake.cli import showing

    showing.demo(session_of(context), session_of(context).data_dir(data_dir), Output(as_json=as_json))


def _addresses(found: CloudStatus) -> dict[str, str]:
    return {"url": found.url, "console": found.console, "endpoint": found.endpoint}


def _show(console: Console, found: CloudStatus) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    rows = _addresses(found) | {"data folder": str(found.data_dir), "encoders": found.encoders}
    for name, value in rows.items():
        table.add_row(f"[dim]{name}", value)
    console.print(table)
