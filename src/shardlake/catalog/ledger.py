"""How far a large file is that is taken in by parts: which were cut, which are done, and what came of them.

Pure: what a change makes of a ledger. That two workers change it at one time, the catalog's condition settles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

Parts: TypeAlias = tuple[tuple[int, int, int, bool], ...]
"""(number, accepted, rejected, whether it failed) of each part that has ended, by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One write of one file. A later write of the same key takes its place.

    Attributes:
        source: the key.
        etag: of the bytes. order: of the write, without a part; it sorts writes by their time.
        part_bytes: bounds of a part. part_lines: likewise. They stay as they were when the first was cut.
        revision: how often the row was written.
        cut: how many parts were cut so far. next_start: where the next one begins. next_line: its first line, from 1.
        total: how many parts there are; None while some are still to be cut.
        parts: those that have ended.
        error: why the one failed that failed last; None where none has.
        broken: why no more parts are cut, though the file goes on; None where there is no reason.
        closed_at: when the receipt was written.
    """

    source: str
    etag: str
    order: str
    part_bytes: int
    part_lines: int
    revision: int = 1
    cut: int = 0
    next_start: int = 0
    next_line: int = 1
    total: int | None = None
    parts: Parts = ()
    error: str | None = None
    broken: str | None = None
    closed_at: str | None = None

    @property
    def accepted(self) -> int:
        """Items in segments, of all parts that have ended."""
        return sum(accepted for _, accepted, _, _ in self.parts)

    @property
    def rejected(self) -> int:
        """Items refused, of all parts that have ended."""
        return sum(rejected for _, _, rejected, _ in self.parts)

    @property
    def is_complete(self) -> bool:
        """Whether all was cut and every part has ended."""
        return self.total is not None and len(self.parts) >= self.total

    @property
    def failure(self) -> str | None:
        """Why not all of it was taken in; None where all was, as far as it has come."""
        return self.broken or self.error

    def is_of(self, order: str, etag: str) -> bool:
        """Returns whether it is that write's, and those bytes'."""
        return (self.order, self.etag) == (order, etag)

    def is_done(self, number: int) -> bool:
        """Returns whether a part has ended well; one that failed may be tried again."""
        return any(part[0] == number and not part[3] for part in self.parts)

    def with_part(self, number: int, *, accepted: int, rejected: int, error: str | None) -> Ledger:
        """Returns it with a part that has ended, in the place of an earlier end of the same part."""
        ended = (number, accepted, rejected, error is not None)
        if ended in self.parts and error is None:
            return self  # a reply was lost: what has been said since must stand
        parts = tuple(sorted([*(part for part in self.parts if part[0] != number), ended]))
        has_failed = any(failed for *_, failed in parts)
        return replace(self, parts=parts, error=(error or self.error) if has_failed else None, closed_at=None)

    def with_cut(self, *, cut: int, start: int, line: int) -> Ledger:
        """Returns it with more parts cut; the same where as many were cut already."""
        return self if cut <= self.cut else replace(self, cut=cut, next_start=start, next_line=line)

    def ended(self, broken: str | None = None) -> Ledger:
        """Returns it with no more parts to be cut, because there are none, or for a reason."""
        return replace(self, total=self.cut, broken=broken)

    def reopened(self) -> Ledger:
        """Returns it with parts to be cut again, where something had been in the way."""
        return self if self.broken is None else replace(self, total=None, broken=None, closed_at=None)
