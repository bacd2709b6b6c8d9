"""Options that several commands share, so that they are named and explained alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from shardlake.errors import ErrorKind, InvalidInput

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


def json_object(text: str | None, option: str, kind: ErrorKind) -> dict[str, Any] | None:
    """Returns the object that an option has as JSON. Raises InvalidInput of that kind."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise InvalidInput(f"{option} is no JSON: {exc}", kind=kind) from exc
    if not isinstance(value, dict):
        raise InvalidInput(f"{option} is a JSON object", kind=kind)
    return value
