"""Parts of a large file: where each begins and ends, so that every line is in one of them, where it begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from functions.ingest.lines import Line
from shardlake import limits

CHUNK_BYTES = limits.MIB
NEWLINE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a file. Parts follow one another without a gap.

    Attributes:
        number: of the part, from 0.
        start: its first byte, of a parquet file its first row, from 0. stop: one past the last.
        line: the number of its first line in the file, from 1.
        lines: how many it has, blank ones included.
    """

    number: int
    start: int
    stop: int
    line: int
    lines: int = 0

    @property
    def next(self) -> Part:
        """The part behind it, as far as that is known."""
        return Part(number=self.number + 1, start=self.stop, stop=self.stop, line=self.line + self.lines)


def parts_of_lines(stream: IO[bytes], at: Part, *, part_bytes: int, part_lines: int) -> Iterator[Part]:
    """Yields the parts of a file of lines, from one on. A part ends with the line that reaches one of the bounds.

    Args:
        stream: the file from `at.start` on, which is where a line begins.
        at: the first part, as far as it is known: number, start, line.
        part_bytes: ≥ 1. part_lines: ≥ 1.

    Cost: reads the file once; memory: some chunks, however long a line is.
    """
    number, start, first = at.number, at.start, at.line
    offset, line = start, first
    while chunk := stream.read(CHUNK_BYTES):
        ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == NEWLINE) + (offset + 1)
        ended = 0
        while True:
            by_bytes = int(np.searchsorted(ends, start + part_bytes))
            by_lines = ended + part_lines - (line - first) - 1
            last = min(by_bytes, by_lines)
            if last >= len(ends):
                break
            line, ended = line + last + 1 - ended, last + 1
            stop = int(ends[last])
            yield Part(number=number, start=start, stop=stop, line=first, lines=line - first)
            number, start, first = number + 1, stop, line
        line += len(ends) - ended
        offset += len(chunk)
    if offset > start:
        yield Part(number=number, start=start, stop=offset, line=first, lines=line - first + 1)


class Dealt:
    """Lines of a stream that cannot be read from any place, dealt into parts while they are read.

    Args:
        lines: from the beginning of a part on.
        at: that part, as far as it is known: number, start, line.
        part_bytes: a part ends with the line that reaches this. part_lines: or this.

    Attributes:
        at: the next part, once the lines of one were taken.
        is_over: whether there is no other.
    """

    def __init__(self, lines: Iterator[Line], at: Part, *, part_bytes: int, part_lines: int) -> None:
        self.at = at
        self.is_over = False
        self._lines = lines
        self._begin = at.start
        self._part_bytes = part_bytes
        self._part_lines = part_lines

    def part(self) -> Iterator[Line]:
        """Yields the lines of the next part. Take them all before those of another."""
        at = self.at
        for line in self._lines:
            yield line
            end, count = self._begin + line.end, line.number + 1 - at.line
            if end - at.start >= self._part_bytes or count >= self._part_lines:
                self.at = Part(number=at.number + 1, start=end, stop=end, line=at.line + count)
                return
        self.is_over = True
