"""`demo` as people see it: the local cloud, the pictures, four searches, and what to try next."""

from __future__ import annotations

from pathlib import Path

from shardlake.cli.output import Output
from shardlake.cli.session import Session


def demo(session: Session, folder: Path, output: Output) -> None:
    """x."""
