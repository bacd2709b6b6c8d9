"""Options that several commands share, so that they are named and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON; an error is the contract's error object, on stderr.")
]
DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="The local cloud's folder; else SHARDLAKE_DATA_DIR, else .shardlake. SHARDLAKE_URL wins over it.",
    ),
]
CollectionName: TypeAlias = Annotated[
    str | None,
    typer.Option("--collection", "-c", help="The collection; may be left out where there is only one."),
]
