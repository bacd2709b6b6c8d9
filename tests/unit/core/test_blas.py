"""The bound on numpy's own threads."""

from __future__ import annotations

import pytest

from shardlake.core.blas import one_thread_a_product, threads_of_a_product


def test_numpy_has_its_threads_back_when_the_last_block_ends_in_whatever_order() -> None:
    before = threads_of_a_product()
    first, second = one_thread_a_product(), one_thread_a_product()

    first.__enter__()
    second.__enter__()
    assert threads_of_a_product() == 1
    first.__exit__(None, None, None)
    assert threads_of_a_product() == 1
    second.__exit__(None, None, None)

    assert threads_of_a_product() == before


def test_numpy_has_its_threads_back_after_a_block_that_failed() -> None:
    before = threads_of_a_product()

    def breaks() -> None:
        with one_thread_a_product():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()

    assert threads_of_a_product() == before


def test_the_wheels_of_numpy_can_be_bound() -> None:
    # Where this fails numpy has renamed its functions: products are right still, but take threads from other work.
    assert threads_of_a_product() is not None
