"""What happens to vectors before they become codes, and when it pays."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.core import training, transforms
from shardlake.core.choosing import choose_transform
from shardlake.types import Float32Array, IndexSpec, IndexType, Metric, Transform
from tests.lake import unit_rows


def _anisotropic(rows: int, dimension: int, kept: int) -> Float32Array:
    """Returns vectors that vary in `kept` directions alone, none of them an axis."""
    rng = np.random.default_rng(5)
    turn = transforms.random_directions(dimension, dimension, rng)
    scales = np.where(np.arange(dimension) < kept, 1.0, 1e-3)
    return np.asarray((rng.standard_normal((rows, dimension)) * scales) @ turn, np.float32)


@pytest.mark.parametrize(("dimension", "into"), [(5, 8), (8, 8), (1, 8), (30, 32)])
def test_a_random_rotation_keeps_inner_products(dimension: int, into: int) -> None:
    matrix = transforms.random_rotation(dimension, into, np.random.default_rng(1))
    vectors = unit_rows(20, dimension)

    turned = transforms.apply(matrix, vectors)

    assert turned.shape == (20, into)
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)


def test_directions_are_unit_and_orthogonal_as_far_as_there_are_dimensions() -> None:
    found = transforms.random_directions(10, 4, np.random.default_rng(2))

    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[:4] @ found[:4].T, np.eye(4), atol=1e-6)


def test_pca_finds_the_directions_of_largest_variance() -> None:
    directions, share = transforms.pca(_anisotropic(2000, 12, 3))

    assert share[:3].sum() > 0.999
    assert (np.diff(share) <= 0).all()
    np.testing.assert_allclose(directions @ directions.T, np.eye(12), atol=1e-4)


def test_opq_is_a_rotation_under_which_codes_lose_less() -> None:
    # Two directions share one code and the others have nothing to say: every rotation that spreads them is better.
    residuals = np.random.default_rng(3).standard_normal((3000, 8)).astype(np.float32)
    residuals[:, 2:] *= 0.01

    matrix = transforms.opq(residuals)

    np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-3)
    assert _loss(transforms.apply(matrix, residuals)) < 0.8 * _loss(residuals)


def _loss(residuals: Float32Array) -> float:
    quantizer = training.train_quantizer(residuals)
    decoded = quantizer.decode(quantizer.compute_codes(np.ascontiguousarray(residuals)))
    return float(((residuals - decoded) ** 2).sum())


def _chosen(vectors: Float32Array, index: IndexSpec, metric: Metric = Metric.L2) -> Float32Array | None:
    centroids = training.train_centroids(vectors, 4, metric, seed=0)
    return choose_transform(vectors, centroids, training.assign(vectors, centroids, metric), index, metric)


@pytest.mark.parametrize("dimension", [7, 8])
def test_what_is_asked_for_is_what_is_learned(dimension: int) -> None:
    vectors = unit_rows(900, dimension)

    pca = _chosen(vectors, IndexSpec(transform=Transform.PCA, dimension=3))
    opq = _chosen(vectors, IndexSpec(transform=Transform.OPQ))

    assert _chosen(vectors, IndexSpec(transform=Transform.NONE)) is None
    assert pca is not None
    assert pca.shape == (3, dimension)
    assert opq is not None
    assert opq.shape == (8, dimension)
    np.testing.assert_allclose(opq.T @ opq, np.eye(dimension), atol=1e-3)


def test_a_rotation_is_taken_where_it_finds_clearly_more_and_left_where_it_does_not() -> None:
    uneven = unit_rows(6000, 32, 1) * np.where(np.arange(32) < 6, 1, 0.02).astype(np.float32)

    assert _chosen(uneven, IndexSpec(type=IndexType.IVF_PQ)) is not None
    assert _chosen(unit_rows(6000, 32), IndexSpec(type=IndexType.IVF_PQ)) is None


def test_codes_of_many_dimensions_are_shortened_where_few_directions_say_it_all() -> None:
    few = _chosen(_anisotropic(2500, 600, 40), IndexSpec(type=IndexType.IVF_PQ))

    assert few is not None
    assert few.shape == (300, 600)
    assert _chosen(unit_rows(2500, 600), IndexSpec(type=IndexType.IVF_PQ)) is None, "every direction says as much"
