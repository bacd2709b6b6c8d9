"""Files that lie with right checksums: the directory, the meta object or an array says what cannot be."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import orjson
import xxhash

from shardlake.errors import FormatError, ShardlakeError
from shardlake.format.container import _FOOTER, FOOTER_BYTES, FORMAT_VERSION, MAGIC

MAX_ALLOCATED = 32 * 1024 * 1024  # by a reader of a file of a few KB, whatever the file says
HOSTILE: tuple[Any, ...] = (
    -1, 0, 1, 2**31, 2**40, 2**63, 10**30, 1.5, True, None, "", "x", "f" * 17, [], [0], {}, {"a": 1},
)  # fmt: skip

FEW: tuple[Any, ...] = (-1, 2**40, None, "x")


def with_directory(data: bytes, directory: object) -> bytes:
    """Returns the file with another directory, and a footer that agrees with it."""
    _, _, kind, offset, _, _ = _FOOTER.unpack(data[-FOOTER_BYTES:])
    raw = directory if isinstance(directory, bytes) else _json(directory)
    footer = _FOOTER.pack(MAGIC, FORMAT_VERSION, kind, offset, len(raw), xxhash.xxh3_64_intdigest(raw))
    return data[:offset] + raw + footer


def directory_of(data: bytes) -> dict[str, Any]:
    """Returns a file's directory as it stands there."""
    _, _, _, offset, size, _ = _FOOTER.unpack(data[-FOOTER_BYTES:])
    found: dict[str, Any] = orjson.loads(data[offset : offset + size])
    return found


def _json(value: object) -> bytes:
    # Not orjson: it refuses the integers that a lie needs.
    return json.dumps(value).encode()


def lying_directories(data: bytes, hostile: tuple[Any, ...] = HOSTILE) -> Iterator[tuple[str, bytes]]:
    """Yields (what the lie is, file): each value of the directory replaced by each hostile one, or left out."""
    truth = directory_of(data)
    for path in _paths(truth):
        for lie in hostile:
            yield f"{path} = {lie!r}"[:90], with_directory(data, _changed(truth, path, lambda _, lie=lie: lie))
        yield f"{path} left out", with_directory(data, _removed(truth, path))
    for raw in (b"", b"[]", b"5", b"null", b"{", b'{"blocks": {}}', b'{"meta": {}, "blocks": []}', b"\xff"):
        yield repr(raw), with_directory(data, raw)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _paths(child, (*path, key))


def _changed(truth: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    copy = deepcopy(truth)
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = change(at[path[-1]])
    return copy


def _removed(truth: Any, path: tuple[Any, ...]) -> Any:
    copy = deepcopy(truth)
    at = copy
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return copy


def array_lies(array: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yields (what the lie is, array) for one array of a file."""
    yield "cut", array[:-1]
    yield "repeated", np.concatenate([array, array])
    yield "empty", array[:0]
    yield "flat", array.reshape(-1)
    yield "deeper", array[..., None]
    yield "one number", np.zeros((), array.dtype)
    yield "reversed", array[::-1]
    yield "zeros", np.zeros_like(array)
    for dtype in ("u1", "i1", "u4", "i4", "u8", "i8", "f4", "f8"):
        with np.errstate(invalid="ignore", over="ignore"):
            yield f"as {dtype}", array.astype(dtype)
    kind = np.finfo if array.dtype.kind == "f" else np.iinfo
    for name in ("min", "max"):
        yield f"all {name}", np.full_like(array, getattr(kind(array.dtype), name))
        first = array.copy()
        if first.size:
            first.reshape(-1)[0] = getattr(kind(array.dtype), name)
            yield f"first {name}", first
    if array.dtype.kind == "f":
        yield "all nan", np.full_like(array, np.nan)
    else:
        yield "one more", array + np.ones((), array.dtype)
        yield "a billion more", array + np.full((), min(10**9, np.iinfo(array.dtype).max), array.dtype)


def what_breaks(
    read: Callable[[Any], object],
    files: Iterator[tuple[str, Any]],
    allowed: type[ShardlakeError] = FormatError,
) -> list[str]:
    """Returns the lies that neither read nor raise what is allowed, and those that make a reader allocate much."""
    broken = []
    tracemalloc.start()
    try:
        for lie, data in files:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            try:
                with np.errstate(all="ignore"):  # a lie may well be of absurd numbers
                    read(data)
            except allowed:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test looks for
                broken.append(f"{lie}: {type(error).__name__}: {error}"[:200])
            _, peak = tracemalloc.get_traced_memory()
            if peak - before > MAX_ALLOCATED:
                broken.append(f"{lie}: allocated {(peak - before) >> 20} MiB")
    finally:
        tracemalloc.stop()
    return broken
