"""Work beside other work: the same results in the same order, and no thread that outlives the block."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from builder import beside as module
from builder.beside import HAND_OVER_S, ahead, beside, handing_over, written_beside


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


@pytest.mark.parametrize(("threads", "beside_the_caller"), [(1, 0), (2, 1)])
def test_at_most_one_thing_is_made_in_advance(threads: int, beside_the_caller: int) -> None:
    made: list[int] = []

    with beside(threads) as worker:
        for number in ahead(worker, [lambda n=n: made.append(n) or n for n in range(10)]):
            worker.submit(int).result()  # whatever was begun has ended
            assert made == list(range(min(10, number + 1 + beside_the_caller)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("waiting", [0, 3_000])
def test_a_file_has_all_that_was_written_in_its_order(
    threads: int, waiting: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOGETHER_BYTES", 500)
    monkeypatch.setattr(module, "WAITING_BYTES", waiting)
    rng = np.random.default_rng(0)
    pieces = [rng.bytes(int(size)) for size in rng.integers(0, 400, 100)]

    with beside(threads) as worker, written_beside(worker, tmp_path / "file") as sink:
        buffer = bytearray(400)
        for piece in pieces:
            buffer[: len(piece)] = piece
            assert sink.write(memoryview(buffer)[: len(piece)]) == len(piece)

    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_cannot_be_written_is_an_error(threads: int) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no device that is always full")

    def writes() -> None:
        with beside(threads) as worker, written_beside(worker, full) as sink:
            sink.write(bytes(2 * module.TOGETHER_BYTES))

    with pytest.raises(OSError, match="No space left"):
        writes()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_of_python_take_turns_as_before_once_a_block_has_ended_or_failed(threads: int) -> None:
    before = sys.getswitchinterval()

    def breaks() -> None:
        with handing_over(threads):
            assert sys.getswitchinterval() == (before if threads == 1 else pytest.approx(HAND_OVER_S))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()

    assert sys.getswitchinterval() == before
