"""Centroids, codewords, and how lists are dealt out to shards."""

from __future__ import annotations

import threading

import faiss
import numpy as np
import pytest

from shardlake.core import training
from shardlake.core.threads import shared, threads
from shardlake.core.vectors import prepare
from shardlake.types import Float32Array, Metric
from tests.lake import unit_rows


@pytest.mark.parametrize("groups", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_list_is_dealt_to_one_shard_and_every_shard_gets_its_share(groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centroids = unit_rows(64, 8, seed)
    weights = rng.integers(50, 150, 64)

    labels = training.group_lists(centroids, weights, groups)

    assert sorted(set(labels.tolist())) == list(range(groups))
    loads = np.bincount(labels, weights=weights)
    # A cut falls between two lists: each of the log2(groups) cuts above a shard is off by one list at most.
    slack = weights.max() * (1 + np.ceil(np.log2(groups)))
    assert (np.abs(loads - weights.sum() / groups) <= slack).all()


@pytest.mark.parametrize("weights", [[0, 0, 0, 0, 0], [1000, 0, 0, 0, 0], [0, 0, 0, 0, 7]])
def test_no_shard_is_left_without_a_list_however_uneven_the_lists(weights: list[int]) -> None:
    labels = training.group_lists(np.zeros((5, 3), np.float32), np.array(weights), 5)

    assert sorted(labels.tolist()) == [0, 1, 2, 3, 4]


def test_lists_of_one_shard_lie_together() -> None:
    left = np.array([[-10.0, 0], [-10, 1], [-10, 2], [-11, 0]], np.float32)
    centroids = np.concatenate([left, -left])[[0, 4, 1, 5, 2, 6, 3, 7]]

    labels = training.group_lists(centroids, np.ones(8, np.int64), 2)

    assert len(set(labels[centroids[:, 0] < 0].tolist())) == 1
    assert len(set(labels[centroids[:, 0] > 0].tolist())) == 1


def test_many_lists_are_split_along_the_direction_that_few_are() -> None:
    rng = np.random.default_rng(3)
    points = rng.standard_normal((training.FEW_POINTS + 500, 12)).astype(np.float32) * np.linspace(
        1, 3, 12, dtype=np.float32
    )
    centred = points - points.mean(axis=0)

    found = training._widest(centred)

    # float64 against LAPACK's float32: the angle between them is that of rounding.
    assert abs(found @ np.linalg.svd(centred, full_matrices=False)[2][0]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("metric", list(Metric))
def test_the_same_sample_and_seed_give_the_same_centroids_and_codewords(metric: Metric) -> None:
    sample = unit_rows(1000, 6)

    twice = [training.train_centroids(sample, 16, metric, seed=3) for _ in range(2)]
    books = [training.train_codebook(sample, centroids, metric) for centroids in twice]

    assert (twice[0] == twice[1]).all()
    assert (books[0].codewords == books[1].codewords).all()
    assert books[0].codewords.shape == (4, 16, 2)
    assert books[0].centroids.shape == (16, 8)


def test_centroids_of_cosine_spaces_have_unit_length() -> None:
    centroids = training.train_centroids(unit_rows(500, 5), 8, Metric.COSINE, seed=0)

    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)


def test_identical_vectors_can_be_learned_from() -> None:
    sample = np.tile(unit_rows(1, 6), (1000, 1))

    centroids = training.train_centroids(sample, 16, Metric.L2, seed=0)
    book = training.train_codebook(sample, centroids, Metric.L2)

    assert np.isfinite(centroids).all()
    assert np.isfinite(book.codewords).all()


@pytest.mark.parametrize("metric", list(Metric))
def test_a_vector_belongs_to_the_list_of_its_nearest_centroid(metric: Metric) -> None:
    vectors, centroids = unit_rows(300, 7, 1), unit_rows(20, 7, 2)

    lists = training.assign(vectors, centroids, metric)

    scores = vectors @ centroids.T
    if metric is Metric.L2:
        scores = -((vectors[:, None] - centroids[None]) ** 2).sum(axis=2)
    assert lists.tolist() == scores.argmax(axis=1).tolist()


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.L2])
def test_lists_are_as_tight_as_those_of_faiss(metric: Metric) -> None:
    centres, rng = unit_rows(40, 12, 5), np.random.default_rng(6)
    sample = prepare((centres[rng.integers(0, 40, 8_000)] + 0.2 * rng.normal(size=(8_000, 12))).astype("f4"), metric)
    theirs = faiss.Kmeans(12, 64, niter=training.KMEANS_ITERATIONS, spherical=metric is Metric.COSINE, seed=1)
    theirs.train(sample)

    ours = [training.train_centroids(sample, 64, metric, seed) for seed in range(3)]

    # Where k-means ends depends on where it begins: the mean over three beginnings varies by about 1 %.
    assert np.mean([_looseness(sample, each) for each in ours]) < 1.03 * _looseness(sample, theirs.centroids)
    # Ours begins where that of faiss does: from the same seed only a row just between two centroids can part them.
    close = np.abs(ours[1] - theirs.centroids).max(axis=1) < 1e-4
    assert close.mean() > 0.8


def _looseness(sample: Float32Array, centroids: Float32Array) -> float:
    lists = training.assign(sample, centroids, Metric.L2)
    return float(((sample - centroids[lists]) ** 2).sum(axis=1).mean())


def test_no_list_stays_empty_where_points_differ() -> None:
    # Most points are one and the same, so that most of the centroids that k-means begins with are too.
    sample = np.concatenate([np.tile(unit_rows(1, 6), (500, 1)), unit_rows(100, 6, 9)])

    centroids = training.train_centroids(sample, 32, Metric.L2, seed=0)

    assert len(set(training.assign(sample, centroids, Metric.L2).tolist())) >= 28


@pytest.mark.parametrize("dimension", [4, 20])
def test_codewords_do_not_depend_on_how_many_threads_learn_them(dimension: int) -> None:
    residuals = np.random.default_rng(2).normal(size=(1_000, dimension)).astype(np.float32)

    learned = []
    for count in (1, 2, 3):
        with threads(count):
            quantizer = training.train_quantizer(residuals)
            learned.append(faiss.vector_to_array(quantizer.centroids).tobytes())

    assert len(set(learned)) == 1


def test_lists_are_found_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, centroids = unit_rows(300, 7, 1), unit_rows(20, 7, 2)
    whole = training.assign(vectors, centroids, Metric.COSINE)

    monkeypatch.setattr(training, "_SCORES_BYTES", 4 * 20 * 7)

    assert training.assign(vectors, centroids, Metric.COSINE).tolist() == whole.tolist()


def test_lists_do_not_depend_on_how_many_threads_find_them(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, centroids = unit_rows(5_000, 16, 1), unit_rows(64, 16, 2)
    monkeypatch.setattr(training, "_ROWS_TOGETHER", 256)

    found = []
    for count in (1, 2, 5):
        with threads(count):
            found.append(training.assign(vectors, centroids, Metric.L2).tobytes())

    assert len(set(found)) == 1


def test_vectors_of_vast_numbers_have_a_list() -> None:
    vectors, centroids = np.full((3, 7), 1e30, np.float32), unit_rows(20, 7, 2) * np.float32(1e30)

    lists = training.assign(vectors, centroids, Metric.L2)

    assert ((lists >= 0) & (lists < 20)).all()


@pytest.mark.parametrize("count", [0, 20])
def test_no_vectors_have_no_lists(count: int) -> None:
    centroids = unit_rows(20, 7, 2)[:count]

    assert training.assign(np.empty((0, 7), np.float32), centroids, Metric.L2).shape == (0,)


@pytest.mark.parametrize(("rows", "lists"), [(0, 1), (1, 1), (3, 2), (100, 8), (10_000, 128), (1_000_000, 1024)])
def test_lists_grow_as_the_square_root_of_rows(rows: int, lists: int) -> None:
    assert training.list_count(rows) == lists


def test_faiss_has_its_threads_back_after_a_block_even_one_that_failed() -> None:
    before = faiss.omp_get_max_threads()

    def breaks() -> None:
        with threads(before + 1):
            assert faiss.omp_get_max_threads() == before + 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()

    assert faiss.omp_get_max_threads() == before


def test_work_is_shared_by_as_many_threads_as_faiss_has_each_of_which_computes_alone() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def meets(piece: int) -> tuple[int, int]:
        meeting.wait()  # which one thread after another never would
        return piece, faiss.omp_get_max_threads()

    for multiplies in (False, True):
        with threads(3):
            assert shared(meets, range(6), multiplies=multiplies) == [(piece, 1) for piece in range(6)]
            assert faiss.omp_get_max_threads() == 3
