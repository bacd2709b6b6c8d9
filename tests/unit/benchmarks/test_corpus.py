"""The corpora of the benchmarks: their filters are what they are called."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmarks.corpus import KINDS, SELECTIVITIES, attributes, corpus, labelled, mask_name, vectors
from benchmarks.truth import truth
from shardlake.contracts.common import ATTRIBUTE_PATTERN

ROWS, DIMENSION = 20_000, 16


def test_each_mask_passes_its_share_of_the_rows_under_a_name_that_a_collection_takes(tmp_path: Path) -> None:
    made = corpus(ROWS, DIMENSION, queries=20, cache=tmp_path)

    shares = {mask_name(kind, share): share for kind in KINDS for share in SELECTIVITIES}
    assert {name: int(mask.sum()) for name, mask in made.masks.items()} == {
        name: max(1, round(ROWS * share)) for name, share in shares.items()
    }
    assert all(re.fullmatch(ATTRIBUTE_PATTERN, name) for name in made.masks)


def test_correlated_rows_lie_in_few_clusters_and_anti_correlated_ones_far_from_queries() -> None:
    base, labels = labelled(ROWS, DIMENSION, seed=3)
    queries = vectors(64, DIMENSION, seed=3, draw=2)
    masks = attributes(base, labels, queries)

    clusters = {kind: len(np.unique(labels[masks[mask_name(kind, 0.1)]])) for kind in KINDS}
    nearness = {kind: float((base[masks[mask_name(kind, 0.1)]] @ queries.T).max(axis=1).mean()) for kind in KINDS}
    assert clusters["correlated"] < clusters["independent"] / 3
    assert nearness["anti"] < min(nearness["independent"], nearness["correlated"]) - 0.1


def test_a_corpus_that_is_kept_is_the_one_that_was_made(tmp_path: Path) -> None:
    made, kept = (corpus(2_000, DIMENSION, queries=20, cache=tmp_path) for _ in range(2))

    assert np.array_equal(made.base, kept.base)
    assert np.array_equal(made.uniform, kept.uniform)
    assert all(np.array_equal(made.masks[name], kept.masks[name]) for name in made.masks)
    assert not np.isin(made.queries[:, 0], made.base[:, 0]).any()


def test_the_truth_is_the_nearest_of_the_rows_that_pass(tmp_path: Path) -> None:
    made = corpus(2_000, DIMENSION, queries=20, cache=tmp_path)
    mask = mask_name("independent", 0.001)
    passing = np.flatnonzero(made.masks[mask])

    for query, found in zip(made.queries, truth(made, mask, cache=tmp_path), strict=True):
        assert found == passing[np.argsort(-(made.base[passing] @ query))].tolist()
