"""`redrive`: events that ingest gave up are taken in again."""

from __future__ import annotations

import typer

from shardlake.cli.options import AsJson, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import session_of


def redrive(context: typer.Context, *, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Take in again what ingest gave up after twelve tries, once its cause is mended."""
    output = Output(as_json=as_json)
    letters = session_of(context).dead_letters(data_dir)
    moved = 0
    with output.bars() as bars:
        bar = bars.add("redriving", max(1, letters.count()))
        while batch := letters.redrive():
            moved += batch
            bar.advance(batch)
    hidden = letters.count()
    events = "event is on its" if moved == 1 else "events are on their"
    said = f"[bold]{moved:,}[/] {events} way again" if moved else "nothing had been given up"
    if hidden:
        said += f"\n[yellow]{hidden:,} could not be sent, or are being sent by another: try again in a minute[/]"
    output.emit({"redriven": moved, "left": hidden}, lambda console: console.print(said))
