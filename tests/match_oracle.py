"""BM25 and phrases as docs/match.md says them, row by row in plain Python; and a file of terms, written and read."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.inversion import Inverter
from shardlake.contracts.shard import LeafStats, MatchClause, MatchSource
from shardlake.deadline import Deadline
from shardlake.engine.match import ShardTerms
from shardlake.engine.reading import Reader
from shardlake.errors import FormatError
from shardlake.format.container import ContainerWriter, decode_block, parse_tail
from shardlake.format.shard_header import ShardHeader
from shardlake.format.terms import TermWriter, text_ordinals
from shardlake.query.match import ParsedClause
from shardlake.query.text import Analyzer
from shardlake.types import AttributeSpec

KIND = b"SHRD"
Texts = Sequence[Mapping[str, str]]
K1, B = 1.2, 0.75


@dataclass
class Corpus:
    """Texts by attribute, analysed: what the scores of all shards together are computed from."""

    specs: Sequence[AttributeSpec]
    texts: Texts
    terms: list[dict[str, list[str]]] = field(init=False)

    def __post_init__(self) -> None:
        analyzers = {spec.name: Analyzer(spec.language) for spec in self.specs}
        self.terms = [{name: analyzers[name].terms(text) for name, text in row.items()} for row in self.texts]

    def source(self, parsed: Sequence[ParsedClause]) -> MatchSource:
        """Returns the match with this corpus's frequencies."""
        clauses = []
        for clause in parsed:
            there = [terms for row in self.terms if (terms := row.get(clause.attribute))]
            mean = sum(map(len, there)) / len(there) if there else 1.0
            df = tuple(sum(term in terms for terms in there) for term in clause.terms)
            clauses.append(
                MatchClause(
                    attribute=clause.attribute,
                    terms=clause.terms,
                    phrases=clause.phrases,
                    docs=len(there),
                    mean_length=mean,
                    df=df,
                )
            )
        return MatchSource(clauses=tuple(clauses))

    def scores(self, match: MatchSource) -> dict[int, float]:
        """Returns the rows that match, and what they score."""
        found = {row: self._score(terms, match) for row, terms in enumerate(self.terms)}
        return {row: score for row, score in found.items() if score > 0}

    def _score(self, row: Mapping[str, list[str]], match: MatchSource) -> float:
        total = 0.0
        for clause in match.clauses:
            terms = row.get(clause.attribute, [])
            for phrase in clause.phrases:
                if not any(tuple(terms[at : at + len(phrase)]) == phrase for at in range(len(terms))):
                    return 0.0
            for term, df in zip(clause.terms, clause.df, strict=True):
                if tf := terms.count(term):
                    idf = math.log(1 + (clause.docs - df + 0.5) / (df + 0.5))
                    total += idf * tf / (tf + K1 * (1 - B + B * len(terms) / clause.mean_length))
        return total


def write(
    specs: Sequence[AttributeSpec], texts: Texts, folder: Path, *, run_tokens: int = 1_000_000
) -> tuple[bytes, int]:
    """Returns a file that holds nothing but the terms of some rows, and where its tail begins."""
    ordinals = text_ordinals(specs)
    inverter = Inverter(folder, [spec.language for spec in specs], len(texts), run_tokens=run_tokens)
    for row, values in enumerate(texts):
        for name, ordinal in ordinals.items():
            if name in values:
                inverter.add(row, ordinal, values[name])
    sink = io.BytesIO()
    container = ContainerWriter(sink, KIND)
    writer = TermWriter(container)
    for batch in inverter.terms():
        writer.add(batch)
    writer.flush()
    container.append(b"")
    tail = container.offset
    writer.add_to_tail()
    container.finish({})
    return sink.getvalue(), tail


@dataclass
class Opened:
    """A file of terms, opened; `stats` counts what is read of it and `rounds` how many times."""

    terms: ShardTerms
    reader: Reader
    stats: LeafStats
    rounds: list[int]


def opened(specs: Sequence[AttributeSpec], rows: int, data: bytes, tail: int) -> Opened:
    """Opens a file that `write` returned. Raises FormatError as a shard's opening does."""
    directory = parse_tail(data[tail:], len(data), KIND)
    arrays = {n: decode_block(n, b, data[b.offset : b.offset + b.bytes]) for n, b in directory.blocks.items()}
    header = ShardHeader(
        rows=rows, spaces={}, attributes={spec.name: spec for spec in specs}, directory=directory, arrays=arrays
    )
    rounds: list[int] = []

    def read(spans: Sequence[tuple[int, int]], deadline: Deadline | None) -> list[bytes]:
        if any(not 0 <= start <= stop <= len(data) for start, stop in spans):
            raise FormatError("a range lies beyond the end of the object")  # as the store's port says
        rounds.append(len(spans))
        return [data[start:stop] for start, stop in spans]

    stats = LeafStats()
    return Opened(ShardTerms(header), Reader(read, None, stats), stats, rounds)
