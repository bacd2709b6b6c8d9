"""Binary codes, their buckets, and search by Hamming distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core import binary
from tests.lake import unit_rows

ROWS, DIMENSION = 500, 12


@pytest.fixture(scope="module")
def learned() -> binary.BinaryHash:
    """A hash of 64 bits for vectors far from the origin."""
    return binary.learn(unit_rows(ROWS, DIMENSION) + 9, 64, 1000, centred=True, rng=np.random.default_rng(1))


def test_bits_say_on_which_side_of_the_mean_a_vector_lies(learned: binary.BinaryHash) -> None:
    vectors = unit_rows(ROWS, DIMENSION) + 9
    bits = np.unpackbits(learned.encode(vectors), axis=1, bitorder="little")

    expected = (vectors - vectors.mean(axis=0)) @ learned.directions.T >= 0
    assert (bits == expected).mean() > 0.999  # a component next to 0 may round to either side
    assert (np.abs(bits.mean(axis=0) - 0.5) < 0.1).all()


def test_a_key_is_the_bits_of_its_table(learned: binary.BinaryHash) -> None:
    codes = learned.encode(unit_rows(50, DIMENSION, 2) + 9)
    bits = np.unpackbits(codes, axis=1, bitorder="little")

    for table in range(learned.tables):
        own = bits[:, table * learned.key_bits :][:, : learned.key_bits]
        numbers = [sum(int(bit) << place for place, bit in enumerate(row)) for row in own]
        assert (learned.keys(codes)[:, table] == (table << learned.key_bits) + np.array(numbers)).all()


def test_the_query_s_own_buckets_are_nearest_then_those_of_the_least_certain_bits(learned: binary.BinaryHash) -> None:
    query = unit_rows(1, DIMENSION, 3)[0] + 9
    scores = learned.bucket_scores(query)
    own = learned.keys(learned.encode(query[None]))[0]
    sizes = np.abs(learned.components(query[None])[0])

    np.testing.assert_allclose(scores[own], 0, atol=1e-5)
    assert scores.max() <= 1e-5
    for table, bucket in enumerate(own):
        for bit in range(learned.key_bits):
            flipped = (table << learned.key_bits) + ((bucket - (table << learned.key_bits)) ^ (1 << bit))
            assert scores[flipped] == pytest.approx(-sizes[table * learned.key_bits + bit], abs=1e-4)


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 40), st.integers(1, 50))
def test_hamming_is_the_count_of_bits_that_differ(seed: int, words: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    codes, code = rng.integers(0, 256, (rows, 8 * words), np.uint8), rng.integers(0, 256, (1, 8 * words), np.uint8)

    distances = binary.hamming(binary.words(code)[0], binary.words(codes))
    nearest = binary.nearest_codes(distances, count)

    expected = (np.unpackbits(codes, axis=1) != np.unpackbits(code, axis=1)).sum(axis=1)
    assert (distances == expected).all()
    assert nearest.tolist() == np.argsort(expected, kind="stable")[:count].tolist()


@pytest.mark.parametrize(("rows", "key_bits"), [(0, 2), (1, 2), (1000, 5), (1_000_000, 10), (10**9, 12)])
def test_a_bucket_has_about_the_square_root_of_the_rows(rows: int, key_bits: int) -> None:
    found = binary.learn(unit_rows(9, 3), 64, rows, centred=True, rng=np.random.default_rng(0))

    assert found.key_bits == key_bits
    assert found.tables * found.key_bits <= 64


def test_an_inner_product_s_bits_are_of_the_vector_itself() -> None:
    found = binary.learn(unit_rows(9, 3) + 5, 64, 9, centred=False, rng=np.random.default_rng(0))

    assert not found.thresholds.any()
    assert (found.encode(2 * unit_rows(5, 3)) == found.encode(unit_rows(5, 3))).all()
