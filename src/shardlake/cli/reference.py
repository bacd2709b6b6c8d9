"""Writes docs/cli.md from the commands themselves: `python -m shardlake.cli.reference > docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer

from shardlake.cli.app import app

HEAD = """# The command line

Written by `python -m shardlake.cli.reference > docs/cli.md`; a test holds it to the commands.

`shardlake` talks to `SHARDLAKE_URL` (token: `SHARDLAKE_TOKEN`) when that is set, else to the local cloud in
`--data-dir` (else `SHARDLAKE_DATA_DIR`, else `.shardlake`).

Results go to stdout: a table for people, JSON with `--json`. Everything else goes to stderr: progress (on a terminal
only), notes, and errors as `error: KIND: message` with what to do about it; with `--json` an error is the contract's
object, `{"error": {"kind", "message", "details"}}`. The exit code is 0 on success, 2 when the command was not
understood, 1 on any other failure. `SHARDLAKE_TRACE=1` adds the trace of a failure that is a bug of ours.
"""


def reference() -> str:
    """Returns docs/cli.md."""
    root = typer.main.get_command(app)
    return HEAD + "".join(_section(path, command) for path, command in commands(root, "shardlake"))


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # typer names no public class
    """Yields every command with its whole name, in the order of the help."""
    for name, command in group.commands.items():
        whole = f"{path} {name}"
        if hasattr(command, "commands"):
            yield from commands(command, whole)
        else:
            yield whole, command


def _section(path: str, command: Any) -> str:  # noqa: ANN401
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([path, *(_metavar(one) for one in arguments), "[OPTIONS]"])
    lines = ["", f"## {path}", "", command.help, "", f"    {usage}", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| `{_metavar(one)}` | {_cell(one.help)} |" for one in arguments]
    lines += [f"| {_names(one)} | {_cell(one.help)} |" for one in options]
    return "\n".join(lines) + "\n"


def _metavar(parameter: Any) -> str:  # noqa: ANN401
    return str(parameter.metavar or parameter.name.upper())


def _names(option: Any) -> str:  # noqa: ANN401
    names = " ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {option.metavar or ''}".strip()


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
