"""Where results and messages go: results to stdout (for people, or as JSON), everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from shardlake.cli.bars import Bars, bars

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160  # nothing is cut for a reader that is no terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The two streams of a command, and whether people or programs read them."""

    as_json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def emit(self, value: Any, show: Callable[[Console], None]) -> None:  # noqa: ANN401  # any JSON
        """Prints a result: `value` as JSON for programs, what `show` draws for people."""
        if self.as_json:
            import orjson

            self.out.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
        else:
            show(console(self.out))

    def note(self, message: str) -> None:
        """Tells people something beside the result."""
        if not self.as_json:
            console(self.err).print(message, style="yellow", markup=False, soft_wrap=True)

    def bars(self) -> AbstractContextManager[Bars]:
        """Returns bars for something that may take longer than a second; none where nobody watches."""
        watched = self.out.isatty() and self.err.isatty()
        return bars(self.err, shown=watched and not self.as_json)


def console(stream: TextIO) -> Console:
    """Returns a rich console on a stream."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)
