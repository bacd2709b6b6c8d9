"""RaBitQ over lists that arrive one by one, against the index that faiss fills itself."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from shardlake.core import training, transforms
from shardlake.core.ivf_pq import faiss_metric, selector
from shardlake.core.ivf_rabitq import Encoder, IvfRabitq, RabitqBook, block_bytes, code_bytes, padded_dimension
from shardlake.core.vectors import coarse_scores
from shardlake.types import Metric
from tests.lake import unit_rows

ROWS, DIMENSION, LISTS = 1100, 13, 12


class World:
    """Rotated vectors in lists, ours and faiss's own index of them."""

    def __init__(self, metric: Metric, bits: int) -> None:
        rotation = transforms.random_rotation(DIMENSION, padded_dimension(DIMENSION), np.random.default_rng(1))
        self.vectors = np.ascontiguousarray(transforms.apply(rotation, 2 * unit_rows(ROWS, DIMENSION)))
        self.queries = np.ascontiguousarray(transforms.apply(rotation, unit_rows(20, DIMENSION, 7)))
        centroids = training.train_centroids(self.vectors, LISTS, metric, seed=0)
        self.book = RabitqBook(centroids=centroids, bits=bits, metric=metric)
        self.lists = training.assign(self.vectors, centroids, metric)
        self.quantizer = faiss.IndexFlat(16, faiss_metric(metric))
        self.quantizer.add(centroids)
        self.theirs = faiss.IndexIVFRaBitQFastScan(self.quantizer, 16, LISTS, faiss_metric(metric), 32, True, bits)
        self.theirs.train(self.vectors)
        self.theirs.add(self.vectors)

    def packed(self, numbers: range) -> list[np.ndarray]:
        """Returns the bytes of some lists."""
        chosen = np.flatnonzero(np.isin(self.lists, list(numbers)))
        rows = chosen[np.argsort(self.lists[chosen], kind="stable")]
        return Encoder(self.book).encode(self.vectors[rows], self.lists[rows], numbers)

    def loaded(self, *, centroids_come_with_lists: bool) -> IvfRabitq:
        """Returns our index with all lists, loaded from the last to the first."""
        book, packed = self.book, self.packed(range(LISTS))
        if centroids_come_with_lists:
            book = RabitqBook(centroids=np.zeros_like(book.centroids), bits=book.bits, metric=book.metric)
        index = IvfRabitq(book)
        for number in reversed(range(LISTS)):
            centroid = self.book.centroids[number] if centroids_come_with_lists else None
            index.load_list(number, np.flatnonzero(self.lists == number), packed[number], centroid)
        return index

    def probe(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the nearest lists and their coarse scores as faiss signs them."""
        scores = coarse_scores(query, self.book.centroids, self.book.metric)
        nearest = np.argsort(-scores)[:count]
        signed = -scores if self.book.metric is Metric.L2 else scores
        return nearest[None], signed[nearest][None].astype(np.float32)


@pytest.fixture(scope="module", params=[(m, b) for m in (Metric.DOT, Metric.L2) for b in (1, 2, 4, 8)], ids=str)
def world(request: pytest.FixtureRequest) -> World:
    """Each metric, with one bit and several."""
    return World(*request.param)


def test_a_list_is_the_bytes_that_faiss_keeps_factors_and_all(world: World) -> None:
    theirs = faiss.downcast_InvertedLists(world.theirs.invlists)
    # Encoded in two calls, as a build does that holds some lists at a time.
    packed = [*world.packed(range(5)), *world.packed(range(5, LISTS))]

    for number, ours in enumerate(packed):
        rows = theirs.list_size(number)
        assert ours.nbytes == block_bytes(rows, 16, world.book.bits)
        assert ours.tobytes() == faiss.rev_swig_ptr(theirs.get_codes(number), ours.nbytes).tobytes()


@pytest.mark.parametrize("centroids_come_with_lists", [False, True])
def test_lists_loaded_one_by_one_find_what_faiss_s_own_index_finds(
    world: World, centroids_come_with_lists: bool
) -> None:
    index = world.loaded(centroids_come_with_lists=centroids_come_with_lists)
    world.theirs.nprobe = 5

    for query in world.queries:
        found = index.scan(query[None], *world.probe(query, 5), 30)
        _, expected = world.theirs.search(query[None], 30)
        assert set(found[0].tolist()) == set(expected[0].tolist())


def test_a_scan_of_every_list_for_every_row_finds_every_row_once(world: World) -> None:
    found = world.loaded(centroids_come_with_lists=True).scan(
        world.queries[:1], *world.probe(world.queries[0], LISTS), ROWS + 5
    )

    assert sorted(found[0].tolist()) == [-1] * 5 + list(range(ROWS))


def test_rows_that_do_not_pass_are_left_out_during_the_scan(world: World) -> None:
    passing = np.random.default_rng(1).random(ROWS) < 0.1
    bitmap = np.packbits(passing, bitorder="little")

    found = world.loaded(centroids_come_with_lists=True).scan(
        world.queries[:1], *world.probe(world.queries[0], LISTS), 10, selector(bitmap)
    )

    assert (found >= 0).all()
    assert passing[found].all()


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dimension", [8, 24, 256])
def test_our_size_of_a_code_is_faiss_s(bits: int, dimension: int) -> None:
    quantizer = faiss.IndexFlat(dimension)
    index = faiss.IndexIVFRaBitQFastScan(quantizer, dimension, 1, faiss.METRIC_L2, 32, True, bits)

    assert code_bytes(dimension, bits) == index.code_size
    assert block_bytes(33, dimension, bits) == 2 * faiss.downcast_InvertedLists(index.invlists).block_size


def test_more_bits_find_more() -> None:
    shares = []
    for bits in (1, 2, 4):
        world = World(Metric.L2, bits)
        index = world.loaded(centroids_come_with_lists=True)
        _, truth = faiss.knn(world.queries, world.vectors, 10)
        found = [index.scan(q[None], *world.probe(q, LISTS), 20)[0] for q in world.queries]
        shares.append(np.mean([np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]))

    assert shares[0] < shares[1] <= shares[2]
    # 13 signs a row for rows without any clusters; by chance it would be a fiftieth.
    assert shares[0] > 0.3
