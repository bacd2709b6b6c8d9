"""Full text in one process: bytes a word, the pace of a build, matches of two terms warm and cold, beside bm25s.

    python -m benchmarks.match [--rows 200000] [--words 60] [--films FOLDER] [--language english]

Without --films the texts are drawn: a Zipf vocabulary of 200,000 words. One thread. Prints JSON with each query's time.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import orjson

from benchmarks.machine import describe
from builder.inversion import Inverter
from shardlake.contracts.shard import LeafStats, MatchClause, MatchSource
from shardlake.core import bm25
from shardlake.deadline import Deadline
from shardlake.engine.match import ShardTerms
from shardlake.engine.reading import Reader
from shardlake.format.container import ContainerWriter, decode_block, parse_tail
from shardlake.format.shard_header import ShardHeader
from shardlake.format.terms import TermWriter
from shardlake.query.text import Analyzer
from shardlake.types import AttributeSpec, AttributeType

KIND = b"SHRD"
VOCABULARY, ZIPF = 200_000, 1.07
QUERIES, K = 300, 10


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--films", type=Path)
    parser.add_argument("--language", default="english")
    asked = parser.parse_args()
    texts = films(asked.films) if asked.films else drawn(asked.rows, asked.words)
    with tempfile.TemporaryDirectory() as scratch:
        file = write(texts, asked.language, Path(scratch))
    found = {"machine": describe(), "command": " ".join(["python -m benchmarks.match", *sys.argv[1:]]), **file.figures}
    print(json.dumps(found | searched(texts, asked.language, file), indent=1))
    return 0


def films(folder: Path) -> list[str]:
    """Returns the extracts of films, those that there are."""
    read = [film for path in sorted(folder.glob("*.json")) for film in orjson.loads(path.read_bytes())]
    return [film.get("extract") or "" for film in read]


def drawn(rows: int, words: int) -> list[str]:
    """Returns texts of about so many words each, drawn by Zipf's law."""
    rng = np.random.default_rng(0)
    names = np.array([f"w{number:x}" for number in range(VOCABULARY)])
    chances = np.cumsum((np.arange(VOCABULARY) + 2.7) ** -ZIPF)
    sizes = rng.poisson(words, rows)
    return [" ".join(names[np.searchsorted(chances, rng.random(size) * chances[-1])]) for size in sizes.tolist()]


class File:
    """A file of terms in memory, what writing it took, and the frequencies of its terms."""

    def __init__(self, data: bytes, tail: int, rows: int, figures: dict[str, Any]) -> None:
        self._data, self._tail, self._rows = data, tail, rows
        self.figures = figures
        self.df: dict[str, int] = {}
        self.docs, self.mean_length = 0, 0.0

    def open(self) -> tuple[ShardTerms, Reader, LeafStats, list[int]]:
        """Returns the terms as a cold container has them; the last counts ranges by round."""
        directory = parse_tail(self._data[self._tail :], len(self._data), KIND)
        blocks = directory.blocks.items()
        arrays = {name: decode_block(name, b, self._data[b.offset : b.offset + b.bytes]) for name, b in blocks}
        spec = AttributeSpec(name="text", type=AttributeType.TEXT)
        header = ShardHeader(rows=self._rows, spaces={}, attributes={"text": spec}, directory=directory, arrays=arrays)
        rounds: list[int] = []

        def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
            rounds.append(len(spans))
            return [self._data[start:stop] for start, stop in spans]

        stats = LeafStats()
        return ShardTerms(header), Reader(read, None, stats), stats, rounds

    def source(self, terms: Sequence[str], *, phrase: bool) -> MatchSource:
        """Returns the match of some terms."""
        clause = MatchClause(
            attribute="text", terms=tuple(dict.fromkeys(terms)), phrases=(tuple(terms),) if phrase else (),
            docs=self.docs, mean_length=self.mean_length, df=tuple(self.df[term] for term in dict.fromkeys(terms)),
        )  # fmt: skip
        return MatchSource(clauses=(clause,))


def write(texts: Sequence[str], language: str, scratch: Path) -> File:
    """Returns the file of terms of some texts."""
    began = time.perf_counter()
    inverter = Inverter(scratch, [language], len(texts))
    for row, text in enumerate(texts):
        inverter.add(row, 0, text)
    taken_in = time.perf_counter() - began
    sink, df = io.BytesIO(), {}
    container = ContainerWriter(sink, KIND)
    writer = TermWriter(container)
    for batch in inverter.terms():
        writer.add(batch)
        df |= {key[1:].decode(): count for key, count in zip(batch.keys, batch.counts.tolist(), strict=True)}
    writer.flush()
    container.append(b"")
    tail = container.offset
    writer.add_to_tail()
    container.finish({})
    lengths = inverter.lengths[0]
    tokens = int(lengths.sum(dtype=np.int64))
    figures = {
        "rows": len(texts), "words": tokens, "terms": len(df), "bytes": len(sink.getvalue()),
        "bytes_a_word": round(len(sink.getvalue()) / tokens, 3), "tail_bytes": len(sink.getvalue()) - tail,
        "text_bytes_a_word": round(sum(len(text.encode()) for text in texts) / tokens, 3),
        "taken_in_s": round(taken_in, 2), "written_s": round(time.perf_counter() - began - taken_in, 2),
    }  # fmt: skip
    file = File(sink.getvalue(), tail, len(texts), figures)
    file.df, file.docs, file.mean_length = df, int(np.count_nonzero(lengths)), tokens / int(np.count_nonzero(lengths))
    return file


def searched(texts: Sequence[str], language: str, file: File) -> dict[str, Any]:
    """Returns the figures of two-term matches and of two-word phrases, each drawn from a text."""
    analyzer = Analyzer(language)
    tokens = [analyzer.terms(text) for text in texts]
    rows = np.random.default_rng(1).choice([row for row, terms in enumerate(tokens) if len(terms) > 1], QUERIES)
    starts = np.random.default_rng(2).random(QUERIES)
    pairs = [
        tokens[row][(at := int(start * (len(tokens[row]) - 1))) : at + 2]
        for row, start in zip(rows, starts, strict=True)
    ]
    found: dict[str, Any] = {}
    for name, phrase in (("match", False), ("phrase", True)):
        found |= _of_kind(name, file, [file.source(pair, phrase=phrase) for pair in pairs])
    return found | _reference(tokens, pairs, file)


def _of_kind(name: str, file: File, sources: Sequence[MatchSource]) -> dict[str, Any]:
    cold = [_cold(file, source) for source in sources]
    terms, reader, _, _ = file.open()
    for source in sources:
        terms.search(source, reader, None)
    times = [timed(lambda source=source: best(*terms.search(source, reader, None))) for source in sources]
    return {
        f"{name}_warm_ms_p50": round(float(np.median(times)), 3),
        f"{name}_warm_ms_p99": round(float(np.quantile(times, 0.99)), 3),
        f"{name}_cold_rounds_max": max(len(rounds) for _, rounds in cold),
        f"{name}_cold_reads_p50": float(np.median([sum(rounds) for _, rounds in cold])),
        f"{name}_cold_bytes_p50": float(np.median([stats.bytes_read for stats, _ in cold])),
        f"{name}_cold_bytes_max": max(stats.bytes_read for stats, _ in cold),
        f"{name}_ms": [round(each, 4) for each in times],
    }


def _cold(file: File, source: MatchSource) -> tuple[LeafStats, list[int]]:
    terms, reader, stats, rounds = file.open()
    terms.search(source, reader, None)
    return stats, rounds


def _reference(tokens: Sequence[list[str]], pairs: Sequence[list[str]], file: File) -> dict[str, Any]:
    there = [terms for terms in tokens if terms]
    reference = bm25s.BM25(method="lucene", k1=bm25.K1, b=bm25.B)
    reference.index(there, show_progress=False)
    unique = [list(dict.fromkeys(pair)) for pair in pairs]
    times = [timed(lambda pair=pair: best_of(reference.get_scores(pair))) for pair in unique]
    terms, reader, _, _ = file.open()
    worst = 0.0
    for pair in unique:
        _, scores = terms.search(file.source(pair, phrase=False), reader, None)
        expected = np.sort(reference.get_scores(pair))[::-1][: len(scores)]
        worst = max(worst, float(np.abs(np.sort(scores)[::-1] - expected).max()))
    return {"bm25s_ms_p50": round(float(np.median(times)), 3), "largest_difference": worst}


def best(rows: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the K rows that score most."""
    return rows[best_of(scores)]


def best_of(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the places of the K highest scores."""
    return np.argpartition(scores, -K)[-K:] if len(scores) > K else np.arange(len(scores))


def timed(run: Callable[[], object]) -> float:
    """Returns the milliseconds that a call takes."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    sys.exit(main())
