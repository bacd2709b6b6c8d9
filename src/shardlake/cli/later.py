"""Commands that the contract names and this release does not serve: each says so, and fails."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir
from shardlake.errors import NotImplementedYet

items = typer.Typer(help="Single items: get, delete, scan (not in this release).", no_args_is_help=True)


@items.command("get")
def items_get(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The item's id.")],
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print one item as stored (not in this release)."""
    _refuse("items get")


@items.command("delete")
def items_delete(
    identities: Annotated[list[str], typer.Argument(metavar="ID…", help="The items' ids.")],
    collection: CollectionName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete items (not in this release)."""
    _refuse("items delete")


@items.command("scan")
def items_scan(collection: CollectionName = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print all items in the order of their ids (not in this release)."""
    _refuse("items scan")


def cost(as_json: AsJson = False) -> None:
    """Say what a workload would cost on AWS, before deploying (not in this release)."""
    _refuse("cost")


def deploy(as_json: AsJson = False) -> None:
    """Deploy to AWS (not in this release)."""
    _refuse("deploy")


def destroy(as_json: AsJson = False) -> None:
    """Take a deployment on AWS away (not in this release)."""
    _refuse("destroy")


def token(
    claims: Annotated[str, typer.Option("--claims", metavar="JSON", help="The token's claims.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print a token that the local cloud's issuer signs (not in this release)."""
    _refuse("token")


def _refuse(command: str) -> NoReturn:
    raise NotImplementedYet(f"`shardlake {command}` is not served by this release", command=command)
