"""Our index over lists that arrive one by one, against the index that faiss builds itself from the same quantizers."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from shardlake.core import exact, training
from shardlake.core.fast_scan import pack
from shardlake.core.ivf_pq import BITS, Codebook, IvfPq, encode, faiss_metric, selector
from shardlake.core.vectors import coarse_scores
from shardlake.types import Metric
from tests.lake import unit_rows

ROWS, DIMENSION, LISTS = 1200, 8, 16


@pytest.fixture(scope="module", params=[Metric.COSINE, Metric.L2], ids=str)
def world(request: pytest.FixtureRequest) -> tuple[Codebook, np.ndarray, np.ndarray]:
    """A codebook, vectors, and the list of each."""
    metric = request.param
    vectors = unit_rows(ROWS, DIMENSION)
    centroids = training.train_centroids(vectors, LISTS, metric, seed=0)
    book = training.train_codebook(vectors, centroids, metric)
    return book, vectors, training.assign(vectors, book.centroids, metric)


def _loaded(book: Codebook, vectors: np.ndarray, lists: np.ndarray, order: list[int]) -> IvfPq:
    index = IvfPq(book)
    for number in order:
        rows = np.flatnonzero(lists == number)
        index.load_list(number, rows, pack(encode(vectors[rows], lists[rows], book)))
    return index


def _probe(query: np.ndarray, book: Codebook, count: int) -> tuple[np.ndarray, np.ndarray]:
    scores = coarse_scores(query, book.centroids, book.metric)
    nearest = np.argsort(-scores)[:count]
    return nearest[None], (-scores if book.metric is Metric.L2 else scores)[nearest][None].astype(np.float32)


def test_a_scan_finds_what_faiss_s_own_index_finds(world: tuple[Codebook, np.ndarray, np.ndarray]) -> None:
    book, vectors, lists = world
    ours = _loaded(book, vectors, lists, list(range(LISTS))[::-1])
    quantizer = faiss.IndexFlat(DIMENSION, faiss_metric(book.metric))
    quantizer.add(book.centroids)
    theirs = faiss.IndexIVFPQFastScan(quantizer, DIMENSION, LISTS, DIMENSION // 2, BITS, faiss_metric(book.metric), 32)
    theirs.by_residual = True
    faiss.copy_array_to_vector(book.codewords.reshape(-1), theirs.pq.centroids)
    theirs.is_trained = True
    theirs.precompute_table()
    theirs.add(vectors)
    theirs.nprobe = 5

    for query in unit_rows(20, DIMENSION, 7):
        numbers, coarse = _probe(query, book, 5)
        found = ours.scan(query[None], numbers, coarse, 30)
        _, expected = theirs.search(query[None], 30)
        assert set(found[0].tolist()) == set(expected[0].tolist())


def test_a_scan_of_every_list_for_every_row_finds_every_row_once(
    world: tuple[Codebook, np.ndarray, np.ndarray],
) -> None:
    book, vectors, lists = world
    index = _loaded(book, vectors, lists, list(range(LISTS)))
    query = unit_rows(1, DIMENSION, 8)

    numbers, coarse = _probe(query[0], book, LISTS)
    found = index.scan(query, numbers, coarse, ROWS + 5)

    assert sorted(found[0, :ROWS].tolist()) == list(range(ROWS))
    assert found[0, ROWS:].tolist() == [-1] * 5


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_rows_that_do_not_pass_are_left_out_during_the_scan_and_not_after_it(
    world: tuple[Codebook, np.ndarray, np.ndarray], share: float
) -> None:
    book, vectors, lists = world
    index = _loaded(book, vectors, lists, list(range(LISTS)))
    passing = np.random.default_rng(1).random(ROWS) < share
    query = unit_rows(1, DIMENSION, 9)
    bitmap = np.packbits(passing, bitorder="little")
    chosen = selector(bitmap)

    numbers, coarse = _probe(query[0], book, LISTS)
    found = index.scan(query, numbers, coarse, 10, chosen)[0]
    again = index.scan(query, numbers, coarse, 10)[0]

    assert passing[found[found >= 0]].all()
    assert (found >= 0).sum() == min(10, passing.sum())
    assert (again >= 0).all()
    assert len(bitmap) == -(-ROWS // 8)


def test_a_list_is_part_of_the_scan_only_when_it_is_loaded_and_probed(
    world: tuple[Codebook, np.ndarray, np.ndarray],
) -> None:
    book, vectors, lists = world
    index = _loaded(book, vectors, lists, [3, 4])
    query = unit_rows(1, DIMENSION, 9)

    numbers, coarse = np.array([[3, -1, 5]]), np.zeros((1, 3), np.float32)
    found = index.scan(query, numbers, coarse, ROWS)[0]

    assert sorted(found[found >= 0].tolist()) == np.flatnonzero(lists == 3).tolist()


@pytest.mark.parametrize("metric", list(Metric))
def test_exact_search_in_blocks_is_exact_search(metric: Metric) -> None:
    vectors, queries = unit_rows(230, 5), unit_rows(4, 5, 1)
    numbers = np.arange(230)
    blocks = [(numbers[a:b], vectors[a:b]) for a, b in [(0, 3), (3, 3), (3, 100), (100, 230)]]

    labels, scores = exact.nearest(queries, blocks, 7, metric)

    wide = queries.astype(np.float64) @ vectors.T
    if metric is Metric.L2:
        wide = -np.sqrt(((queries[:, None] - vectors[None]) ** 2).sum(axis=2))
    assert labels.tolist() == np.argsort(-wide, axis=1)[:, :7].tolist()
    np.testing.assert_allclose(scores, np.sort(wide, axis=1)[:, ::-1][:, :7], atol=1e-5)


def test_exact_search_of_fewer_rows_than_asked_for_says_so() -> None:
    labels, _ = exact.nearest(unit_rows(2, 3), [(np.array([7]), unit_rows(1, 3))], 3, Metric.DOT)

    assert labels.tolist() == [[7, -1, -1]] * 2
    assert exact.recall(np.array([[7, 8], [1, 2]]), labels).tolist() == [1, 0]
    assert exact.recall(np.array([[1]]), np.array([[-1, -1]])).tolist() == [1]
