"""The list of commands, as the contract has it."""

from __future__ import annotations

from collections.abc import Callable

import typer

from shardlake.cli import aliases, builds, cloud, collections, export, ingest, items, later, queues, search

app = typer.Typer(
    name="shardlake",
    help="Serverless multimodal search on your own S3 bucket. It talks to SHARDLAKE_URL (token: SHARDLAKE_TOKEN) when "
    "that is set, else to the local cloud that `shardlake up` starts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

LOCAL = "The local cloud"
DATA = "Your data"
AWS = "On AWS"


def _add(panel: str, *commands: Callable[..., None]) -> None:
    for command in commands:
        app.command(cloud.NAMES.get(command.__name__), rich_help_panel=panel)(command)


_add(LOCAL, cloud.up, cloud.down, cloud.status, cloud.open_console, cloud.demo, later.token)
app.add_typer(collections.app, name="collections", rich_help_panel=DATA)
app.add_typer(items.items, name="items", rich_help_panel=DATA)
app.add_typer(aliases.app, name="aliases", rich_help_panel=DATA)
_add(
    DATA,
    ingest.ingest,
    queues.redrive,
    search.search,
    builds.build,
    builds.versions,
    builds.rollback,
    export.export_faiss,
    search.bench,
)
_add(AWS, later.cost, later.deploy, later.destroy)
