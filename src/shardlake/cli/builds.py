"""`build`, `versions` and `rollback`: making what was taken in searchable, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import chosen_collection, session_of
from shardlake.errors import InternalError

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import Build, Client, Version


def build(
    context: typer.Context,
    *,
    collection: CollectionName = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the build to its end.")] = True,
    distributed: Annotated[
        bool | None,
        typer.Option("--distributed/--in-one-run", help="On many machines or in one run; else the size decides."),
    ] = None,
    retry: Annotated[str | None, typer.Option(help="A build that has failed: it goes on where it stopped.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Build an index of everything taken in so far, and make it current."""
    output = Output(as_json=as_json)
    with session_of(context).client(data_dir) as client:
        name = chosen_collection(client, collection)
        started = client.collection(name).start_build(distributed=distributed, retry=retry)
        done = follow(client, name, started, output) if wait else started
    said = f"version [bold]{done.version}[/] is current" if wait else f"build {done.build_id} is {done.state}"
    output.emit(done.raw, lambda console: console.print(said))


def versions(
    context: typer.Context, *, collection: CollectionName = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the versions of a collection, newest first."""
    with session_of(context).client(data_dir) as client:
        found = client.collection(chosen_collection(client, collection)).versions()
    value = {"versions": [dict(one.raw) | {"is_current": one.current} for one in found]}
    Output(as_json=as_json).emit(value, lambda console: _show(console, found))


def rollback(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="The version to go back to, as `shardlake versions` lists it.")],
    *,
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version current again; those after it stay."""
    with session_of(context).client(data_dir) as client:
        found = client.collection(chosen_collection(client, collection)).rollback(version)
    said = f"version [bold]{found.version}[/] is current: {found.rows:,} items"
    Output(as_json=as_json).emit(found.raw, lambda console: console.print(said))


def build_and_follow(client: Client, name: str, output: Output) -> Build:
    """Starts a build and follows it, with a bar.

    Raises:
        ShardlakeError: the one that the build failed with.
    """
    return follow(client, name, client.collection(name).start_build(), output)


def follow(client: Client, name: str, started: Build, output: Output) -> Build:
    """Follows a build to its end, with a bar.

    Raises:
        ShardlakeError: the one that the build failed with.
    """
    from shardlake.client.failures import error_in

    collection = client.collection(name)
    with output.bars() as bars:
        bar = bars.add("build", 1.0)
        done = collection.wait_for_build(
            started.build_id, on_progress=lambda build: bar.at(build.progress, build.stage or build.state)
        )
    if done.state == "failed":
        if not done.error:
            raise InternalError("the build failed and did not say why", build_id=done.build_id)
        # Bare or wrapped: {"kind", …} or {"error": {"kind", …}}.
        raise error_in(done.error if "error" in done.error else {"error": done.error})
    return done


def _show(console: Console, found: list[Version]) -> None:
    from rich.table import Table

    table = Table("version", "rows", "shards", "bytes", "committed")
    for one in found:
        name = f"[bold]{one.version}[/] ← current" if one.current else one.version
        name += "".join(f" @{alias}" for alias in one.aliases)
        table.add_row(name, f"{one.rows:,}", str(one.shards), f"{one.bytes:,}", one.committed_at)
    console.print(table)
