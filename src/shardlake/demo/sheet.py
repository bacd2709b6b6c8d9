"""Sheets to look at: all pictures of the demo, and its questions with their hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL = 96
COLUMNS = 30
ROW_CELL = 150
MARGIN = 12
TITLE = 26
LINE = 15
INK = (28, 28, 32)
FAINT = (110, 110, 118)
PAPER = (255, 255, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """A question and the pictures that answer it, each with two lines below it."""

    title: str
    question: Path | None
    hits: Sequence[tuple[Path, str, str]]


def contact_sheet(pictures: Sequence[Path], target: Path) -> None:
    """Writes all pictures, small, on one sheet."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL, max(1, rows) * CELL), PAPER)
    for number, path in enumerate(pictures):
        with Image.open(path) as picture:
            sheet.paste(picture.resize((CELL, CELL)), (number % COLUMNS * CELL, number // COLUMNS * CELL))
    sheet.save(target)


def results_sheet(rows: Sequence[SheetRow], target: Path) -> None:
    """Writes the questions one below the other, each with its hits from left to right."""
    most = max((len(row.hits) + (row.question is not None) for row in rows), default=1)
    height = TITLE + ROW_CELL + 2 * LINE + 2 * MARGIN
    sheet = Image.new("RGB", (most * (ROW_CELL + MARGIN) + MARGIN, len(rows) * height + MARGIN), PAPER)
    for number, row in enumerate(rows):
        _draw_row(sheet, row, number * height + MARGIN)
    sheet.save(target)


def _draw_row(sheet: Image.Image, row: SheetRow, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, top), row.title, fill=INK, font=ImageFont.load_default(size=17))
    cells = [(row.question, "the question", "")] if row.question is not None else []
    small = ImageFont.load_default(size=12)
    for column, (path, first, second) in enumerate([*cells, *row.hits]):
        left, below = MARGIN + column * (ROW_CELL + MARGIN), top + TITLE
        with Image.open(path) as picture:
            sheet.paste(picture.convert("RGB").resize((ROW_CELL, ROW_CELL)), (left, below))
        frame = (left - 2, below - 2, left + ROW_CELL + 1, below + ROW_CELL + 1)
        if path == row.question:
            pen.rectangle(frame, outline=INK, width=2)
        pen.text((left, below + ROW_CELL + 2), first, fill=INK, font=small)
        pen.text((left, below + ROW_CELL + 2 + LINE), second, fill=FAINT, font=small)
