"""Matches in a file of terms against the oracle, over random texts, matches, filters and sizes of runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.query.match import parse
from shardlake.query.rows import RowSet
from shardlake.types import AttributeSpec, AttributeType, CollectionSchema, SpaceSpec
from tests import match_oracle as oracle

LAW = settings(max_examples=150, deadline=None)
SPECS = (
    AttributeSpec(name="plot", type=AttributeType.TEXT, language="none"),
    AttributeSpec(name="title", type=AttributeType.TEXT),
)
SCHEMA = CollectionSchema(spaces=(SpaceSpec(name="v", dimension=2),), attributes=SPECS)
WORDS = ["a", "b", "c", "boots", "boot", "red", "rare", "東", "京", "ü"]
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
rows = st.lists(st.dictionaries(st.sampled_from(["plot", "title"]), texts), min_size=1, max_size=12)
parts = st.tuples(st.booleans(), st.lists(st.sampled_from([*WORDS, "absent"]), min_size=1, max_size=3).map(" ".join))
queries = st.lists(parts, min_size=1, max_size=3).map(lambda ps: " ".join(f'"{t}"' if q else t for q, t in ps))
matches = st.dictionaries(st.sampled_from(["plot", "title"]), queries, min_size=1)


@LAW
@given(rows, matches, st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_match_finds_and_scores_what_the_page_says(
    items: list[dict[str, str]], raw: dict[str, str], run_tokens: int, random: Random
) -> None:
    corpus = oracle.Corpus(SPECS, items)
    match = corpus.source(parse(raw, SCHEMA))
    expected = corpus.scores(match)
    mask = np.array([random.random() < 0.6 for _ in items])
    with tempfile.TemporaryDirectory() as folder:
        file = oracle.opened(SPECS, len(items), *oracle.write(SPECS, items, Path(folder), run_tokens=run_tokens))

    found, scores = file.terms.search(match, file.reader, None)
    passed, passed_scores = file.terms.search(match, file.reader, RowSet(mask))
    by_row = file.terms.score_rows(match, np.arange(len(items))[::-1], file.reader)[::-1]

    assert found.tolist() == sorted(expected)
    np.testing.assert_allclose(scores, [expected[row] for row in sorted(expected)], rtol=1e-6)
    assert passed.tolist() == [row for row in sorted(expected) if mask[row]]
    assert (passed_scores == scores[mask[found]]).all()
    assert (by_row[found] == scores).all()
    assert not np.delete(by_row, found).any()


@LAW
@given(rows, st.integers(1, 40))
def test_the_size_of_runs_changes_no_byte(items: list[dict[str, str]], run_tokens: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one = oracle.write(SPECS, items, Path(folder))
        other = oracle.write(SPECS, items, Path(folder), run_tokens=run_tokens)

    assert one == other
