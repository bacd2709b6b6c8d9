"""How a failure is told: `error: kind: message`, what to do about it, and the exit code."""

from __future__ import annotations

import json
from typing import TextIO

from shardlake.errors import ErrorKind, ShardlakeError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
MOST_DETAILS = 10

_ADVICE: dict[ErrorKind, str] = {
    ErrorKind.LOCAL_CLOUD: "`shardlake up` tries again; server.log in the data folder, where there is one, says more",
    ErrorKind.COLLECTION_NOT_FOUND: "see `shardlake collections list`; make one with `shardlake collections create`",
    ErrorKind.NOTHING_TO_BUILD: "take something in first: `shardlake ingest PATH`",
    ErrorKind.VERSION_NOT_FOUND: "see `shardlake versions`; `shardlake build` makes one",
    ErrorKind.NAME_TAKEN: "choose another name, or `shardlake collections drop` the one that stands",
    ErrorKind.UNAUTHENTICATED: "set SHARDLAKE_TOKEN",
    ErrorKind.THROTTLED: "try again in a moment",
    ErrorKind.DEADLINE_EXCEEDED: "give it more time (--timeout-ms, --wait), or look again later",
    ErrorKind.INVALID_FILTER: 'filters are JSON such as \'{"price": {"$lte": 100}}\'',
    ErrorKind.NOT_IMPLEMENTED: "the README lists what this release does not serve",
    ErrorKind.ENCODER_UNAVAILABLE: "the encoder is still starting, or failed: try again, then look into its log",
}


def name_of(error: ShardlakeError) -> str:
    """Returns the kind, also one that a newer server knows and this release does not."""
    return str(error.context.get("server_kind", error.kind))


def tell(error: ShardlakeError, stream: TextIO, *, as_json: bool) -> None:
    """Writes an error for people, or as the contract's error object."""
    if as_json:
        details = {name: value for name, value in error.context.items() if name != "server_kind"}
        body = {"error": {"kind": name_of(error), "message": error.message, "details": details}}
        stream.write(json.dumps(body, default=str) + "\n")
        return
    stream.write(f"error: {name_of(error)}: {error.message}\n")
    for line in _details(error.context):
        stream.write(f"  {line}\n")
    if error.kind in _ADVICE:
        stream.write(f"  → {_ADVICE[error.kind]}\n")


def tell_usage(message: str, usage: str, stream: TextIO, *, as_json: bool) -> None:
    """Writes that the command was not understood."""
    if as_json:
        body = {"error": {"kind": str(ErrorKind.INVALID_REQUEST), "message": message, "details": {"usage": usage}}}
        stream.write(json.dumps(body) + "\n")
        return
    stream.write(f"error: {ErrorKind.INVALID_REQUEST}: {message}\n")
    if usage:
        stream.write(f"  {usage}\n")


def _details(context: dict[str, object]) -> list[str]:
    lines: list[str] = []
    for name, value in context.items():
        if name == "server_kind":
            continue
        several = value if isinstance(value, list) else [value]
        lines += [f"{name}: {_short(one)}" for one in several[:MOST_DETAILS]]
        if len(several) > MOST_DETAILS:
            lines.append(f"{name}: … and {len(several) - MOST_DETAILS} more")
    return lines


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
