"""Scores against their definitions in float64; refine rows against their bound."""

from __future__ import annotations

import numpy as np
import pytest

from shardlake.core.vectors import (
    coarse_scores,
    coarse_scores_of,
    nearest_lists,
    pad,
    padded_dimension,
    prepare,
    quantize_rows,
    score_exact,
    score_quantized,
)
from shardlake.types import Metric

METRICS = list(Metric)


def _defined(query: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    query, rows = query.astype(np.float64), rows.astype(np.float64)
    if metric is Metric.DOT:
        return rows @ query
    if metric is Metric.L2:
        return -np.linalg.norm(rows - query, axis=1)
    return rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dimension", [1, 2, 3, 17, 256])
def test_exact_scores_are_what_the_metric_defines(metric: Metric, dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    rows = (rng.standard_normal((50, dimension)) * 3).astype(np.float32)
    query = rng.standard_normal(dimension).astype(np.float32)

    found = score_exact(prepare(query[None], metric)[0], prepare(rows, metric), metric)

    # float32 sums of `dimension` products: the relative error of each is below dimension × 2⁻²⁴.
    np.testing.assert_allclose(found, _defined(query, rows, metric), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_refine_rows_differ_from_exact_ones_by_no_more_than_quantization_can(metric: Metric) -> None:
    rng = np.random.default_rng(1)
    rows = prepare((rng.standard_normal((200, 31)) * 2).astype(np.float32), metric)
    query = prepare(rng.standard_normal((1, 31)).astype(np.float32), metric)[0]
    codes, scales = quantize_rows(rows)

    found = score_quantized(query, codes, scales, metric)

    # Each component is off by half a scale: the product by at most that times the query's 1-norm,
    # the distance by at most that times the square root of the dimension.
    half = scales / 2
    bound = half * np.sqrt(31) if metric is Metric.L2 else half * np.abs(query).sum()
    assert (np.abs(found - score_exact(query, rows, metric)) <= bound + 1e-4).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 80, 256, 257, 700])
def test_what_a_refine_row_scores_depends_on_no_row_and_no_query_beside_it(metric: Metric, rows: int) -> None:
    rng = np.random.default_rng(2)
    queries = rng.standard_normal((3, 61)).astype(np.float32)
    codes, scales = quantize_rows(rng.standard_normal((3 * rows, 61)).astype(np.float32))
    codes, scales = codes.reshape(3, rows, 61), scales.reshape(3, rows)

    together = score_quantized(queries, codes, scales, metric)

    for query, of_query, scales_of_query, found in zip(queries, codes, scales, together, strict=True):
        assert score_quantized(query, of_query, scales_of_query, metric).tolist() == found.tolist()
        for row in {0, rows // 2, rows - 1}:
            alone = score_quantized(query, of_query[row : row + 1], scales_of_query[row : row + 1], metric)
            assert alone.tolist() == [found[row]]


@pytest.mark.parametrize("metric", METRICS)
def test_centroids_chosen_score_as_among_all_but_for_the_order_of_sums_and_alike_for_one_query_and_many(
    metric: Metric,
) -> None:
    rng = np.random.default_rng(4)
    centroids, queries = (rng.standard_normal((n, 48)).astype(np.float32) for n in (30, 5))
    numbers = rng.integers(0, 30, (5, 7))

    together = coarse_scores_of(queries, centroids[numbers], metric)

    for query, chosen, found in zip(queries, numbers, together, strict=True):
        assert coarse_scores_of(query, centroids[chosen], metric).tolist() == found.tolist()
        # Sums of 48 products in another order: the relative error of each is below 48 × 2⁻²⁴.
        np.testing.assert_allclose(found, coarse_scores(query, centroids, metric)[chosen], rtol=1e-5, atol=1e-4)


def test_a_small_l2_distance_survives_a_large_norm() -> None:
    query = np.full(64, 1000, np.float32)
    rows = np.stack([query, query + np.float32(0.5), query + np.float32(1)])

    np.testing.assert_allclose(score_exact(query, rows, Metric.L2), [0, -4, -8], rtol=1e-6)


def test_prepared_rows_have_unit_length_whatever_their_own_and_zero_stays_zero() -> None:
    rows = np.array([[1e-30, 0, 0], [3e38, 3e38, 0], [0, 0, 0], [1, 2, 2]], np.float32)

    unit = prepare(rows, Metric.COSINE)

    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 1, 0, 1], rtol=1e-6)
    assert prepare(rows, Metric.DOT).tolist() == rows.tolist()


def test_the_cosine_with_a_zero_vector_is_zero() -> None:
    rows = prepare(np.zeros((2, 5), np.float32), Metric.COSINE)
    codes, scales = quantize_rows(rows)
    query = prepare(np.ones((1, 5), np.float32), Metric.COSINE)[0]

    assert score_exact(query, rows, Metric.COSINE).tolist() == [0, 0]
    assert score_quantized(query, codes, scales, Metric.COSINE).tolist() == [0, 0]


@pytest.mark.parametrize("largest", [1e-44, 1e-40, 1e-37, 1e-30, 1.0, 1e30, 3e38])
def test_refine_rows_are_off_by_half_a_scale_at_most_however_small_or_large_the_numbers(largest: float) -> None:
    shape = np.array([[1, -1, 0.5, 0.013, 0], [0, 0, 0, 0, 0]], np.float64)
    rows = (shape * largest).astype(np.float32)

    codes, scales = quantize_rows(rows)

    error = np.abs(codes.astype(np.float64) * scales[:, None].astype(np.float64) - rows)
    # Half a scale, and what the rounding of the scale itself adds over 127 steps: below the smallest normal float32
    # numbers have few bits, and there the scale may be off by one of the smallest steps there are.
    bound = scales.astype(np.float64) * 0.5001 + 128 * 2.0**-149
    assert (error <= bound[:, None]).all()
    assert codes[1].tolist() == [0] * 5


def test_codes_are_padded_to_whole_pairs_of_sub_quantizers() -> None:
    assert [padded_dimension(d) for d in (1, 3, 4, 5, 255, 256)] == [4, 4, 4, 8, 256, 256]
    padded = pad(np.ones((2, 3), np.float32), 4)
    assert padded.tolist() == [[1, 1, 1, 0]] * 2
    assert pad(padded, 4) is padded


@pytest.mark.parametrize("metric", METRICS)
def test_lists_are_ranked_as_exact_search_would_rank_their_centroids(metric: Metric) -> None:
    rng = np.random.default_rng(3)
    centroids = prepare(rng.standard_normal((40, 6)).astype(np.float32), metric)
    query = prepare(rng.standard_normal((1, 6)).astype(np.float32), metric)[0]

    scores = coarse_scores(query, centroids, metric)

    expected = np.argsort(-_defined(query, centroids, metric))
    for count in (1, 7, 40, 100):
        assert nearest_lists(scores, count).tolist() == expected[:count].tolist()
