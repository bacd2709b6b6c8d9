"""Pages that say what the code says: each error kind has its row, the limits are the generated ones."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from shardlake.errors import ErrorKind, class_of

DOCS = Path(__file__).resolve().parents[3] / "docs"
ROW = re.compile(r"^\| `([a-z-]+)` \| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)


def test_every_error_kind_has_one_row_with_its_status() -> None:
    rows = ROW.findall((DOCS / "errors.md").read_text(encoding="utf-8"))

    assert [kind for kind, *_ in rows] == list(dict.fromkeys(kind for kind, *_ in rows))
    assert {kind: int(status) for kind, status, *_ in rows} == {
        str(kind): class_of(kind).http_status for kind in ErrorKind
    }


def test_the_limits_page_is_the_generated_one() -> None:
    # make it again: python docs/make_limits.py > docs/limits.md
    made = runpy.run_path(str(DOCS / "make_limits.py"))["page"]()

    assert (DOCS / "limits.md").read_text(encoding="utf-8") == made
