"""The examples of docs/match.md, run; its list of languages, compared."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from shardlake.core import bm25
from shardlake.format import packed
from shardlake.query import text
from shardlake.types import LANGUAGES, NO_LANGUAGE

PAGE = Path(__file__).resolve().parents[3] / "docs" / "match.md"


def test_the_examples_of_the_page_give_what_it_shows() -> None:
    ran = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS)

    assert ran.attempted > 10
    assert ran.failed == 0


@pytest.mark.parametrize("module", [bm25, packed, text], ids=lambda module: module.__name__)
def test_the_examples_of_the_code_give_what_they_show(module: object) -> None:
    ran = doctest.testmod(module)  # type: ignore[arg-type]

    assert ran.attempted > 0
    assert ran.failed == 0


def test_the_page_names_the_languages_that_there_are() -> None:
    (named,) = re.findall(r"those of Snowball: (.+?);", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    assert tuple(re.split(r",\s+|\s+and\s+", named)) == tuple(name for name in LANGUAGES if name != NO_LANGUAGE)
