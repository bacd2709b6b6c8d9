"""Work beside other work: the same results in the same order, and no thread that outlives the block."""

from __future__ import annotations

import threading

import pytest

from builder.beside import beside


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_things_are_done_in_the_order_they_are_given(threads: int) -> None:
    done: list[int] = []

    with beside(threads) as worker:
        results = [worker.submit(lambda number=number: done.append(number) or number) for number in range(20)]

        assert [result.result() for result in results] == done == list(range(20))


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_beside_is_an_error_of_the_block_and_ends_the_thread(threads: int) -> None:
    before = threading.active_count()

    def breaks() -> None:
        with beside(threads) as worker:
            worker.submit(lambda: 1 / 0).result()

    with pytest.raises(ZeroDivisionError):
        breaks()

    assert threading.active_count() == before


def test_an_error_of_the_block_ends_the_thread() -> None:
    before = threading.active_count()

    def breaks() -> None:
        with beside(2) as worker:
            worker.submit(sum, [1, 2])
            raise KeyError

    with pytest.raises(KeyError):
        breaks()

    assert threading.active_count() == before


def test_one_thread_has_no_other_beside_it() -> None:
    with beside(1) as worker:
        assert worker.submit(threading.current_thread).result() is threading.current_thread()
