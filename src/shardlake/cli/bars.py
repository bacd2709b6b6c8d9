"""Progress that people see: bars and a spinner on a terminal, nothing anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. Safe to be advanced from several threads. A bar without a screen counts and shows nothing."""

    progress: Progress | None
    task: TaskID | None

    def advance(self, amount: int) -> None:
        """Moves on by `amount`."""
        if self.progress is not None and self.task is not None:
            self.progress.advance(self.task, amount)

    def at(self, share: float, text: str = "") -> None:
        """Moves to `share` in [0, 1] of a bar whose total is 1, and says where it is."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=share, detail=text)

    def say(self, text: str) -> None:
        """Says what is happening now."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, detail=text)

    def done(self, text: str = "") -> None:
        """Fills the bar: what it stands for is over."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, total=1, completed=1, detail=text)


class Bars:
    """A group of bars, one below the other."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def add(self, label: str, total: float | None) -> Bar:
        """Adds a bar of so many units; None: something without an end in sight, shown by a moving bar."""
        task = self._progress.add_task(label, total=total, detail="") if self._progress is not None else None
        return Bar(self._progress, task)


@contextmanager
def bars(stream: TextIO, *, shown: bool) -> Iterator[Bars]:
    """Shows bars on `stream` as long as the context lasts, if `shown`."""
    if not shown:
        yield Bars(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(file=stream), transient=False) as progress:
        yield Bars(progress)
