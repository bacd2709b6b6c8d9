"""How many threads one matrix product of numpy takes: numpy has no function for it, the BLAS in its wheels has.

Threads of ours that each compute their own products are better than those of the BLAS where other work goes on beside:
OpenBLAS's wait for the next product by spinning, some 30 ms after each, on cores that the other work needs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Lock

# (getter, setter) of OpenBLAS as numpy's wheels name them, then as distributions do.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)


@cache
def _functions() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    # Found through the module that is linked against it, wherever the library itself lies.
    library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    for getter, setter in _NAMES:
        if hasattr(library, getter) and hasattr(library, setter):
            return getattr(library, getter), getattr(library, setter)
    return None


class _Bound:
    """The bound on the BLAS of this process, which has one number of threads for all callers."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = 0
        self._before = 0

    def take(self) -> None:
        functions = _functions()
        with self._lock:
            self._holders += 1
            if self._holders == 1 and functions is not None:
                self._before = functions[0]()
                functions[1](1)

    def leave(self) -> None:
        functions = _functions()
        with self._lock:
            self._holders -= 1
            # Only the last: who came second saw the bound, and would leave it behind for good.
            if not self._holders and functions is not None:
                functions[1](self._before)


_bound = _Bound()


@contextmanager
def one_thread_a_product() -> Iterator[None]:
    """Lets numpy compute each matrix product in the thread that asks for it, within the block, in the whole process.

    With a BLAS that is not OpenBLAS it changes nothing.
    """
    _bound.take()
    try:
        yield
    finally:
        _bound.leave()


def threads_of_a_product() -> int | None:
    """Returns how many threads a large matrix product takes now, None where that is not known."""
    functions = _functions()
    return None if functions is None else functions[0]()
