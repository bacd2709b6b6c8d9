"""Runs the command line: the one place that reads the process's environment and turns failures into exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

from typer.exceptions import TyperException

from shardlake.cli import problems
from shardlake.cli.app import app
from shardlake.cli.session import Session
from shardlake.errors import ErrorKind, InternalError, ShardlakeError

TRACE_VARIABLE = "SHARDLAKE_TRACE"


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], Session(env=os.environ)))


def run(arguments: Sequence[str], session: Session) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 success, 2 not understood, 1 any other failure.
    """
    as_json = "--json" in arguments
    try:
        code = app(args=list(arguments), prog_name="shardlake", standalone_mode=False, obj=session)
    except ShardlakeError as error:
        problems.tell(error, sys.stderr, as_json=as_json)
        return problems.EXIT_FAILURE
    except TyperException as error:
        if error.format_message():  # without a command there is help on stdout, and nothing to say
            problems.tell_usage(error.format_message(), _usage(error), sys.stderr, as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):
        sys.stderr.write("stopped; what was done stays, and the same command goes on from there\n")
        return problems.EXIT_INTERRUPTED
    except BrokenPipeError:
        _forget(sys.stdout)
        return problems.EXIT_FAILURE
    except Exception as bug:  # noqa: BLE001  # the outermost line: a person gets one sentence, not a trace
        return _tell_bug(bug, session, as_json=as_json)
    return code if isinstance(code, int) else 0


def _usage(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path} --help`" if context is not None else ""


def _tell_bug(bug: Exception, session: Session, *, as_json: bool) -> int:
    if session.env.get(TRACE_VARIABLE):
        traceback.print_exception(bug)
    what = f"{type(bug).__name__}: {bug}; set {TRACE_VARIABLE}=1 to see where"
    problems.tell(InternalError(what, kind=ErrorKind.INTERNAL), sys.stderr, as_json=as_json)
    return problems.EXIT_FAILURE


def _forget(stream: TextIO) -> None:
    # Whoever read our output has gone (`| head`): the interpreter must not complain when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
