"""Texts of a shard turned into terms with their rows: runs on disk, merged.

A run is what was taken in until it held RUN_TOKENS words or RUN_TERMS terms: its occurrences sorted by term and,
within a term, by row and position, as they came. Runs come in order of rows, so a term's occurrences in all runs, one
run after another, are in order too. Memory: one run (about 150 MB at its bounds), and the occurrences of the
commonest term, about 50 bytes each.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.format.terms import TermBatch, term_key
from shardlake.query.text import Analyzer

RUN_TOKENS = 2_000_000
RUN_TERMS = 500_000
BATCH_OCCURRENCES = 131_072  # given out at a time, and those of the last term
_KEYS_PER_READ = 4_096
_OCCURRENCE = ("rows", "positions")
_COLUMNS = {"rows": "<u4", "positions": "<u2", "counts": "<u4", "ends": "<u8", "keys": "|u1"}

Column = npt.NDArray[np.integer[Any]]


class _Ids(dict[str, int]):
    """Folded word → number of its term in the run; a new word is stemmed once."""

    def __init__(self, analyzer: Analyzer, ordinal: int, terms: dict[bytes, int]) -> None:
        super().__init__()
        self._analyzer = analyzer
        self._ordinal = ordinal
        self._terms = terms

    def __missing__(self, word: str) -> int:
        key = term_key(self._ordinal, self._analyzer.term(word))
        number = self._terms.setdefault(key, len(self._terms))
        self[word] = number
        return number


class Inverter:
    """Takes texts row by row, gives terms in the order of their keys.

    Args:
        folder: where the runs may lie.
        languages: of the text attributes, by ordinal.
        rows: of the shard.
        run_tokens: words of a run.
    """

    def __init__(self, folder: Path, languages: list[str], rows: int, *, run_tokens: int = RUN_TOKENS) -> None:
        self._run_tokens = run_tokens
        self._analyzers = [Analyzer(language) for language in languages]
        self.lengths = [np.zeros(rows, np.uint16) for _ in languages]
        self._files = {name: folder / f"terms-{name}.bin" for name in _COLUMNS}
        self._handles = {name: path.open("wb") for name, path in self._files.items()}
        self._runs: list[tuple[int, int]] = []  # terms and occurrences of each
        self._begin_run()

    def add(self, row: int, ordinal: int, text: str) -> None:
        """Takes one text; rows come ascending."""
        words = self._analyzers[ordinal].words(text)
        self.lengths[ordinal][row] = len(words)
        self._tokens.extend(map(self._ids[ordinal].__getitem__, words))
        self._texts.extend((row, len(words)))
        if len(self._tokens) >= self._run_tokens or len(self._terms) >= RUN_TERMS:
            self._end_run()

    def terms(self) -> Iterator[TermBatch]:
        """Yields all terms, ascending, some thousands at a time. Nothing can be added after."""
        self._end_run()
        for handle in self._handles.values():
            handle.close()
        columns = {name: _map(path, _COLUMNS[name]) for name, path in self._files.items()}
        first_term = first_token = first_key = 0
        runs = []
        for terms, tokens in self._runs:
            runs.append(_entries(columns, range(first_term, first_term + terms), first_token, first_key))
            first_key += int(columns["ends"][first_term + terms - 1])
            first_term, first_token = first_term + terms, first_token + tokens
        lengths = np.stack(self.lengths)
        for keys, spans in _batches(heapq.merge(*runs)):
            yield _batch(columns, lengths, keys, spans)

    def _begin_run(self) -> None:
        self._terms: dict[bytes, int] = {}
        self._ids = [_Ids(analyzer, number, self._terms) for number, analyzer in enumerate(self._analyzers)]
        self._tokens, self._texts = array("I"), array("I")

    def _end_run(self) -> None:
        if not self._tokens:
            return
        keys = list(self._terms)
        by_key = sorted(range(len(keys)), key=keys.__getitem__)
        rank = np.empty(len(keys), np.int32)
        rank[by_key] = np.arange(len(keys), dtype=np.int32)
        of_token = rank[np.frombuffer(self._tokens, np.uint32)]
        order = np.argsort(of_token, kind="stable")
        rows, lengths = np.frombuffer(self._texts, np.uint32).reshape(-1, 2).T
        firsts = np.cumsum(lengths, dtype=np.int64) - lengths
        positions = np.arange(len(of_token)) - np.repeat(firsts, lengths)
        written: dict[str, Column] = {
            "rows": np.repeat(rows, lengths)[order],
            "positions": positions[order],
            "counts": np.bincount(of_token, minlength=len(keys)),
            "ends": np.cumsum([len(keys[number]) for number in by_key]),
        }
        for name, values in written.items():
            self._handles[name].write(values.astype(_COLUMNS[name]).data)
        self._handles["keys"].write(b"".join(keys[number] for number in by_key))
        self._runs.append((len(keys), len(of_token)))
        self._begin_run()


def _entries(
    columns: dict[str, Column], terms: range, first_token: int, first_key: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yields (key, first occurrence, end) of a run's terms, a few thousand in memory at a time."""
    begin, token = 0, first_token
    for start in range(terms.start, terms.stop, _KEYS_PER_READ):
        stop = min(start + _KEYS_PER_READ, terms.stop)
        ends = [begin, *columns["ends"][start:stop].tolist()]
        text = columns["keys"][first_key + begin : first_key + ends[-1]].tobytes()
        for count, (a, b) in zip(columns["counts"][start:stop].tolist(), pairwise(ends), strict=True):
            yield text[a - begin : b - begin], token, token + count
            token += count
        begin = ends[-1]


def _batches(entries: Iterable[tuple[bytes, int, int]]) -> Iterator[tuple[list[bytes], list[list[tuple[int, int]]]]]:
    """Yields (keys, where the occurrences of each lie) of some terms together."""
    keys: list[bytes] = []
    spans: list[list[tuple[int, int]]] = []
    size = 0
    for key, start, stop in entries:
        if not keys or key != keys[-1]:
            if size >= BATCH_OCCURRENCES:
                yield keys, spans
                keys, spans, size = [], [], 0
            keys.append(key)
            spans.append([])
        spans[-1].append((start, stop))
        size += stop - start
    if keys:
        yield keys, spans


def _batch(
    columns: dict[str, Column], lengths: Column, keys: list[bytes], spans: list[list[tuple[int, int]]]
) -> TermBatch:
    flat = [slice(*span) for of_term in spans for span in of_term]
    rows, positions = (np.concatenate([columns[n][span] for span in flat]).astype(np.int32) for n in _OCCURRENCE)
    occurrences = np.array([sum(stop - start for start, stop in of_term) for of_term in spans])
    term_of = np.repeat(np.arange(len(keys), dtype=np.int32), occurrences)
    # A row begins where it, or the term, is another than before.
    firsts = np.flatnonzero((np.diff(rows, prepend=-1) != 0) | (np.diff(term_of, prepend=-1) != 0))
    term_of, distinct = term_of[firsts], rows[firsts]
    ordinals = np.frombuffer(bytes(key[0] for key in keys), np.uint8)
    return TermBatch(
        keys=keys,
        counts=np.bincount(term_of, minlength=len(keys)),
        occurrences=occurrences,
        rows=distinct,
        frequencies=np.diff(firsts, append=len(rows)),
        lengths=lengths[ordinals[term_of], distinct].astype(np.int32),
        positions=positions,
    )


def _map(path: Path, dtype: str) -> Column:
    # A plain view: slices of a memmap cost ten times those of an array.
    return np.asarray(np.memmap(path, dtype, mode="r")) if path.stat().st_size else np.empty(0, dtype)
