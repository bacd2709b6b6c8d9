"""Commands that the contract names and this release does not serve: each says so, and fails."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from shardlake.cli.options import AsJson, DataDir
from shardlake.errors import NotImplementedYet


def cost(as_json: AsJson = False) -> None:
    """Say what a workload would cost on AWS, before deploying (not in this release)."""
    refuse("cost")


def deploy(as_json: AsJson = False) -> None:
    """Deploy to AWS (not in this release)."""
    refuse("deploy")


def destroy(as_json: AsJson = False) -> None:
    """Take a deployment on AWS away (not in this release)."""
    refuse("destroy")


def token(
    claims: Annotated[str, typer.Option("--claims", metavar="JSON", help="The token's claims.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print a token that the local cloud's issuer signs (not in this release)."""
    refuse("token")


def refuse(command: str) -> NoReturn:
    """Says that a command of the contract is not served."""
    raise NotImplementedYet(f"`shardlake {command}` is not served by this release", command=command)
