"""Scores of `match` against bm25s, a kept implementation, given the same terms: items in 1 and in 4 shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import bm25s
import numpy as np
import pytest

from shardlake.contracts.shard import LeafSearch, MatchSource
from shardlake.core import bm25
from shardlake.format.container import Extent
from shardlake.format.manifest import ManifestTerms, decode_manifest
from shardlake.format.term_stats import TermStatistics
from shardlake.query.match import parse
from shardlake.query.text import Analyzer
from shardlake.types import AttributeType
from tests.lake import Lake, item, schema, space, unit_rows

FILMS = Path(__file__).resolve().parents[3] / "shared" / "data" / "movies"  # beside the repository
TEXT = {"text": AttributeType.TEXT}
SHARDS = (1, 4)


def _generated() -> list[str]:
    rng = np.random.default_rng(7)
    words = np.array([f"w{number}" for number in range(5_000)])
    weights = 1 / (np.arange(5_000) + 2.7)
    drawn = [rng.choice(words, size, p=weights / weights.sum()) for size in rng.poisson(25, 1_200)]
    return [" ".join(text) for text in drawn] + ["", "!?"]


def _films() -> list[str]:
    if not FILMS.is_dir():
        pytest.skip("the films are not there")
    films = [film for path in sorted(FILMS.glob("*.json")) for film in json.loads(path.read_text(encoding="utf-8"))]
    return [film.get("extract") or "" for film in films]


class Corpus:
    """Texts with the scores of bm25s, and collections of them by number of shards."""

    def __init__(self, texts: list[str], folder: Path) -> None:
        self._analyzer = Analyzer("english")
        self.terms = [self._analyzer.terms(text) for text in texts]
        self.rows = [row for row, terms in enumerate(self.terms) if terms]  # the others are no texts to BM25
        self._reference = bm25s.BM25(method="lucene", k1=bm25.K1, b=bm25.B)
        self._reference.index([self.terms[row] for row in self.rows], show_progress=False)
        self.lakes = {shards: _lake(texts, shards, folder) for shards in SHARDS}

    def expected(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Returns what each text scores."""
        scores = np.zeros(len(self.terms))
        scores[self.rows] = self._reference.get_scores(list(dict.fromkeys(self._analyzer.terms(text))))
        return scores

    def queries(self, count: int) -> Iterator[str]:
        """Yields texts of one to five terms: of one text, so that they meet."""
        rng = np.random.default_rng(11)
        for row in rng.choice(self.rows, count):
            yield " ".join(rng.choice(self.terms[row], rng.integers(1, 6)))


def _lake(texts: list[str], shards: int, folder: Path) -> Lake:
    scratch = folder / str(shards)
    scratch.mkdir()
    vectors = unit_rows(len(texts), 4)
    items = [item(f"{row:06d}", {"v": vectors[row]}, text=text) for row, text in enumerate(texts)]
    lake = Lake(schema(space(4), target_rows=-(-len(texts) // shards), attributes=TEXT), scratch).built(items)
    assert len(lake.shards) == shards
    return lake


@pytest.fixture(scope="module", params=[_generated, pytest.param(_films, marks=pytest.mark.data)])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus, built."""
    return Corpus(request.param(), tmp_path_factory.mktemp("corpus"))


def statistics(lake: Lake) -> tuple[TermStatistics, bytes]:
    """Returns the statistics of the current version, opened as the router does, and their file."""
    (body,) = (body for key, body in lake.store.objects.items() if key.endswith("manifest.json"))
    terms = decode_manifest(body).terms
    assert isinstance(terms, ManifestTerms)
    data = lake.store.objects[terms.key]
    assert len(data) == terms.bytes
    return TermStatistics(data[terms.tail_offset :], len(data)), data


def source(lake: Lake, text: str) -> MatchSource:
    """Returns a match as the router asks shards for it."""
    opened, data = statistics(lake)

    def read(extents: list[Extent]) -> list[bytes]:
        return [data[extent.offset : extent.offset + extent.bytes] for extent in extents]

    return opened.clauses(parse({"text": text}, lake.schema), read)  # type: ignore[arg-type]


def found(lake: Lake, text: str) -> dict[str, float]:
    """Returns {id: score} of all items that match, over all shards."""
    match = source(lake, text)
    scores: dict[str, float] = {}
    for number in range(len(lake.shards)):
        hits = lake.opened(number).search(LeafSearch(match=match, k=10_000, attributes=False)).hits
        assert all(hit.score <= match.bound for hit in hits)
        scores.update({hit.id: hit.score for hit in hits})
    return scores


def test_scores_are_those_of_the_reference_and_the_same_to_the_last_bit_in_any_shards(corpus: Corpus) -> None:
    for text in corpus.queries(25):
        expected = corpus.expected(text)
        answers = [found(corpus.lakes[shards], text) for shards in SHARDS]

        assert answers[0] == answers[1], text
        assert sorted(answers[0]) == [f"{row:06d}" for row in np.flatnonzero(expected)], text
        for item_id, score in answers[0].items():
            assert score == pytest.approx(expected[int(item_id)], abs=1e-4), text
