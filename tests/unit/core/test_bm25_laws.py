"""BM25 and phrases on arrays: the laws that other code relies on."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.core import bm25
from shardlake.core.phrases import Occurrences, phrase_rows

LENGTHS = np.array([1, 10, 100, 32_768])


@pytest.mark.parametrize("df", [1, 10, 999, 1_000])
def test_no_text_scores_more_than_the_idf_nor_as_little_as_nothing(df: int) -> None:
    weight = bm25.idf(1_000, df)
    scores = bm25.scores(LENGTHS, LENGTHS, weight, 50.0)

    assert weight > 0
    assert (scores > 0).all()
    assert (scores < weight).all()
    assert (scores.astype(np.float32) > 0).all(), "a row that matches has a score, in 32 bits too"


def test_a_rarer_term_more_of_it_and_a_shorter_text_score_more() -> None:
    def of(tf: int, length: int, df: int = 10) -> float:
        return float(bm25.scores(np.array([tf]), np.array([length]), bm25.idf(100, df), 10.0)[0])

    assert of(1, 10, df=9) > of(1, 10) > of(1, 10, df=11)
    assert of(2, 10) > of(1, 10) > of(1, 11)
    assert bm25.idf(10, 12) > 0, "statistics that are older than a shard do no harm"


@pytest.mark.parametrize("total", [40, 4_000])
def test_phrases_are_found_by_bisection_and_by_table_alike(total: int) -> None:
    rng = np.random.default_rng(total)
    texts = [rng.integers(0, 4, rng.integers(1, 12)) for _ in range(40)]
    numbers = np.sort(rng.choice(total, 40, replace=False))

    def occurrences(word: int) -> Occurrences:
        found = [(row, np.flatnonzero(text == word)) for row, text in zip(numbers, texts, strict=True)]
        there = [(row, positions) for row, positions in found if len(positions)]
        return Occurrences(
            rows=np.array([row for row, _ in there], np.int32),
            frequencies=np.array([len(positions) for _, positions in there], np.int32),
            positions=np.concatenate([positions for _, positions in there]),
        )

    for phrase in ([0], [0, 1], [2, 2], [1, 2, 3], [0, 1, 0], [3, 3, 3, 3]):
        expected = [
            row
            for row, text in zip(numbers.tolist(), texts, strict=True)
            if any(text[at : at + len(phrase)].tolist() == phrase for at in range(len(text)))
        ]
        of_all = phrase_rows([occurrences(word) for word in phrase], numbers, total)
        of_few = [phrase_rows([occurrences(word) for word in phrase], numbers[at : at + 1], total) for at in range(40)]

        assert of_all.tolist() == expected
        assert np.concatenate(of_few).tolist() == expected


def test_a_term_that_no_row_has_makes_no_phrase() -> None:
    nothing = Occurrences(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))

    assert phrase_rows([nothing], np.arange(5), 5).tolist() == []
